"""`python -m mlops` is `mlops`."""

from mlops.cli import main

if __name__ == "__main__":
    main()
