"""What each subcommand of ``python -m colormodel`` does; imported only when it is called."""
