"""Numbers of EXIF's tags. The reader never loads Pillow, which has such a table, too."""

import enum


class Tag(enum.IntEnum):
    """EXIF's tags that are read, under the names that EXIF and Microsoft gave them."""

    DocumentName = 0x010D
    ImageDescription = 0x010E
    Make = 0x010F
    Model = 0x0110
    Orientation = 0x0112
    XResolution = 0x011A
    YResolution = 0x011B
    ResolutionUnit = 0x0128
    Software = 0x0131
    Artist = 0x013B
    Copyright = 0x8298
    ExifIFD = 0x8769
    GPSInfoIFD = 0x8825
    DateTimeOriginal = 0x9003
    DateTimeDigitized = 0x9004
    OffsetTimeOriginal = 0x9011
    OffsetTimeDigitized = 0x9012
    MakerNote = 0x927C
    UserComment = 0x9286
    XPTitle = 0x9C9B
    XPComment = 0x9C9C
    XPAuthor = 0x9C9D
    XPKeywords = 0x9C9E
    XPSubject = 0x9C9F
