"""All that a file says of its subject and rights, joined.

Where places disagree, XMP says it (it has languages, structures and no limits of length),
then IPTC, then EXIF, then the format's own text; but IPTC first where Photoshop's digest shows that
it was changed after the packet was written (Metadata Working Group, 2010, section 3). What was
overruled stays in its own place, and is noted.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from xml.etree import ElementTree as ET

from tasks.scans.formats.blocks import OF_RIGHTS, Block, BlockKind
from tasks.scans.formats.exif import Exif, decode_text
from tasks.scans.formats.exiftags import Tag
from tasks.scans.formats.structure import Structure
from tasks.scans.metadata import resources, terms
from tasks.scans.metadata.dates import iso_date, with_time, with_zone
from tasks.scans.metadata.extended import join_extended
from tasks.scans.metadata.iim import Records, join_records, read_records, write_records
from tasks.scans.metadata.packet import NAMESPACES, Packet, parse_packet, tag
from tasks.scans.metadata.terms import make_property, texts_of

_RIGHTS = tuple(f"{{{NAMESPACES[prefix]}}}" for prefix in ("xmpRights", "plus"))

#: Places of one kind that are read: standards know three or four.
_MOST_PLACES = 16

#: Texts of PNG about whose rights are not the picture's: a program's, a profile's.
_OF_OTHERS = ("software", "icc:")

#: What is told when two places disagree about it.
_WEIGHED = {
    tag("dc:rights"): "rights",
    tag("dc:creator"): "the creator",
    tag("dc:description"): "the description",
    tag("photoshop:DateCreated"): "the date",
}


@dataclass(frozen=True)
class Metadata:
    """What was read.

    Attributes:
        packet: The properties of XMP, with what other places say in addition.
        iptc: Datasets of IPTC-IIM from all places; None where there are none.
        exif: Texts of EXIF, or of a TIFF's tags, by tag.
        notes: What is odd, a sentence each.
        unread: What may have been description or rights and could not be read, a sentence each.
    """

    packet: Packet = field(default_factory=Packet)
    iptc: bytes | None = None
    exif: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def read_metadata(structure: Structure) -> Metadata:
    """Read a file's metadata; nothing in it can refuse a scan."""
    found = _Reading(structure.exif, (*structure.blocks, *structure.exif.blocks)).joined()
    first = _Reading(structure.first_exif, structure.first_exif.blocks).joined()
    return _with_rights_of(first, found)


def _with_rights_of(first: Metadata, page: Metadata) -> Metadata:
    """Rights that a file states once, on its first page, hold for one that states none."""
    if any(_is_of_rights(one) for one in page.packet.properties):
        return page
    rights = tuple(one for one in first.packet.properties if _is_of_rights(one))
    notes = ("the rights are those that the file's first page states",) if rights else ()
    unread = tuple(f"on the file's first page, {one}" for one in first.unread)
    return replace(
        page,
        packet=replace(page.packet, properties=(*page.packet.properties, *rights)),
        notes=(*page.notes, *notes, *unread),
        unread=(*page.unread, *unread),
    )


def _is_of_rights(element: ET.Element) -> bool:
    return element.tag == tag("dc:rights") or element.tag.startswith(_RIGHTS)


@dataclass
class _Statement:
    """What one kind of place says, by property."""

    place: str
    properties: dict[str, ET.Element]


