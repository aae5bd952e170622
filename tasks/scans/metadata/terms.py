"""Which property of XMP says what other places say, after IPTC's Photo Metadata Standard 2025.1."""

from xml.etree import ElementTree as ET

from tasks.scans.formats.exiftags import Tag
from tasks.scans.metadata.packet import clean_text, tag

#: IPTC-IIM, record 2: the property, and its form (empty for plain text).
IIM = {
    5: ("dc:title", "rdf:Alt"),
    10: ("photoshop:Urgency", ""),
    12: ("Iptc4xmpCore:SubjectCode", "rdf:Bag"),
    15: ("photoshop:Category", ""),
    20: ("photoshop:SupplementalCategories", "rdf:Bag"),
    25: ("dc:subject", "rdf:Bag"),
    40: ("photoshop:Instructions", ""),
    80: ("dc:creator", "rdf:Seq"),
    85: ("photoshop:AuthorsPosition", ""),
    90: ("photoshop:City", ""),
    92: ("Iptc4xmpCore:Location", ""),
    95: ("photoshop:State", ""),
    100: ("Iptc4xmpCore:CountryCode", ""),
    101: ("photoshop:Country", ""),
    103: ("photoshop:TransmissionReference", ""),
    105: ("photoshop:Headline", ""),
    110: ("photoshop:Credit", ""),
    115: ("photoshop:Source", ""),
    116: ("dc:rights", "rdf:Alt"),
    120: ("dc:description", "rdf:Alt"),
    122: ("photoshop:CaptionWriter", ""),
}
IIM_DATE, IIM_TIME = 55, 60

#: EXIF and TIFF tags, the more telling first where two mean the same.
EXIF = {
    Tag.DocumentName: ("dc:title", "rdf:Alt"),
    Tag.XPTitle: ("dc:title", "rdf:Alt"),
    Tag.ImageDescription: ("dc:description", "rdf:Alt"),
    Tag.XPComment: ("dc:description", "rdf:Alt"),
    Tag.XPSubject: ("dc:description", "rdf:Alt"),
    Tag.Artist: ("dc:creator", "rdf:Seq"),
    Tag.XPAuthor: ("dc:creator", "rdf:Seq"),
    Tag.XPKeywords: ("dc:subject", "rdf:Bag"),
    Tag.Copyright: ("dc:rights", "rdf:Alt"),
    Tag.UserComment: ("exif:UserComment", "rdf:Alt"),
}

#: Keywords of PNG's text chunks; JPEG's comments have the last one.
PNG = {
    "title": ("dc:title", "rdf:Alt"),
    "description": ("dc:description", "rdf:Alt"),
    "author": ("dc:creator", "rdf:Seq"),
    "copyright": ("dc:rights", "rdf:Alt"),
    "disclaimer": ("xmpRights:UsageTerms", "rdf:Alt"),
    "creation time": ("dc:date", "rdf:Seq"),
    "comment": ("exif:UserComment", "rdf:Alt"),
}


def make_property(name: str, form: str, texts: tuple[str, ...]) -> ET.Element:
    """A property of plain text, or of a list in that form; of alternatives there is one."""
    element = ET.Element(tag(name))
    if not form:
        element.text = clean_text("; ".join(texts))
        return element
    items = ET.SubElement(element, tag(form))
    for text in ("; ".join(texts),) if form == "rdf:Alt" else texts:
        ET.SubElement(items, tag("rdf:li")).text = clean_text(text)
    if form == "rdf:Alt":
        items[0].set(tag("xml:lang"), "x-default")
    return element


def texts_of(element: ET.Element) -> tuple[str, ...]:
    """The texts of a property: of a list all, of alternatives in languages the default.

    Of a structure, its texts; of a reference, its address.
    """
    items = list(element.iter(tag("rdf:li"))) or [element]
    texts = ("".join(one.itertext()).strip() or one.get(tag("rdf:resource"), "") for one in items)
    said = [(one, text) for one, text in zip(items, texts, strict=True) if text]
    if element.find(tag("rdf:Alt")) is not None:
        said.sort(key=lambda pair: pair[0].get(tag("xml:lang")) != "x-default")
        said = said[:1]
    return tuple(text for _, text in said)
