"""The command line: data on stdout, talk on stderr."""

from flows.cli.app import main

__all__ = ["main"]
