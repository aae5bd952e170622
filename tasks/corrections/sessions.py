"""Pictures that people are correcting: read once, each with the network's session.

The network is that in service; whoever goes on after a promotion sees the new one's colours.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyvips
import simplejpeg

from colormodel.checkpoint import Checkpoint
from colormodel.correction import Correction
from colormodel.device import DeviceError
from colormodel.infer import Colorizer
from colormodel.networks import NetworkFault
from colormodel.pictures import Codes, encode_srgb, put_colour
from colormodel.planes import Plane, ShareUpsampler, linear_in_gamut
from colormodel.session import Alternative, LikelyColour, PictureSession
from tasks.batch.recipe import read_limits
from tasks.batch.worker import load_colorizer
from tasks.checkpoints import find_champion, find_checkpoint
from tasks.corrections.looking import LookRequest, ScanView, look_to_correct
from tasks.errors import InvalidPrediction, NoDevice
from tasks.ledger import Ledger
from tasks.pictures.showing import PictureFile, Pictures
from tasks.references.look import LookRequest as ReferenceRequest
from tasks.references.look import look_at_reference
from tasks.scratch import scratch_folder
from tasks.settings import Settings

Found = TypeVar("Found")

#: The longer side of what a screen shows.
SCREEN_PX = 1600
#: The longer side of what is shown of an alternative.
SMALL_PX = 480
#: Pictures that are kept open: each takes some 80 MB.
_KEPT = 6
#: So long the network in service is taken for the same.
_LOOK_S = 30.0
_QUALITY = 90
#: Confidence from which on nothing is shown of doubt, and below which it is as dense as it gets;
#: its colour is one that photographs seldom have.
_SURE, _UNSURE = 0.6, 0.05
_DENSEST, _DOUBT_RGB = 200, (190, 30, 230)


@dataclass(frozen=True)
class PlaceColours:
    """A place of a picture: what is there, and what might be."""

    here: tuple[int, int, int]  #: sRGB under the correction, 0 to 255
    likely: tuple[LikelyColour, ...]


@dataclass(frozen=True)
class SmallAlternative:
    """Another plausible colouring, small."""

    alternative: Alternative
    jpeg: bytes


class OpenPicture:
    """One scan and what the network says of it, under whatever a person says."""

    def __init__(self, colorizer: Colorizer, looked: ScanView) -> None:
        self._session = PictureSession(colorizer, looked.lightness, neutral=looked.neutral)
        self._screen: Plane = looked.screen
        self._own = None if looked.own is None else _fitted(looked.own, looked.screen.shape)
        height, width = looked.screen.shape
        scale = min(1.0, SMALL_PX / max(height, width))
        rows, columns = (
            np.minimum(((np.arange(round(side * scale)) + 0.5) / scale).astype(int), side - 1)
            for side in (height, width)
        )
        self._small: Plane = np.ascontiguousarray(looked.screen[rows][:, columns])

    def picture(self, correction: Correction) -> bytes:
        """The whole picture under a correction, at screen size, as JPEG in sRGB.

        Raises:
            AutochromeError: The network gives no colours, or its device has failed.
        """
        chroma_map = _watched(lambda: self._session.colours(correction))
        linear = put_colour(chroma_map, self._screen)
        kept = correction.mask("keep", *chroma_map.lightness.shape)
        if self._own is not None and kept.any():
            painted = ShareUpsampler(chroma_map, kept, *self._screen.shape)
            linear += painted.rows(self._screen, 0) * (self._own - linear)
        return _jpeg(linear)

    def grey(self) -> bytes:
        """The whole picture as it is without colours, at screen size, as JPEG."""
        nothing = np.zeros((2, *self._screen.shape), np.float32)
        return _jpeg(linear_in_gamut(self._screen, nothing))

    def doubt(self) -> bytes:
        """Where the network doubts its colours, as PNG in its own size: the less sure, the denser.

        Raises:
            AutochromeError: The network gives no colours, or its device has failed.
        """
        sure = _watched(lambda: self._session.colours(Correction())).confidence
        density = np.clip((_SURE - sure) / (_SURE - _UNSURE), 0.0, 1.0) * _DENSEST
        tinted = np.empty((*sure.shape, 4), np.uint8)
        tinted[..., :3] = _DOUBT_RGB
        tinted[..., 3] = np.rint(density)
        png: bytes = pyvips.Image.new_from_array(tinted, interpretation="srgb").pngsave_buffer()
        return png

    def place(self, x: float, y: float, correction: Correction) -> PlaceColours:
        """What is at a place, and what the network thinks likely there.

        Raises:
            AutochromeError: The network gives no colours, or its device has failed.
        """
        height, width = self._session.lightness.shape
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        chroma = _watched(lambda: self._session.colours(correction)).chroma[:, row, column]
        here = self._session.as_rgb(row, column, (float(chroma[0]), float(chroma[1])))
        return PlaceColours(here, tuple(_watched(lambda: self._session.likely(x, y, correction))))

    def alternatives(self, correction: Correction) -> list[SmallAlternative]:
        """Other plausible colourings.

        Raises:
            AutochromeError: The network gives no colours, or its device has failed.
        """
        found = _watched(lambda: self._session.alternatives(correction))
        small = self._small
        return [SmallAlternative(one, _jpeg(put_colour(one.chroma_map, small))) for one in found]


class Sessions:
    """Opens pictures, and keeps those that were asked for last; threads may share it."""

    def __init__(self, settings: Settings, ledger: Ledger, pictures: Pictures) -> None:
        self._settings, self._ledger, self._pictures = settings, ledger, pictures
        self._lock = threading.Lock()
        self._colorizer: Colorizer | None = None
        self._looked_at = -_LOOK_S
        self._kept: OrderedDict[str, OpenPicture] = OrderedDict()

    @property
    def colorizer(self) -> Colorizer:
        """The network in service, loaded.

        Raises:
            AutochromeError: It is not to be had, or its device is not.
        """
        with self._lock:
            return self._network()

    def open(self, file: PictureFile) -> OpenPicture:
        """A scan, ready to be corrected.

        Raises:
            AutochromeError: It cannot be read any more, or the network is not to be had.
        """
        with self._lock:
            colorizer = self._network()
            key = f"{colorizer.checkpoint.digest} {file}"
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        opened = OpenPicture(colorizer, self._look(file, colorizer.checkpoint.network_px))
        with self._lock:
            self._kept[key] = opened
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return opened

    def small_reference(self, file: PictureFile, *, longest_px: int) -> bytes:
        """A reference, small, as JPEG.

        Raises:
            AutochromeError: It cannot be read.
        """
        limits = read_limits(self._settings)
        look = self._pictures.look(
            file, look_at_reference, lambda path: ReferenceRequest(path, limits)
        )
        step = max(1, -(-max(look.codes.shape[:2]) // longest_px))
        return _coded(look.codes[::step, ::step])

    def _look(self, file: PictureFile, network_px: int) -> ScanView:
        if file.frame is None:
            page, limits = file.page or 0, read_limits(self._settings)
            return self._pictures.look(
                file,
                look_to_correct,
                lambda path: LookRequest(path, page, limits, network_px, SCREEN_PX),
            )
        from tasks.corrections.frames import (  # noqa: PLC0415 - loads FFmpeg
            FrameRequest,
            look_at_frame,
        )

        with self._pictures.film(file) as film:
            at = file.frame
            request = FrameRequest(film, at.number, at.first, at.seek, network_px, SCREEN_PX)
            pixels = film.header.frames * film.header.width * film.header.height
            return self._pictures.run(look_at_frame, request, pixels=pixels)

    def _network(self) -> Colorizer:
        now = time.monotonic()
        if self._colorizer is not None and now - self._looked_at < _LOOK_S:
            return self._colorizer
        self._looked_at = now
        if self._colorizer is not None and not self._is_replaced(self._colorizer.checkpoint):
            return self._colorizer
        with scratch_folder(self._settings) as scratch:
            checkpoint = find_checkpoint(self._settings, self._ledger, scratch)
            self._colorizer = load_colorizer(checkpoint, self._settings)
        self._kept.clear()
        return self._colorizer

    def _is_replaced(self, checkpoint: Checkpoint) -> bool:
        if self._settings.checkpoint is not None:
            return False
        return find_champion(self._settings, self._ledger).digest != checkpoint.digest


def _watched(work: Callable[[], Found]) -> Found:
    try:
        return work()
    except NetworkFault as error:
        raise InvalidPrediction(str(error)) from error
    except DeviceError as error:
        raise NoDevice(str(error)) from error


def _fitted(light: Plane, size: tuple[int, ...]) -> Plane:
    """Linear light (3, h, w) brought to another size, the nearest pixel each."""
    rows, columns = (
        np.arange(to) * side // to for to, side in zip(size, light.shape[1:], strict=True)
    )
    return np.clip(light[:, rows][:, :, columns], 0, 1)


def _jpeg(linear: Plane) -> bytes:
    return _coded(encode_srgb(linear, bits=8))


def _coded(codes: Codes) -> bytes:
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(codes), quality=_QUALITY, colorspace="RGB", colorsubsampling="444"
    )
    return jpeg
