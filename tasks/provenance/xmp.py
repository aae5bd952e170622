"""XMP of a derivative: what it was made from, by what, and that its colours are a guess.

Property names are those of ISO 16684-1 (XMP) and of the IPTC Photo Metadata Standard 2025.1.
"""

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

from tasks.provenance.model import DIGITAL_SOURCE_TYPE, Provenance
from tasks.provenance.packet import serialize
from tasks.scans.metadata.dates import iso_date
from tasks.scans.metadata.packet import Packet, clean_text, tag

#: XMP's names for renditions (ISO 16684-1, RenditionClass) by the kind of file.
RENDITIONS = {"master": "default", "access": "screen", "thumbnail": "thumbnail"}

_DEFAULT_LANGUAGE = {tag("xml:lang"): "x-default"}

# What an existing packet says that would be false of the derivative: who it is, what its samples
# are, how it was turned, what its thumbnail shows.
_NOT_CARRIED = {
    *map(
        tag,
        (
            "xmpMM:DocumentID", "xmpMM:InstanceID", "xmpMM:DerivedFrom", "xmpMM:RenditionClass",
            "xmp:CreateDate", "xmp:ModifyDate", "xmp:MetadataDate", "xmp:CreatorTool",
            "xmp:Thumbnails", "xmpNote:HasExtendedXMP", "dc:format", "dc:source",
            "photoshop:ColorMode", "photoshop:ICCProfile", "photoshop:LegacyIPTCDigest",
            "exif:ColorSpace",
            "exif:PixelXDimension", "exif:PixelYDimension", "exif:NativeDigest",
            "tiff:NativeDigest", "tiff:ImageWidth", "tiff:ImageLength", "tiff:BitsPerSample",
            "tiff:Compression", "tiff:PhotometricInterpretation", "tiff:Orientation",
            "tiff:SamplesPerPixel", "tiff:PlanarConfiguration", "tiff:YCbCrSubSampling",
            "tiff:YCbCrPositioning", "tiff:XResolution", "tiff:YResolution", "tiff:ResolutionUnit",
            "tiff:Software", "tiff:DateTime",
        ),
    ),
}  # fmt: skip


def build_xmp(
    provenance: Provenance,
    *,
    kind: str = "master",
    rights: str = "",
    existing: Packet | None = None,
) -> bytes:
    """Write the XMP packet of a derivative: `compose_xmp`, in UTF-8."""
    return serialize(compose_xmp(provenance, kind=kind, rights=rights, existing=existing))


def compose_xmp(
    provenance: Provenance,
    *,
    kind: str = "master",
    rights: str = "",
    existing: Packet | None = None,
) -> Packet:
    """Put together what a derivative's XMP says.

    Args:
        provenance: Where it comes from; any text is safe in it.
        kind: Which of the item's files this is for: master, access or thumbnail.
        rights: The archive's own rights statement; may be empty.
        existing: What the scan's file says: all that is true of the derivative is carried over.

    Returns:
        The properties: what the scan says first, then what we say.
    """
    packet = existing or Packet()
    carried: dict[str, ET.Element] = {}
    for one in packet.properties:
        if one.tag not in _NOT_CARRIED:
            carried.setdefault(one.tag, one)
    properties = {element.tag: element for element in _described(provenance, rights)}
    properties.update(carried)  # the scan's own packet says it with more detail
    for element in (
        *_declared(provenance),
        *_managed(provenance, kind, carried),
        _instructions(provenance, carried.get(tag("photoshop:Instructions"))),
    ):
        properties[element.tag] = element
    return Packet(tuple(properties.values()), packet.prefixes)


def _described(provenance: Provenance, rights: str) -> Iterator[ET.Element]:
    """What the scan says of its subject; the archive's rights statement where it has none."""
    said = provenance.descriptive
    if said.title:
        yield _alternative("dc:title", said.title)
    if said.description:
        yield _alternative("dc:description", said.description)
    if said.artist:
        yield _list("dc:creator", "rdf:Seq", said.artist)
    if said.copyright or rights:
        yield _alternative("dc:rights", said.copyright or rights)
    if rights:
        yield _alternative("xmpRights:UsageTerms", rights)
    if said.credit:
        yield _text("photoshop:Credit", said.credit)
    if said.identifier:
        yield _text("dc:identifier", said.identifier)
    if said.date:
        date = iso_date(said.date)
        yield (
            _text("photoshop:DateCreated", date) if date else _list("dc:date", "rdf:Seq", said.date)
        )


