"""Makes metadata of every kind, and small scans that hold them in every place a standard allows."""

import hashlib
import itertools
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, PngImagePlugin

from tests import scanfiles
from tests.scanfiles import codes_of, photograph, with_png_chunk

RIGHTS = "© Stadtarchiv 1934, no reuse without leave"
CREATOR = "Anna Köster"
CAPTION = "Blick vom Turm auf den Hafen"

Tag = tuple[int, int, int, bytes, bool]
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, COPYRIGHT_TAG, DATE_TAG = 700, 33723, 34377, 33432, 306


def iptc_records(*, mark: bytes = b"\x1b%G", coding: str = "utf-8", **more: str) -> bytes:
    """Datasets: version, coding, caption, creator, rights, date; further ones as `n25="word"`."""
    texts = {80: CREATOR, 116: RIGHTS, 120: CAPTION, 55: "19340612"}
    texts |= {int(name[1:]): text for name, text in more.items()}
    records = b"\x1c\x01\x5a" + struct.pack(">H", len(mark)) + mark if mark else b""
    records += b"\x1c\x02\x00\x00\x02\x00\x04"
    for number, text in texts.items():
        body = text.encode(coding)
        records += struct.pack(">BBBH", 0x1C, 2, number, len(body)) + body
    return records


def resource(number: int, body: bytes, name: bytes = b"") -> bytes:
    """One of Photoshop's image resources."""
    name = bytes((len(name),)) + name
    name += b"\0" * (len(name) % 2)
    head = b"8BIM" + struct.pack(">H", number) + name + struct.pack(">I", len(body))
    return head + body + b"\0" * (len(body) % 2)


def photoshop(records: bytes) -> bytes:
    """Resources as Photoshop writes them, IPTC amid others."""
    return resource(0x03ED, b"\0" * 16) + resource(0x0404, records) + resource(0x03F3, b"\0" * 9)


def xmp(rights: str = RIGHTS, more: str = "", **attributes: str) -> str:
    """A packet with rights, terms of use, their page, a licensor, creator and caption."""
    said = "".join(f' {name.replace("_", ":")}="{text}"' for name, text in attributes.items())
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
 xmlns:xmpNote="http://ns.adobe.com/xmp/note/"
 xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/">
<rdf:Description rdf:about="" xmpRights:Marked="True"{said}>
 <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{rights}</rdf:li></rdf:Alt></dc:rights>
 <xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang="x-default">Reading room only</rdf:li></rdf:Alt>
 </xmpRights:UsageTerms>
 <xmpRights:WebStatement>https://archive.example/rights</xmpRights:WebStatement>
 <plus:Licensor><rdf:Seq><rdf:li rdf:parseType="Resource">
  <plus:LicensorName>Stadtarchiv</plus:LicensorName></rdf:li></rdf:Seq></plus:Licensor>
 <dc:creator><rdf:Seq><rdf:li>{CREATOR}</rdf:li></rdf:Seq></dc:creator>
 <dc:description><rdf:Alt><rdf:li xml:lang="de">Hafen</rdf:li>
  <rdf:li xml:lang="x-default">{CAPTION}</rdf:li></rdf:Alt></dc:description>{more}
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def tiff(folder: Path, *tags: Tag, byteorder: str = "<") -> Path:
    """A grey TIFF with tags."""
    path = folder / "scan.tif"
    codes = codes_of(photograph(60, 80))
    return scanfiles.write_tiff(path, codes, extratags=list(tags), byteorder=byteorder)


def jpeg(folder: Path, *segments: tuple[int, bytes], exif: bytes = b"") -> Path:
    """A grey JPEG with segments, in their order."""
    path = scanfiles.write_jpeg(folder / "scan.jpg", codes_of(photograph(60, 80)), exif=exif)
    data = path.read_bytes()
    inner = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    path.write_bytes(data[:2] + inner + data[2:])
    return path


def png(folder: Path, *chunks: tuple[bytes, bytes], **texts: str) -> Path:
    """A grey PNG with chunks, and text that Pillow writes."""
    path, info = folder / "scan.png", PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text, zip=True)
    Image.fromarray(codes_of(photograph(60, 80))).save(path, pnginfo=info)
    data = path.read_bytes()
    for kind, body in reversed(chunks):
        data = with_png_chunk(data, kind, body)
    path.write_bytes(data)
    return path


def jp2(folder: Path, *boxes: tuple[bytes, bytes]) -> Path:
    """A grey JP2 with boxes before its codestream."""
    path = scanfiles.write_jp2(folder / "scan.jp2", codes_of(photograph(60, 80)))
    data = path.read_bytes()
    at = data.index(b"jp2c") - 4
    inner = b"".join(struct.pack(">I", len(body) + 8) + kind + body for kind, body in boxes)
    path.write_bytes(data[:at] + inner + data[at:])
    return path


