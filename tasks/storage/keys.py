"""Keys: one text for every name that a file system or a bucket can hold, and names safe to write.

A key is text that any database, JSON and XML can hold. File names are bytes, and not all of them
are UTF-8; bucket keys may hold NUL, which PostgreSQL refuses. Such bytes stand in a key as
the private-use characters U+EF00 + byte, as MirBSD's OPTU-8 does; a name that holds one of
these 256 characters itself has its UTF-8 bytes written that way. So every name has exactly one
key, and ordinary names, with or without "%", spaces or other scripts, are their own.
"""

import hashlib
import re

RESERVED = ".autochrome"
"""Component under which stores keep what is theirs; never listed."""

WORK = "work"
"""First component of what lies in an output only until something else is made of it."""

WORK_LASTS_S = 14 * 24 * 3600
"""So long it is kept if nobody discards it: `deploy/s3/output-lifecycle.json` says the same."""

_LONGEST_COMPONENT_BYTES = 255  # file systems' limit
_LONGEST_KEY_BYTES = 900  # S3's limit is 1,024, prefix included
_KEPT_COMPONENTS = 2  # recipe and kind stay readable when the rest is shortened

_TO_ESCAPE = re.compile("[\0\udc80-\udcff\uef00-\uefff]")
_ESCAPED = {0xEF00 + byte: byte if byte < 0x80 else 0xDC00 + byte for byte in range(256)}
_SHORTENED = re.compile(r"~[0-9a-f]{32}(\.[A-Za-z0-9]{1,8})?\Z")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


def key_from_name(name: bytes) -> str:
    """Write a file's path or a bucket's key as a key. The inverse of `name_from_key`."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii() and "\0" not in text:
        return text
    return _TO_ESCAPE.sub(_escape, text)


def name_from_key(key: str) -> bytes:
    """Return the bytes that *key* stands for.

    Raises:
        UnicodeEncodeError: *key* holds half a surrogate pair; no listing yields such a key.
    """
    if key.isascii():
        return key.encode()
    return key.translate(_ESCAPED).encode("utf-8", "surrogateescape")


def is_storable(key: str) -> bool:
    """Whether *key* names a place under a store's root, in a folder as in a bucket."""
    return all(_is_storable_component(part) for part in key.split("/"))


def safe_key(key: str) -> str:
    """Map any text to a key that every store can hold and that stays under its root.

    Ordinary keys map to themselves. Components that leave the root ("", "..", a leading "/"),
    that not every store takes (over 255 bytes, control characters), that are reserved or that look
    like the result of this function become `readable-part~digest.suffix`, and so does the tail of
    a key over 900 bytes. Two keys never map to one: the digest is 128 bits of sha256 over the
    original, and unchanged components never look like that. For the same reason it must be applied
    once, where a key is made, and not again to its own result.
    """
    parts = [part if _is_safe_component(part) else _shorten(part, "~") for part in key.split("/")]
    whole = "/".join(parts)
    if len(whole.encode()) <= _LONGEST_KEY_BYTES:
        return whole
    return "/".join([*parts[:_KEPT_COMPONENTS], _shorten(key, "~~")])


def shown(key: str) -> str:
    """Return *key* for a message: one line, whatever is in it."""
    if key.isprintable():
        return key
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in key
    )


def _escape(found: re.Match[str]) -> str:
    return "".join(chr(0xEF00 + byte) for byte in found[0].encode("utf-8", "surrogateescape"))


def _is_storable_component(part: str) -> bool:
    if part in {"", ".", "..", RESERVED}:
        return False
    try:
        name = name_from_key(part)
    except UnicodeEncodeError:
        return False
    return (
        b"\0" not in name
        and b"/" not in name
        and len(name) <= _LONGEST_COMPONENT_BYTES
        and key_from_name(name) == part
    )


def _is_safe_component(part: str) -> bool:
    return (
        _is_storable_component(part)
        and len(part.encode()) <= _LONGEST_COMPONENT_BYTES  # where a store keeps the key's own text
        and not _SHORTENED.search(part)
        and not _CONTROL.search(part)
    )


def _shorten(text: str, mark: str) -> str:
    """Write *text* as one component: what can be read of it, *mark*, digest, suffix."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    suffix = _SUFFIX.search(text)
    stem = text[: suffix.start()] if suffix else text
    readable = re.sub(r"[^\w.-]+", "_", stem)[:40].strip("._")
    return f"{readable}{mark}{digest}{suffix[0] if suffix else ''}"
