"""The command line: data on stdout, talk on stderr."""

import gc

__all__ = ["main"]


def main() -> None:
    """`autochrome`: run the command that the arguments name, and end the process with its code."""
    # Importing makes thousands of functions and classes, none of which will go: looking for cycles
    # among them costs a fifth of the time until a command begins.
    gc.disable()
    from flows.cli.app import main as run  # noqa: PLC0415  that is what is imported

    gc.freeze()
    gc.enable()
    run()
