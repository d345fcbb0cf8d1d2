"""The recorded state, in SQL: a SQLite file by default, PostgreSQL by URL, one code."""
