"""`python -m flows.cli` is `autochrome`."""

from flows.cli import main

if __name__ == "__main__":
    main()
