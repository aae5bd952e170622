"""The tone curve against lcms, the colour engine that viewers use."""

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tasks.scans.icc import evaluate_curve, parametric_curve, sampled_curve
from tasks.scans.reader import open_scan
from tasks.scans.tone import (
    ToneSource,
    light_from_lightness,
    lightness_from_light,
    tone_curve,
)
from tests import scanfiles

PROFILES: dict[str, Callable[[], bytes]] = {
    "gray gamma 2.2": scanfiles.gray_gamma,
    "gray gamma 1.8": lambda: scanfiles.gray_gamma(1.8),
    "linear": lambda: scanfiles.gray_gamma(1.0),
    "dot gain 20 %": scanfiles.dot_gain,
    "sRGB grey": scanfiles.srgb_grey,
    "grey by table": scanfiles.grey_by_table,
}


@pytest.fixture(params=sorted(PROFILES))
def icc(request: pytest.FixtureRequest) -> bytes:
    """A grey profile of each kind."""
    return PROFILES[request.param]()


def by_lcms(icc: bytes, pixels: np.ndarray) -> np.ndarray:
    """L*a*b* of pixels, (h, w, channels), by lcms in floating point, relative colorimetric."""
    is_grey = pixels.shape[2] == 1
    return imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[..., 0] if is_grey else pixels),
        icc,
        imagecodecs.cms_profile("lab4"),
        colorspace="gray" if is_grey else "rgb",
        outcolorspace="lab",
        outdtype="float32",
        intent=1,
    )


def by_libvips(icc: bytes, pixels: np.ndarray) -> np.ndarray:
    """L*a*b* of pixels, (h, w, channels), by lcms in the integers that libvips asks for."""
    names = {(1, 1): "b-w", (1, 2): "grey16", (3, 1): "srgb", (3, 2): "rgb16"}
    picture = pyvips.Image.new_from_array(pixels).copy(
        interpretation=names[pixels.shape[2], pixels.dtype.itemsize]
    )
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return picture.icc_import(embedded=True, pcs="lab", intent="relative").numpy()


def ramp(bits: int, channels: int = 1) -> np.ndarray:
    """Every code of a depth in every channel, (1, 2**bits, channels)."""
    codes = np.arange(1 << bits).astype(np.uint8 if bits == 8 else np.uint16)
    return np.repeat(codes[None, :, None], channels, axis=2)


@pytest.mark.parametrize("bits", [8, 16])
def test_lightness_is_what_lcms_says(icc: bytes, bits: int) -> None:
    """Each code's L* equals the engine's within what its 16-bit arithmetic loses."""
    tone = tone_curve(icc, bits=bits)
    assert tone.source == ToneSource.PROFILE
    # Samples of a curve are 16-bit numbers, in which black has steps of 903.3 / 65535 = 0.014 L*.
    assert np.abs(tone.lightness - by_lcms(icc, ramp(bits))[0, :, 0]).max() < 0.01


def test_integers_would_have_lost_the_shadows_of_a_linear_scan() -> None:
    """Why lcms is not asked through libvips: it shortens a grey profile to 33 nodes."""
    icc = scanfiles.gray_gamma(1.0)
    shortened = by_libvips(icc, ramp(16))[0, :, 0]
    assert np.abs(shortened - tone_curve(icc, bits=16).lightness).max() > 2


@pytest.mark.parametrize("bits", [8, 16])
def test_relabelling_would_have_shifted_the_tone(bits: int) -> None:
    """Gray Gamma 2.2 read as sRGB is off by more than the gate allows: the profile matters."""
    honoured = tone_curve(scanfiles.gray_gamma(), bits=bits)
    relabelled = tone_curve(None, bits=bits)
    assert relabelled.source == ToneSource.ASSUMED
    assert 1.0 < np.abs(honoured.lightness - relabelled.lightness).max() < 3.5


@pytest.mark.parametrize("bits", [8, 16])
def test_encoding_inverts_the_curve(icc: bytes, bits: int) -> None:
    """Each code comes back, but where the curve gives two codes one light."""
    tone = tone_curve(icc, bits=bits)
    found = tone.encode(tone.linear)
    assert found.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.array_equal(tone.linear[found], tone.linear)
    rises = np.diff(tone.linear, prepend=-1, append=2) > 0
    alone = rises[:-1] & rises[1:]
    assert np.array_equal(found[alone], np.flatnonzero(alone))


