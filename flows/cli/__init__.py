"""The command line: data on stdout, talk on stderr."""

from tasks.batch.loading import importing

__all__ = ["main"]


def main() -> None:
    """`autochrome`: run the command that the arguments name, and end the process with its code."""
    with importing():
        from flows.cli.app import main as run  # noqa: PLC0415  that is what is imported

    run()
