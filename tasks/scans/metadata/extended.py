"""Extended XMP (ISO 16684-3, 1.1.3.1): a packet too large for one segment of JPEG, in parts."""

import hashlib
from collections.abc import Sequence

from tasks.scans.metadata.packet import MAX_BYTES

_GUID_BYTES, _HEAD_BYTES = 32, 40  # name of the whole; with its length and the part's offset


def join_extended(parts: Sequence[bytes], guid: str) -> tuple[bytes, str]:
    """Join the parts of the packet that the main one names by its digest.

    Returns:
        The packet; and why it is not there, or is not whole, or an empty text.
    """
    wanted = guid.strip().upper()
    if not wanted:
        return b"", "is there, but the packet does not speak of it" if parts else ""
    ours = [
        part for part in parts if part[:_GUID_BYTES].upper() == wanted.encode("ascii", "replace")
    ]
    if not ours:
        return b"", "is announced, and is not there"
    total = int.from_bytes(ours[0][_GUID_BYTES : _GUID_BYTES + 4], "big")
    if total > MAX_BYTES:
        return b"", f"announces {total:,} bytes"
    whole, filled = bytearray(total), 0
    for part in sorted(ours, key=_offset):
        at, body = _offset(part), part[_HEAD_BYTES:]
        if at > filled or at + len(body) > total:
            break
        whole[at : at + len(body)] = body
        filled = max(filled, at + len(body))
    if filled < total:
        return b"", f"has {filled:,} of {total:,} bytes"
    if hashlib.md5(whole, usedforsecurity=False).hexdigest().upper() != wanted:
        return b"", "does not match its digest"
    return bytes(whole), ""


def _offset(part: bytes) -> int:
    return int.from_bytes(part[_GUID_BYTES + 4 : _HEAD_BYTES], "big")