class _Reading:
    """The blocks of a file, and what was found wrong on the way."""

    def __init__(self, found: Exif, blocks: Sequence[Block]) -> None:
        self._exif = found
        self._notes = list(found.notes)
        self._unread = list(found.unread)
        self._digest = b""
        self._rights = _Statement("Photoshop", {})
        self._blocks = list(self._whole(blocks))

    def joined(self) -> Metadata:
        """Join what all places say, the first that says a thing first."""
        packet = self._packet()
        records = self._records()
        said = [
            _Statement("XMP", {one.tag: one for one in reversed(packet.properties)}),
            _Statement("IPTC", _of_records(records.texts())),
        ]
        if self._is_newer(records):
            said.reverse()
            self._notes.append(
                "IPTC was changed after XMP was written; where they differ, it counts"
            )
        said += [self._rights, _Statement("EXIF", _of_exif(self._exif)), self._texts()]
        properties: dict[str, ET.Element] = {}
        for one in said:
            self._note_differences(properties, one)
            properties = {**one.properties, **properties}
        return Metadata(
            packet=Packet(tuple(properties.values()), packet.prefixes),
            iptc=write_records(records) if records.datasets else None,
            exif=self._exif.texts,
            notes=tuple(dict.fromkeys((*self._notes, *self._unread))),
            unread=tuple(dict.fromkeys(self._unread)),
        )

    def _whole(self, blocks: Sequence[Block]) -> Iterator[Block]:
        """The blocks that could be had, Photoshop's taken apart."""
        for block in blocks:
            if block.fault:
                self._unread.append(f"{block.kind} in {block.place} {block.fault}")
            elif block.kind is BlockKind.PHOTOSHOP:
                yield from self._resources(block)
            else:
                yield block

    def _resources(self, block: Block) -> Iterator[Block]:
        kinds = {resources.IPTC: BlockKind.IPTC, resources.XMP: BlockKind.XMP}
        for number, body, fault in resources.image_resources(block.data):
            place = f"Photoshop's resources in {block.place}"
            if fault:
                lost = number in {0, resources.URL, *kinds}
                (self._unread if lost else self._notes).append(f"{place} {fault}")
            if number in kinds:
                yield Block(kinds[number], place, body)
            elif number == resources.IPTC_DIGEST:
                self._digest = body
            elif number == resources.COPYRIGHT_FLAG and any(body[:1]):
                self._rights.properties[tag("xmpRights:Marked")] = make_property(
                    "xmpRights:Marked", "", ("True",)
                )
            elif number == resources.URL and body and not fault:
                url = decode_text(body).strip("\0 ")
                self._rights.properties[tag("xmpRights:WebStatement")] = make_property(
                    "xmpRights:WebStatement", "", (url,)
                )

    def _places(self, kind: BlockKind) -> Sequence[Block]:
        """The first blocks of a kind."""
        blocks = [block for block in self._blocks if block.kind is kind]
        if blocks[_MOST_PLACES:]:
            self._unread.append(
                f"{kind} stands in {len(blocks):,} places; {_MOST_PLACES} were read"
            )
        return blocks[:_MOST_PLACES]

    def _packet(self) -> Packet:
        """The packets of all places as one: what the first says of a property stands."""
        properties: dict[str, ET.Element] = {}
        prefixes: dict[str, str] = {}
        for block in self._places(BlockKind.XMP):
            found = parse_packet(block.data)
            if found.mended:
                self._notes.append(f"XMP in {block.place} {found.mended}; it could be read")
            if found.fault:
                whole = f"{len(found.properties)} properties were read" if found.properties else ""
                fault = f"XMP in {block.place} {found.fault}"
                self._unread.append(f"{fault}; {whole}" if whole else fault)
            self._add(properties, prefixes, found)
        parts = [block.data for block in self._blocks if block.kind is BlockKind.EXTENDED_XMP]
        wanted = properties.get(tag("xmpNote:HasExtendedXMP"))
        more, fault = join_extended(parts, "" if wanted is None else wanted.text or "")
        if fault:
            self._unread.append(f"extended XMP {fault}")
        if more:
            found = parse_packet(more)
            if found.fault:
                self._unread.append(f"extended XMP {found.fault}")
            self._add(properties, prefixes, found)
        return Packet(tuple(properties.values()), prefixes)

    def _add(
        self, properties: dict[str, ET.Element], prefixes: dict[str, str], found: Packet
    ) -> None:
        new = {one.tag: one for one in reversed(found.properties)}
        self._note_differences(properties, _Statement("another packet of XMP", new))
        for name, element in reversed(new.items()):
            properties.setdefault(name, element)
        for uri, prefix in found.prefixes.items():
            prefixes.setdefault(uri, prefix)

    def _records(self) -> Records:
        places: list[Records] = []
        before: dict[str, ET.Element] = {}
        for block in self._places(BlockKind.IPTC):
            records = read_records(block.data)
            self._notes += [f"IPTC in {block.place} {note}" for note in records.notes]
            self._unread += [f"IPTC in {block.place} {fault}" for fault in records.unread]
            says = _of_records(records.texts())
            self._note_differences(before, _Statement("IPTC", says))
            before = {**says, **before}
            places.append(records)
        return join_records(places) if places else Records()

    def _is_newer(self, records: Records) -> bool:
        """Whether IPTC is not what it was when the packet was written, by Photoshop's digest."""
        if not any(self._digest) or len(self._digest) != 16 or not records.datasets:
            return False
        blocks = (block.data for block in self._blocks if block.kind is BlockKind.IPTC)
        return self._digest not in {
            hashlib.md5(data[:end], usedforsecurity=False).digest()
            for data in blocks
            for end in (None, len(data.rstrip(b"\0")))
        }

    def _texts(self) -> _Statement:
        said = _Statement("the format's text", {})
        for block in (block for block in self._blocks if block.kind is BlockKind.TEXT):
            text = block.data.decode("utf-8", "replace").strip()
            if block.name in terms.PNG and text:
                name, form = terms.PNG[block.name]
                said.properties.setdefault(tag(name), make_property(name, form, (text,)))
            elif block.name.startswith(_OF_OTHERS):
                continue
            elif OF_RIGHTS.search(block.name.encode() + block.data) or "\u00a9" in text:
                self._unread.append(f"{block.place} speaks of rights, and was not read")
        return said

    def _note_differences(self, stands: Mapping[str, ET.Element], said: _Statement) -> None:
        for name, what in _WEIGHED.items():
            if name not in stands or name not in said.properties:
                continue
            kept, other = ("; ".join(texts_of(one[name])) for one in (stands, said.properties))
            if not _says_the_same(kept, other):
                self._notes.append(
                    f"{said.place} gives {what} otherwise: \u201c{_short(other)}\u201d, where "
                    f"\u201c{_short(kept)}\u201d counts"
                )


