"""Photoshop's image resources (8BIM), which hold IPTC, XMP and two statements of rights."""

from collections.abc import Iterator

IPTC, COPYRIGHT_FLAG, URL, XMP, IPTC_DIGEST = 0x0404, 0x040A, 0x040B, 0x0424, 0x0425

#: A bound: Photoshop writes some dozens.
MAX_RESOURCES = 10_000

_SIGNATURES = (b"8BIM", b"AgHg", b"DCSR", b"MeSa", b"PHUT")
_TOLD = {IPTC: "IPTC", COPYRIGHT_FLAG: "the copyright flag", URL: "the copyright URL", XMP: "XMP"}


def image_resources(data: bytes) -> Iterator[tuple[int, bytes, str]]:
    """List resources by number: what each holds, and what is wrong with it, or an empty text.

    One that is cut short is given as far as it goes. What follows and is no resource is given as
    number 0 with its fault, unless it is padding.
    """
    position = 0
    for _ in range(MAX_RESOURCES):
        if position >= len(data):
            return
        at = _resource_at(data, position)
        if at is None:
            if data[position:].strip(b"\0 "):
                yield 0, b"", f"hold no resource at byte {position:,}; what follows was not read"
            return
        if at + 6 > len(data):  # half a number is none: it may have been IPTC's
            yield 0, b"", "end within the head of a resource, which was not read"
            return
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        name_bytes = 1 + data[at + 6] if at + 6 < len(data) else 1
        start = at + 6 + name_bytes + name_bytes % 2
        size = int.from_bytes(data[start : start + 4], "big")
        body = data[start + 4 : start + 4 + size]
        is_cut = start + 4 > len(data) or len(body) < size
        fault = f"end within {_TOLD.get(number, f'resource {number:#06x}')}" if is_cut else ""
        yield number, body, fault
        position = start + 4 + size + size % 2
    yield 0, b"", f"hold over {MAX_RESOURCES:,} resources, of which no more were read"


def _resource_at(data: bytes, position: int) -> int | None:
    """Where the next resource begins: some writers pad once too often, or not at all."""
    places = (position, position - 1, position + 1)
    return next((at for at in places if at >= 0 and data[at : at + 4] in _SIGNATURES), None)
