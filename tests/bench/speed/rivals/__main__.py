"""`python -m tests.bench.speed.rivals NAME SCANS OUT`: colour a folder by one of the scripts."""

import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Colour all JPEGs of a folder."""
    name, scans, out = sys.argv[1:]
    script = import_module(f"{__package__}.{name}")
    script.colour_all(sorted(Path(scans).glob("*.jpg")), Path(out))


if __name__ == "__main__":  # pools start processes that import this module
    main()