def _of_records(texts: Mapping[int, tuple[str, ...]]) -> dict[str, ET.Element]:
    found = {
        tag(name): make_property(name, form, texts[number])
        for number, (name, form) in terms.IIM.items()
        if number in texts
    }
    day = iso_date(texts.get(terms.IIM_DATE, ("",))[0])
    if day:
        moment = with_time(day, texts.get(terms.IIM_TIME, ("",))[0])
        created = make_property("photoshop:DateCreated", "", (moment,))
        found[created.tag] = created
    return found


def _of_exif(said: Exif) -> dict[str, ET.Element]:
    """What the tags say; TIFF's DateTime is when the file was changed, and is no date of ours."""
    texts = said.texts
    found = {
        tag(f"exif:{name}"): make_property(f"exif:{name}", "", (text,))
        for name, text in said.position.items()
    }
    for number, (name, form) in terms.EXIF.items():
        parts = tuple(part.strip() for part in texts.get(number, "").split("\0") if part.strip())
        if parts:
            found.setdefault(tag(name), make_property(name, form, parts))
    created = "photoshop:DateCreated", "exif:DateTimeOriginal"
    for number, offset, names in (
        (Tag.DateTimeOriginal, Tag.OffsetTimeOriginal, created),
        (Tag.DateTimeDigitized, Tag.OffsetTimeDigitized, ("exif:DateTimeDigitized",)),
    ):
        moment = iso_date(texts.get(number, ""))
        if moment:
            moment = with_zone(moment, texts.get(offset, ""))
            found.update((tag(name), make_property(name, "", (moment,))) for name in names)
    return found


def _says_the_same(kept: str, other: str) -> bool:
    """Whether two texts are one, cut short by IPTC's limits or poorer by EXIF's seven bits."""
    plain, poorer = (_in_seven_bits(text) for text in (kept, other))
    return plain.startswith(poorer) or poorer.startswith(plain)


def _in_seven_bits(text: str) -> str:
    return " ".join("".join(char if char.isascii() else "?" for char in text).split())


def _short(text: str, limit: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
