"""The command line: data on stdout, talk on stderr."""


def main() -> None:
    """`autochrome`: run the command that the arguments name, and end the process with its code."""
    from tasks.batch.loading import importing

    with importing():
        from flows.cli.app import main as run

    run()