@settings(max_examples=20, deadline=None)
@given(
    gamma=st.floats(1.0, 3.0),
    bits=st.sampled_from([8, 16]),
    light=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
)
def test_encoding_finds_the_nearest_code(gamma: float, bits: int, light: list[float]) -> None:
    """No other code is nearer in light, whatever the curve."""
    tone = tone_curve(scanfiles.gray_gamma(round(gamma, 2)), bits=bits)
    wanted = np.array(light, dtype=np.float32)
    found = tone.encode(wanted)
    best = np.abs(tone.linear[None, :] - wanted[:, None]).min(axis=1)
    # float32 light has a grain of 6e-8 at white; the comparison may be off by that.
    assert (np.abs(tone.linear[found] - wanted) <= best + 1.2e-7).all()


def test_encoding_clips_light_out_of_range() -> None:
    """Rounding in a caller's arithmetic may overshoot by a hair."""
    tone = tone_curve(None, bits=8)
    assert tone.encode(np.array([-0.1, -1e-9, 1 + 1e-6, 2.0])).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("bits", [8, 16])
def test_the_rgb_profile_gives_neutral_codes_the_lightness_of_the_scan(
    icc: bytes, bits: int
) -> None:
    """Equal codes under it are neutral for lcms, and as light as the scan's own profile says."""
    tone = tone_curve(icc, bits=bits)
    lab = by_lcms(tone.rgb_profile(), ramp(bits, 3))[0]
    # A curve made from a table is sampled anew, in 16-bit numbers: steps of 0.014 L* at black.
    assert np.abs(lab[:, 0] - by_lcms(icc, ramp(bits))[0, :, 0]).max() < 0.02
    assert np.abs(lab[:, 1:]).max() < 0.01


@pytest.mark.parametrize("bits", [8, 16])
def test_libvips_accepts_the_rgb_profile(icc: bytes, bits: int) -> None:
    """Viewers built on libvips see neutral codes as neutral."""
    lab = by_libvips(tone_curve(icc, bits=bits).rgb_profile(), ramp(bits, 3))[0]
    assert np.abs(lab[:, 1:]).max() < 0.05
    assert (np.diff(lab[:, 0]) >= -0.01).all()


def test_the_rgb_profile_is_accepted_by_the_other_binding_of_lcms(icc: bytes) -> None:
    """Pillow's ImageCms opens it, and transforms neutral codes as under the grey profile."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(tone_curve(icc, bits=8).rgb_profile()))
    assert profile.profile.xcolor_space.strip() == "RGB"
    assert profile.profile.version >= 4.0
    grey = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    target = ImageCms.createProfile("sRGB")
    whole_curves = ImageCms.Flags.NOOPTIMIZE  # else the grey one is shortened to 33 nodes
    results = []
    for source, channels, mode in ((profile, 3, "RGB"), (grey, 1, "L")):
        rule = ImageCms.buildTransform(source, target, mode, "RGB", flags=whole_curves)
        codes = ramp(8, channels)
        picture = Image.fromarray(codes if channels == 3 else codes[..., 0])
        results.append(np.asarray(ImageCms.applyTransform(picture, rule)).astype(int))
    difference = results[0] - results[1]
    assert np.abs(difference).max() <= 1


def test_the_rgb_profile_has_the_primaries_of_srgb() -> None:
    """Colours under the profile of an unlabelled scan are those of sRGB, for lcms."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 64, 3)).astype(np.uint8)
    ours = by_lcms(tone_curve(None, bits=8).rgb_profile(), pixels)
    theirs = by_lcms(scanfiles.srgb(), pixels)
    assert np.abs(ours - theirs).max() < 0.1


def test_the_rgb_profile_keeps_the_scans_curve_byte_for_byte() -> None:
    """A sampled curve is not sampled again."""
    tone = tone_curve(scanfiles.dot_gain(), bits=16)
    assert tone.curve in scanfiles.dot_gain()
    assert tone.curve in tone.rgb_profile()


