"""The vocabulary every room speaks: pydantic and the standard library only, no I/O."""
