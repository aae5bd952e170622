"""How a scan is named for people: the store's URL, the key, and the page where there are more."""

import os
from pathlib import Path

_PAGE = "#page="


def uri_of(source: str, key: str, page: int = 0) -> str:
    """Name a scan; *page* counts from 0, and people count from 1."""
    uri = f"{source.rstrip('/')}/{key}"
    return f"{uri}{_PAGE}{page + 1}" if page else uri


def uri_of_path(path: str) -> str:
    """Name a file, folder or pattern of this machine as scans are: in its own letters."""
    folder_mark = "/" if path.endswith("/") else ""
    return f"file://{os.path.abspath(Path(path).expanduser())}{folder_mark}"  # noqa: PTH100 - keeps links


def split_page(uri: str) -> tuple[str, int | None]:
    """Take the page off a URI: counted from 0, None where it names none."""
    file, mark, number = uri.rpartition(_PAGE)
    if mark and number.isdecimal() and int(number) > 0:
        return file, int(number) - 1
    return uri, None
