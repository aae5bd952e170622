"""One Prefect flow a file, and the command line."""