def _declared(provenance: Provenance) -> Iterator[ET.Element]:
    """That a machine made the colours, which one, and from what."""
    yield _text("Iptc4xmpExt:DigitalSourceType", DIGITAL_SOURCE_TYPE)
    yield _text("Iptc4xmpExt:AISystemUsed", f"Autochrome, network {provenance.model_name}")
    version = f"{provenance.software}, checkpoint sha256:{provenance.checkpoint_digest}"
    yield _text("Iptc4xmpExt:AISystemVersionUsed", version)
    yield _text("dc:source", provenance.scan_uri)
    yield _text("xmp:CreatorTool", provenance.software)
    for name in ("xmp:CreateDate", "xmp:ModifyDate", "xmp:MetadataDate"):
        yield _text(name, provenance.created_at.isoformat(timespec="seconds"))
    yield _text("autochrome:ScanSha256", provenance.scan_sha256)
    yield _text("autochrome:Page", str(provenance.page + 1))
    yield _text("autochrome:CheckpointSha256", provenance.checkpoint_digest)
    yield _text("autochrome:Recipe", provenance.recipe_digest)
    yield _text("autochrome:Confidence", f"{provenance.confidence:.3f}")
    if (said := provenance.correction) is not None:
        yield _text("autochrome:Correction", str(said.number))
        yield _text("autochrome:CorrectedBy", said.who)
        yield _text("autochrome:CorrectedAt", said.made_at.isoformat(timespec="seconds"))
        yield _text("autochrome:Hints", str(said.hints))
        yield _text("autochrome:Masks", str(said.masks))
        yield _text("autochrome:Strength", f"{said.strength:g}")
        if said.parts:
            frames = (f"{one.frame}" for one in said.parts)
            yield _text("autochrome:CorrectedFrames", ", ".join(frames))
        if said.note:
            yield _text("autochrome:CorrectionNote", said.note)


def _managed(
    provenance: Provenance, kind: str, carried: Mapping[str, ET.Element]
) -> Iterator[ET.Element]:
    """The file's identity, its source and its history, after ISO 16684-1's media management."""
    rendition = RENDITIONS[kind]
    instance = provenance.instance_id(rendition)
    yield _text("xmpMM:DocumentID", provenance.document_id)
    yield _text("xmpMM:InstanceID", instance)
    yield _text("xmpMM:RenditionClass", rendition)
    source = {
        "stRef:documentID": provenance.scan_uri,
        "stRef:instanceID": f"sha256:{provenance.scan_sha256}",
        "stRef:filePath": provenance.scan_uri,
    }
    yield _structure("xmpMM:DerivedFrom", source)
    said = provenance.correction
    by_hand = "" if said is None else f", with {said.in_words()}"
    event = {
        "stEvt:action": "derived",
        "stEvt:instanceID": instance,
        "stEvt:parameters": f"colourized from {provenance.scan_uri}{by_hand}",
        "stEvt:softwareAgent": provenance.software,
        "stEvt:when": provenance.created_at.isoformat(timespec="seconds"),
    }
    history = ET.Element(tag("xmpMM:History"))
    events = ET.SubElement(history, tag("rdf:Seq"))
    if (earlier := carried.get(history.tag)) is not None:
        events.extend(earlier.findall(f"{tag('rdf:Seq')}/{tag('rdf:li')}"))
    item = _structure("rdf:li", event)
    events.append(item)
    yield history


def _instructions(provenance: Provenance, existing: ET.Element | None) -> ET.Element:
    """The note in plain words, under what the scan's own packet instructs.

    IPTC's Instructions is where people look before they publish a picture; the archive's own
    description stays as it is.
    """
    before = "" if existing is None else (existing.text or "").strip()
    return _text("photoshop:Instructions", "\n".join(filter(None, (before, provenance.note))))


def _text(name: str, text: str) -> ET.Element:
    element = ET.Element(tag(name))
    element.text = clean_text(text)
    return element


def _list(name: str, form: str, text: str) -> ET.Element:
    element = ET.Element(tag(name))
    items = ET.SubElement(element, tag(form))
    ET.SubElement(items, tag("rdf:li")).text = clean_text(text)
    return element


def _alternative(name: str, text: str) -> ET.Element:
    element = _list(name, "rdf:Alt", text)
    element[0][0].attrib.update(_DEFAULT_LANGUAGE)
    return element


def _structure(name: str, fields: Mapping[str, str]) -> ET.Element:
    element = ET.Element(tag(name), {tag("rdf:parseType"): "Resource"})
    element.extend(_text(field, text) for field, text in fields.items())
    return element
