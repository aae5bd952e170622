"""27 megapixels: the luma splice and the TIFF master against what else one could do."""

import io
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyvips
import simplejpeg
from PIL import Image

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import Colorizer
from colormodel.planes import ChromaMap, network_size
from tasks.derivatives import OutputPolicy, write_derivatives
from tasks.derivatives.chroma import encode_plane
from tasks.derivatives.gate import decoded_luma
from tasks.scans.reader import open_scan
from tests.bench.speed.material import large_jpeg, large_tiff
from tests.bench.speed.pipeline import colour_recorded, enqueued, settings_for
from tests.bench.speed.rivals import notebook
from tests.bench.speed.rows import Row, at_least, at_most, cpu_seconds_of, in_turn, seconds_of
from tests.tasks.derivatives.scanmaker import make_provenance

ROUNDS = 3
_SPLICE = OutputPolicy()
COPIES = 6  # of the large JPEG, for pipelines


def measure(folder: Path) -> list[Row]:
    """Rows about a large greyscale JPEG and a large 16-bit TIFF."""
    colorizer = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu")
    jpeg = large_jpeg(folder / "large.jpg")
    return [
        *_jpeg_rows(folder, jpeg, colorizer),
        _ray_row(folder, jpeg),
        *_tiff_rows(folder, colorizer),
    ]


def _jpeg_rows(folder: Path, path: Path, colorizer: Colorizer) -> list[Row]:
    content = path.read_bytes()
    chroma_map = _chroma_map(path, colorizer)
    half = np.full((2250, 3000), 128, np.uint8)
    half[::2, ::3] = 140

    def ours() -> None:
        _write(path, _chroma_map(path, colorizer), folder)

    def infer() -> None:
        small = simplejpeg.decode_jpeg(content, "GRAY", min_height=560, min_width=750)[..., 0]
        colorizer.predict([_resized(small, colorizer)])

    def floor() -> None:
        # A scaled decode, the network, and two chroma planes coded: the least there is to do.
        infer()
        for _ in range(2):
            encode_plane(half, 90, progressive=False)

    def again() -> None:
        # Decode and code all three planes anew: what other tools do.
        infer()
        luma = decoded_luma(content)
        planes = np.stack([luma, np.full_like(luma, 128), np.full_like(luma, 120)], axis=2)
        Image.fromarray(planes, "YCbCr").save(io.BytesIO(), "JPEG", quality=90)

    def interleaved() -> None:
        _write(path, chroma_map, folder, OutputPolicy(grey_jpeg="interleaved"))

    def spliced() -> None:
        _write(path, chroma_map, folder)

    ours_s, floor_s, again_s = in_turn(ours, floor, again, rounds=ROUNDS)
    spliced_s, interleaved_s = in_turn(spliced, interleaved, rounds=ROUNDS)
    by_hand_s = seconds_of(lambda: notebook.colour_all([path], folder / "hand", colorizer))
    told = f"ours {ours_s:.2f} s (of it writing and gate {spliced_s:.2f} s)"
    return [
        at_most("27 Mpx JPEG: splice over the least there is to do", ours_s / floor_s, 1.5,
                f"{told}, least {floor_s:.2f} s"),
        at_least("27 Mpx JPEG: as fast as decoding and coding planes anew", again_s / ours_s, 1.3,
                 f"{told}, anew {again_s:.2f} s"),
        at_least("27 Mpx JPEG: as fast as a notebook", by_hand_s / ours_s, 10,
                 f"{told}, notebook {by_hand_s:.1f} s"),
        Row("27 Mpx JPEG: a splice as fast as a JPEG coded anew, the policy's other way",
            interleaved_s / spliced_s, "×",
            detail=f"splice {spliced_s:.2f} s, anew {interleaved_s:.2f} s"),
    ]  # fmt: skip


def _ray_row(folder: Path, jpeg: Path) -> Row:
    """Some large scans through the whole pipeline, ledger and all, against Ray Data's."""
    claim = "27 Mpx JPEG: as fast as Ray Data"
    if find_spec("pyarrow") is None:
        return Row(claim, float("nan"), "×", "≥ 3 ×", None, "not installed")
    source = folder / "copies"
    source.mkdir()
    paths = [source / f"{number}.jpg" for number in range(COPIES)]
    for path in paths:
        shutil.copyfile(jpeg, path)
    settings = settings_for(folder / "many", str(source), str(folder / "many-out"))
    with enqueued(settings) as worker:
        for _ in range(settings.cores):
            worker.pixels.run(abs, -1)  # children are there when the clock starts
        ours_s = seconds_of(lambda: colour_recorded(worker))
    from tests.bench.speed.rivals import raydata  # noqa: PLC0415 -- not installed everywhere

    def with_ray(scans: list[Path]) -> None:
        raydata.colour_all(scans, folder / "ray", at_once=1)

    with_ray(paths[:1])  # its processes start
    ray_s = seconds_of(lambda: with_ray(paths))
    detail = f"{COPIES} scans: Ray Data {ray_s:.1f} s, ours {ours_s:.1f} s"
    return at_least(claim, ray_s / ours_s, 3, detail)


def _tiff_rows(folder: Path, colorizer: Colorizer) -> list[Row]:
    path = large_tiff(folder / "large.tif")
    copy = folder / "copy.tif"

    def ours() -> None:
        _write(path, _chroma_map(path, colorizer), folder)

    def libvips() -> None:
        # The same depth and coding, three channels as ours has, and no colour at all.
        grey = pyvips.Image.new_from_file(str(path), access="sequential")
        rgb = grey.bandjoin([grey, grey]).copy(interpretation="rgb16")
        rgb.tiffsave(str(copy), tile=True, tile_width=256, tile_height=256, compression="deflate")

    ours_s, libvips_s = in_turn(ours, libvips, rounds=ROUNDS)
    detail = f"ours {ours_s:.1f} s with access copy and gate, libvips {libvips_s:.1f} s"
    ours_cpu_s, libvips_cpu_s = cpu_seconds_of(ours), cpu_seconds_of(libvips)
    return [
        at_most("27 Mpx 16-bit TIFF over libvips copying", ours_s / libvips_s, 1.5, detail),
        Row("the same in CPU time: libvips uses all cores, ours one for each scan",
            ours_cpu_s / libvips_cpu_s, "×",
            detail=f"ours {ours_cpu_s:.1f} s, libvips {libvips_cpu_s:.1f} s"),
    ]  # fmt: skip


def _chroma_map(path: Path, colorizer: Colorizer) -> ChromaMap:
    scan = open_scan(path)
    size = colorizer.network_size(scan.header.height, scan.header.width)
    chroma_map = colorizer.predict([scan.thumbnail(*size)])[0]
    if isinstance(chroma_map, Exception):
        raise chroma_map
    return chroma_map


def _resized(codes: np.ndarray, colorizer: Colorizer) -> np.ndarray:
    height, width = network_size(*codes.shape, network_px=colorizer.checkpoint.network_px)
    small = Image.fromarray(codes).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 2.55


def _write(path: Path, chroma_map: ChromaMap, folder: Path, policy: OutputPolicy = _SPLICE) -> None:
    scan = open_scan(path)
    provenance = make_provenance(scan)
    write_derivatives(path, scan, chroma_map, provenance=provenance, policy=policy, folder=folder)