def turned(records: bytes) -> bytes:
    """Datasets as a tag of LONGs holds them in a file of the other byte order."""
    records += b"\0" * (-len(records) % 4)
    return b"".join(records[at : at + 4][::-1] for at in range(0, len(records), 4))


def app13(data: bytes, *cuts: int) -> list[tuple[int, bytes]]:
    """Photoshop's resources in one segment, or in more, cut anywhere."""
    ends = [0, *sorted(cuts), len(data)]
    parts = (data[start:end] for start, end in itertools.pairwise(ends))
    return [(0xED, b"Photoshop 3.0\0" + part) for part in parts]


def raw_profile(kind: str, data: bytes) -> tuple[bytes, bytes]:
    """A profile in text, as ImageMagick writes it."""
    text = f"\n{kind}\n{len(data):8}\n{data.hex()}\n".encode()
    return b"tEXt", f"Raw profile type {kind}".encode() + b"\0" + text


def extended(packet: str, more: str, *, parts: int = 3) -> list[tuple[int, bytes]]:
    """A packet and its extension, as segments, the parts in reverse."""
    whole = more.encode()
    guid = hashlib.md5(whole, usedforsecurity=False).hexdigest().upper()
    main = packet.replace("{guid}", guid).encode()
    step = -(-len(whole) // parts)
    segments = [
        (
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + guid.encode()
            + struct.pack(">II", len(whole), at)
            + whole[at : at + step],
        )
        for at in range(0, len(whole), step)
    ]
    return [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main), *reversed(segments)]


def uuid(text: str) -> bytes:
    """The sixteen bytes of a box's name."""
    return bytes.fromhex(text)


Maker = Callable[[Path, bytes], Path]


def _tagged(tag: int, kind: int, *, size: int = 1, byteorder: str = "<") -> Maker:
    def make(folder: Path, data: bytes) -> Path:
        data += b"\0" * (-len(data) % size)
        entry = (tag, kind, len(data) // size, data, True)
        return tiff(folder, entry, byteorder=byteorder)

    return make


def _stub_and_34377(folder: Path, data: bytes) -> Path:
    stub = b"\x1c\x02\x00\x00\x02\x00\x04"
    block = photoshop(data)
    return tiff(
        folder,
        (IPTC_TAG, 7, len(stub), stub, True),
        (PHOTOSHOP_TAG, 1, len(block), block, True),
    )


#: Every place that IPTC-IIM may stand in; each takes datasets.
IPTC_PLACES: dict[str, Maker] = {
    "tag 33723 as BYTE": _tagged(IPTC_TAG, 1),
    "tag 33723 as UNDEFINED": _tagged(IPTC_TAG, 7),
    "tag 33723 as LONG": _tagged(IPTC_TAG, 4, size=4),
    "tag 33723 as LONG, big-endian": _tagged(IPTC_TAG, 4, size=4, byteorder=">"),
    "tag 33723 as LONG, turned": lambda folder, data: _tagged(IPTC_TAG, 4, size=4)(
        folder, turned(data)
    ),
    "tag 34377": lambda folder, data: _tagged(PHOTOSHOP_TAG, 1)(folder, photoshop(data)),
    "tag 34377, undefined": lambda folder, data: _tagged(PHOTOSHOP_TAG, 7)(folder, photoshop(data)),
    "a stub in 33723, and 34377": _stub_and_34377,
    "APP13": lambda folder, data: jpeg(folder, *app13(photoshop(data))),
    "APP13 in two": lambda folder, data: jpeg(folder, *app13(photoshop(data), 90)),
    "APP13 of Photoshop 2.5": lambda folder, data: jpeg(
        folder, (0xED, b"Adobe_Photoshop2.5:\0\0" + photoshop(data))
    ),
    "APP13 without a head": lambda folder, data: jpeg(folder, (0xED, data)),
    "tag 33723 of EXIF": lambda folder, data: jpeg(
        folder, exif=b"Exif\0\0" + directory([(IPTC_TAG, 7, len(data), data)])
    ),
    "raw profile iptc": lambda folder, data: png(folder, raw_profile("iptc", data)),
    "raw profile iptc, resources": lambda folder, data: png(
        folder, raw_profile("iptc", photoshop(data))
    ),
    "raw profile 8bim": lambda folder, data: png(folder, raw_profile("8bim", photoshop(data))),
    "uuid box": lambda folder, data: jp2(
        folder, (b"uuid", uuid("33c7a4d2b81d4723a0baf1a3e097ad38") + data)
    ),
    "uuid box of Photoshop": lambda folder, data: jp2(
        folder, (b"uuid", uuid("2c4c0100850440b9a03e562148d6dfeb") + photoshop(data))
    ),
}


def _itxt(*, is_packed: bool) -> Maker:
    def make(folder: Path, data: bytes) -> Path:
        path, info = folder / "scan.png", PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", data.decode(), zip=is_packed)
        Image.fromarray(codes_of(photograph(60, 80))).save(path, pnginfo=info)
        return path

    return make


#: Every place that XMP may stand in; each takes a packet.
XMP_PLACES: dict[str, Maker] = {
    "tag 700 as BYTE": _tagged(XMP_TAG, 1),
    "tag 700 as UNDEFINED": _tagged(XMP_TAG, 7),
    "tag 34377": lambda folder, data: _tagged(PHOTOSHOP_TAG, 1)(folder, resource(0x0424, data)),
    "APP1": lambda folder, data: jpeg(folder, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + data)),
    "APP1 without the head's NUL": lambda folder, data: jpeg(
        folder, (0xE1, b"http://ns.adobe.com/xap/1.0/" + data)
    ),
    "APP13": lambda folder, data: jpeg(folder, *app13(resource(0x0424, data), 77, 78)),
    "iTXt": _itxt(is_packed=False),
    "iTXt, compressed": _itxt(is_packed=True),
    "raw profile xmp": lambda folder, data: png(folder, raw_profile("xmp", data)),
    "raw profile APP1": lambda folder, data: png(
        folder, raw_profile("APP1", b"http://ns.adobe.com/xap/1.0/\0" + data)
    ),
    "tag 700 of EXIF": lambda folder, data: png(
        folder, (b"eXIf", b"Exif\0\0" + directory([(XMP_TAG, 1, len(data), data)]))
    ),
    "uuid box": lambda folder, data: jp2(
        folder, (b"uuid", uuid("be7acfcb97a942e89c71999491e3afac") + data)
    ),
    "xml box": lambda folder, data: jp2(folder, (b"xml ", data)),
    "xml box in UTF-16": lambda folder, data: jp2(
        folder, (b"xml ", data.decode().encode("utf-16-le"))
    ),
    "xml box in an association": lambda folder, data: jp2(
        folder, (b"asoc", struct.pack(">I", len(data) + 8) + b"xml " + data)
    ),
}