@pytest.mark.parametrize(
    "icc",
    [
        b"",
        b"not a profile" * 40,
        scanfiles.gray_gamma()[:200],
        scanfiles.gray_gamma().replace(b"kTRC", b"xTRC"),
        scanfiles.srgb(),
        scanfiles.gray_gamma().replace(b"para", b"junk"),
    ],
    ids=["empty", "noise", "cut", "no curve", "of RGB", "unknown curve"],
)
def test_an_unusable_profile_is_passed_over_and_noted(icc: bytes) -> None:
    """As every viewer does: sRGB is assumed, and the source says why."""
    tone = tone_curve(icc, bits=8)
    assert tone.source == ToneSource.UNUSABLE
    assert np.array_equal(tone.lightness, tone_curve(None, bits=8).lightness)


def test_a_profile_of_lightness_itself_is_read_as_that() -> None:
    """A grey curve whose connection space is L*a*b* gives L*, not light."""
    icc = scanfiles.gray_gamma(1.0).replace(b"GRAYXYZ ", b"GRAYLab ")
    tone = tone_curve(icc, bits=8)
    assert np.allclose(tone.lightness, np.linspace(0, 100, 256), atol=1e-3)
    assert np.abs(by_lcms(icc, ramp(8))[0, :, 0] - tone.lightness).max() < 0.02


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_parametric_curves_are_evaluated_as_lcms_does(data: st.DataObject) -> None:
    """All five function types of `para`, with the engine as the judge."""
    count = data.draw(st.sampled_from([1, 3, 4, 5, 7]))
    g = data.draw(st.floats(1.0, 2.6))
    breaks = data.draw(st.floats(0.02, 0.1))
    slope = data.draw(st.floats(0.05, 0.3))
    tag = parametric_curve(*(g, 0.95, 0.05, slope, breaks, 0.01, 0.02)[:count])
    x = np.linspace(0, 1, 256)
    found = evaluate_curve(tag, x)
    assert found is not None
    icc = scanfiles.build_profile(b"GRAY", tag, description="drawn")
    lightness = lightness_from_light(np.clip(found, 0, 1))
    theirs = np.clip(by_lcms(icc, ramp(8))[0, :, 0], 0, 100)  # it lets curves overshoot white
    assert np.abs(lightness - theirs).max() < 0.01


def test_sampled_curves_are_interpolated_linearly() -> None:
    """Between two samples the curve is straight, and a gamma is a power."""
    x = np.linspace(0, 1, 11)
    assert np.allclose(
        evaluate_curve(sampled_curve(np.array([0, 0.2, 1.0])), x),
        [
            0,
            0.04,
            0.08,
            0.12,
            0.16,
            0.2,
            0.36,
            0.52,
            0.68,
            0.84,
            1.0,
        ],
        atol=1e-4,
    )
    gamma = b"curv\0\0\0\0\0\0\0\1\x02\x33"
    assert np.allclose(evaluate_curve(gamma, x), x ** (0x233 / 256))


def test_lightness_and_light_are_inverse() -> None:
    """The two formulas of CIE 15 undo each other on both sides of their break."""
    light = np.linspace(0, 1, 4001)
    assert np.allclose(light_from_lightness(lightness_from_light(light)), light, atol=1e-12)


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "jp2"])
def test_the_profile_is_found_in_every_format(suffix: str, tmp_path: Path) -> None:
    """A scan's tone is that of its embedded profile."""
    icc, codes = scanfiles.gray_gamma(1.8), scanfiles.codes_of(scanfiles.photograph())
    path = tmp_path / f"scan.{suffix}"
    if suffix == "jpg":
        scanfiles.write_jpeg(path, codes, icc_profile=icc)
    elif suffix == "tif":
        scanfiles.write_tiff(path, codes, extratags=[(scanfiles.ICC_TAG, 7, len(icc), icc, True)])
    elif suffix == "png":
        Image.fromarray(codes).save(path, icc_profile=icc)
    else:
        scanfiles.write_jp2(path, codes, codecformat="jp2")
        path.write_bytes(scanfiles.with_jp2_profile(path.read_bytes(), icc))
    scan = open_scan(path)
    assert scan.header.icc == icc
    assert scan.tone.source == ToneSource.PROFILE
    assert np.array_equal(scan.tone.lightness, tone_curve(icc, bits=8).lightness)
