"""How a scan is named for people, and what they mean when they name one.

A scan's URI is its file's name, percent-encoded where it must be: bytes that are no UTF-8, control
characters and marks that turn text round, spaces, ``%``, ``#`` (it comes before a page), ``*`` and
``?`` (they stand for many). Letters of all scripts stay as they are. So every name has one URI,
which can be read, copied, and given back.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from urllib.parse import unquote_to_bytes

from tasks.errors import UsageError
from tasks.paths import absolute_path
from tasks.storage.keys import key_from_name, name_from_key

FILE = "file://"
_PAGE = "#page="
_HAS_PAGE = re.compile(r"#page=[1-9][0-9]*\Z")
_WILDCARDS = re.compile(r"[*?]")
_PLAIN = re.compile(r"[A-Za-z0-9._/~-]*\Z")
_RESERVED = frozenset(" %#*?")
_HERE = "localhost/"
_SPELLINGS = 64  # of a name with accents in many folders


@dataclass(frozen=True)
class Reading:
    """One way to read what a person wrote: a name in full, as in `root_of`, and a page from 0."""

    name: str
    page: int | None = None


def uri_of(source: str, key: str, page: int = 0) -> str:
    """Name a scan; *page* counts from 0, and people count from 1."""
    uri = f"{_shown_source(source)}/{quoted(key)}"
    return f"{uri}{_PAGE}{page + 1}" if page else uri


def uri_of_path(path: str) -> str:
    """Name a file, folder or pattern of this machine as scans are.

    ``*``, ``?`` and ``#page=2`` mean what they mean in URIs, unless a file has just that name.
    """
    full = str(absolute_path(path))
    page = "" if os.path.lexists(full) else "".join(_HAS_PAGE.findall(full))
    full = full.removesuffix(page)
    slash = "/" if path.endswith("/") else ""
    if os.path.lexists(full):
        return f"file://{_quoted_text(full)}{slash}{page}"
    between = _WILDCARDS.findall(full)
    parts = [_quoted_text(part) for part in _WILDCARDS.split(full)]
    mixed = "".join(part + mark for part, mark in zip(parts, [*between, ""], strict=True))
    return f"file://{mixed}{slash}{page}"


def uri_given(text: str) -> str:
    """The URI that a person gave, as such or as a path; bytes that are no text become escapes.

    Schemes may be in capitals, and this machine may be named, as in addresses of stores.

    Raises:
        UsageError: It is empty, as a variable that is not set: it would mean the folder one is in.
    """
    if not text:
        raise UsageError("an empty name means no scan; name one, or a folder: . is this one")
    scheme, separator, rest = text.partition("://")
    if not separator:
        return uri_of_path(text)
    scheme = scheme.lower()
    if scheme == "file" and rest.startswith(_HERE):
        rest = rest.removeprefix(_HERE[:-1])
    escaped = (f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in rest)
    return f"{scheme}://{''.join(escaped)}"


def quoted(key: str) -> str:
    """Write a key as part of a URI. `read_name` is the inverse."""
    if _PLAIN.match(key):
        return key
    try:
        return _quoted_text(name_from_key(key).decode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return _quoted_text(key)


def root_of(source: str) -> str:
    """The name in full of a source, to compare with readings; it ends in "/"."""
    scheme, separator, rest = source.partition("://")
    name = read_name(rest) if scheme == "file" else _literal(rest)
    return f"{scheme}{separator}{name.rstrip('/')}/"


def named_root(root: str) -> str:
    """The URI of what `root_of` gave."""
    scheme, separator, rest = root.partition("://")
    return f"{scheme}{separator}{quoted(rest.removesuffix('/'))}"


def canonical(source: str) -> str:
    """The one name of a store, as in `root_of` without its slash: of a folder, without links."""
    root = root_of(source)
    if not root.startswith(FILE):
        return root.rstrip("/")
    path = os.fsdecode(name_from_key(root.removeprefix(FILE)))
    return FILE + key_from_name(os.fsencode(os.path.realpath(path)))


def without_links(uri: str) -> str:
    """The URI of a file, folder or pattern whose folder is named without links."""
    fixed = _WILDCARDS.split(uri)[0].removeprefix(FILE)
    folder = fixed.rpartition("/")[0]
    if not uri.startswith(FILE) or not folder:
        return uri
    real = canonical(FILE + folder).removeprefix(FILE).rstrip("/")
    return FILE + quoted(real) + uri.removeprefix(FILE + folder)


def one_name(uri: str) -> str:
    """The same for all ways to write a file, folder or pattern: without links, accents composed."""
    return unicodedata.normalize("NFC", without_links(uri)).rstrip("/") + "/"


def key_between(outer: str, inner: str) -> str | None:
    """What the keys of the store *inner* begin with in *outer*, which it lies in or is.

    Returns:
        "" where both are the same place; None where *inner* does not lie there.
    """
    around, within = canonical(outer), canonical(inner)
    if around == within:
        return ""
    folder = around.rstrip("/") + "/"
    return f"{within.removeprefix(folder)}/" if within.startswith(folder) else None


def readings_of(uri: str) -> Iterator[Reading]:
    """The ways to read *uri* as the name of one file, the likeliest first.

    As it would be written here; then as it stands, for whoever typed a name with ``%`` or ``#``.
    """
    file, page = split_page(uri)
    yield Reading(read_name(file), page)
    if page is not None:
        yield Reading(read_name(uri))
        yield Reading(_literal(uri))
    yield Reading(_literal(file), page)


def spellings(name: str) -> list[str]:
    """*name* as systems write it: as it is, and with accents composed or not, folder by folder."""
    parts = [(part, *_in_forms(part)) for part in name.split("/")]
    mixed = islice(product(*(dict.fromkeys(forms) for forms in parts)), _SPELLINGS)
    return list(dict.fromkeys([name, *_in_forms(name), *map("/".join, mixed)]))


def keys_under(root: str, name: str, *, respelt: bool = False) -> list[str]:
    """The keys that *name* may be under *root*, of any source where it has no scheme; or none.

    Args:
        root: As `root_of` gives it.
        name: A name in full, or a key.
        respelt: With accents composed or not, as other systems write the same name.
    """
    if respelt and "://" in name:
        root, name = _in_forms(root)[0], _in_forms(name)[0]
    if "://" in name and not name.startswith(root):
        return []
    key = name.removeprefix(root)
    return spellings(key) if respelt else [key]


def fixed_names(uri: str) -> list[str]:
    """What *uri* begins with up to the first wildcard, as names in full, in all forms."""
    fixed = _WILDCARDS.split(uri)[0]
    names = (read_name(split_page(fixed)[0]), _literal(fixed))
    return list(dict.fromkeys(form for name in names for form in (name, *_in_forms(name))))


def pattern_of(uri: str) -> tuple[list[str], list[str]] | None:
    """The literal parts of a pattern and the wildcards between them; None where there are none."""
    file, _ = split_page(uri)
    marks = _WILDCARDS.findall(file)
    return ([read_name(part) for part in _WILDCARDS.split(file)], marks) if marks else None


def read_name(text: str) -> str:
    """Read what stands in a URI as a name: percent escapes are bytes."""
    return key_from_name(unquote_to_bytes(text.encode("utf-8", "surrogateescape")))


def split_page(uri: str) -> tuple[str, int | None]:
    """Take the page off a URI: counted from 0, None where it names none."""
    found = _HAS_PAGE.search(uri)
    if found is None:
        return uri, None
    return uri[: found.start()], int(found[0].removeprefix(_PAGE)) - 1


def _in_forms(text: str) -> tuple[str, str]:
    return unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)


def _literal(text: str) -> str:
    return key_from_name(text.encode("utf-8", "surrogateescape"))


def _quoted_text(text: str) -> str:
    return "".join(
        char
        if char.isprintable() and char not in _RESERVED
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))
        for char in text
    )


@lru_cache(256)
def _shown_source(source: str) -> str:
    return named_root(root_of(source))
