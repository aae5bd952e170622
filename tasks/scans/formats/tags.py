"""Numbers of TIFF 6.0, its supplements and libraries: tags, and what their values mean."""

from tasks.scans.formats.structure import Photometric

NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = (
    254, 255, 256, 257, 258, 259, 262,
)  # fmt: skip
FILL_ORDER, STRIP_OFFSETS, SAMPLES = 266, 273, 277
ROWS_PER_STRIP, STRIP_BYTES, MAX_SAMPLE, PLANAR = 278, 279, 281, 284
RESPONSE_UNIT, RESPONSE, TRANSFER, WHITE_POINT, PRIMARIES = 290, 291, 301, 318, 319
T4_OPTIONS, T6_OPTIONS, PREDICTOR, COLOUR_MAP, INK_SET = 292, 293, 317, 320, 332
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES, SUB_IFDS = 322, 323, 324, 325, 330
EXTRA_SAMPLES, SAMPLE_FORMAT, SMIN_SAMPLE, SMAX_SAMPLE, JPEG_TABLES = 338, 339, 340, 341, 347
YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, YCBCR_POSITIONING, REFERENCE_BLACK_WHITE = 529, 530, 531, 532
XMP, IPTC, PHOTOSHOP, ICC, EXIF_IFD, GPS_IFD = 700, 33723, 34377, 34675, 34665, 34853
LERC_PARAMETERS, DNG_VERSION = 50674, 50706
COLOUR_SPACE, INTEROP_IFD, INTEROP_INDEX, GAMMA = 40961, 40965, 1, 42240  # of EXIF

#: What the layout of a page's pixels needs.
DECISIVE = BITS, STRIP_OFFSETS, TILE_OFFSETS
#: What it needs, too, where pixels are compressed.
BYTES = STRIP_BYTES, TILE_BYTES
#: What signed and floating-point samples need.
RANGE = SMIN_SAMPLE, SMAX_SAMPLE

DESCRIPTION, SOFTWARE = 270, 305
REDUCED, MASK = 1, 4  # bits of NewSubfileType
BESIDE = 9  # that, both bits of it: a slide's macro picture by Aperio, a preview's depths by DNG
UNSIGNED, SIGNED, FLOAT, UNTYPED = 1, 2, 3, 4  # of SampleFormat; only its writer knew the last
RGB, PALETTE, CMYK, YCBCR = 2, 3, 5, 6  # of PhotometricInterpretation
LAB = {8, 9, 10}

PHOTOMETRICS = {
    0: Photometric.MIN_IS_WHITE,
    1: Photometric.MIN_IS_BLACK,
    RGB: Photometric.RGB,
    PALETTE: Photometric.PALETTE,
    CMYK: Photometric.CMYK,
    YCBCR: Photometric.YCBCR,
    8: Photometric.LAB,
    9: Photometric.ICC_LAB,
    10: Photometric.ITU_LAB,
}
TRANSPARENCY_MASK, RAW = 4, {32803, 34892}
REFUSED_PHOTOMETRICS = {
    TRANSPARENCY_MASK: "a transparency mask",
    32844: "LogL",
    32845: "LogLuv",
    **dict.fromkeys(RAW, "a camera's raw data"),
}

JPEG, LERC = 7, 34887
#: What is read: by libtiff in libvips (the first), or piece by piece through tifffile.
BY_LIBTIFF = {
    1: "none", 2: "CCITT RLE", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", JPEG: "JPEG", 8: "ZIP",
    32773: "PackBits", 32946: "ZIP",
}  # fmt: skip
#: Codecs that may turn YCbCr into RGB themselves.
COLOUR_CODECS = {
    JPEG: "JPEG",
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    34933: "PNG",
    **dict.fromkeys((34934, 22610), "JPEG XR"),
    **dict.fromkeys((50001, 34927), "WebP"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}
COMPRESSIONS = {
    **BY_LIBTIFF,
    **COLOUR_CODECS,
    LERC: "LERC",
    34925: "LZMA",
    **dict.fromkeys((50000, 34926), "Zstandard"),
}
REFUSED_COMPRESSIONS = {
    6: "old-style JPEG compression",
    32766: "NeXT compression",
    32771: "CCITT compression aligned to words",
    32809: "ThunderScan compression",
    34661: "JBIG compression",
    **dict.fromkeys((34676, 34677), "SGI Log compression"),
}