def directory(entries: Sequence[tuple[int, int, int, bytes]]) -> bytes:
    """An EXIF block, little-endian: tag, type, count and value as they are given."""
    return b"II*\0\x08\0\0\0" + _table(entries, at=8)


def _table(entries: Sequence[tuple[int, int, int, bytes]], *, at: int) -> bytes:
    """A directory that lies *at* that byte of its block or file."""
    table, values = b"", b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack("<I", start + len(values))
            values += value + b"\0" * (len(value) % 2)
        table += struct.pack("<HHI", tag, kind, count) + field
    return struct.pack("<H", len(entries)) + table + b"\0" * 4 + values


def rationals(*pairs: tuple[int, int]) -> bytes:
    """Values of type RATIONAL."""
    return b"".join(struct.pack("<II", *pair) for pair in pairs)


#: Berlin, Museum Island, 34.2 m above the sea, looking west.
GPS = [
    (0, 1, 4, b"\2\3\0\0"),
    (1, 2, 2, b"N\0"),
    (2, 5, 3, rationals((52, 1), (31, 1), (1250, 100))),
    (3, 2, 2, b"E\0"),
    (4, 5, 3, rationals((13, 1), (238_800, 10_000), (0, 1))),
    (5, 1, 1, b"\0"),
    (6, 5, 1, rationals((342, 10))),
    (7, 5, 3, rationals((14, 1), (5, 1), (9, 1))),
    (16, 2, 2, b"T\0"),
    (17, 5, 1, rationals((270, 1))),
    (18, 2, 7, b"WGS-84\0"),
    (29, 2, 11, b"2019:06:12\0"),
]
MAKER_NOTES = b"Nikon\0" + bytes(range(200))


def located(gps: Sequence[tuple[int, int, int, bytes]] = GPS, notes: bytes = MAKER_NOTES) -> bytes:
    """An EXIF block with a position and maker notes."""
    places = (8 + 2 + 24 + 4, 8 + 2 + 24 + 4 + 2 + 12 + 4 + len(notes) + len(notes) % 2)
    pointers = [
        (tag, 4, 1, struct.pack("<I", at)) for tag, at in zip((34665, 34853), places, strict=True)
    ]
    inner = _table([(0x927C, 7, len(notes), notes)], at=places[0])
    return directory(pointers) + inner + _table(gps, at=places[1])


def located_tiff(folder: Path, gps: Sequence[tuple[int, int, int, bytes]] = GPS) -> Path:
    """A TIFF with a position in a directory behind its picture."""
    path = tiff(folder, (65000, 4, 1, 0, True))
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 65000, 4, 1))
    struct.pack_into("<HHII", data, at, 34853, 4, 1, len(data))
    path.write_bytes(data + _table(gps, at=len(data)))
    return path
