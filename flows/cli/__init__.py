"""The command line: data on stdout, talk on stderr."""

import os


def main() -> None:
    """`autochrome`: run the command that the arguments name, and end the process with its code."""
    from tasks.batch.loading import importing

    # It reads the metadata of all that is installed to look for some: a tenth of a second.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with importing():
        from flows.cli.app import main as run

    run()
