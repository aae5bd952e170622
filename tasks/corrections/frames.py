"""Reading a frame of a film for a person who corrects it: in a child process, as scans are."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from colormodel.neutral import neutral_mask
from colormodel.planes import network_size
from tasks.batch.film_files import OpenFilm
from tasks.corrections.looking import ScanView
from tasks.films.chroma import Coding, lightness_of, small_luma
from tasks.films.luma import luma_of
from tasks.films.opening import frames_from


@dataclass(frozen=True)
class FrameRequest:
    """Which frame, and how large the network and the screen want it."""

    film: OpenFilm
    number: int  #: from 0
    first: int  #: the frame that reading begins with
    seek: int | None  #: its time; None: the film's start
    network_px: int
    screen_px: int  #: the longer side, at most


def look_at_frame(request: FrameRequest) -> ScanView:
    """Read a frame as colouring its shot does; runs in a child process.

    It is upright, and its pixels are square, as players show it: places of hints are of that.

    Raises:
        TruncatedScan: The film ends before it.
        UnreadableScan: It is damaged, or one on the way to it.
        OSError: It cannot be read.
    """
    header, count = request.film.header, request.number - request.first + 1
    read = frames_from(request.film.path, request.first, count, request.seek)
    (moment,) = deque(read, maxlen=1)
    luma, coding = luma_of(moment.frame), Coding.of(header)
    (height, width), turns = header.shown_size, header.quarter_turns
    size = network_size(height, width, network_px=request.network_px)
    lightness = lightness_of(small_luma(luma, coding, *size, turns=turns))
    scale = min(1.0, request.screen_px / max(height, width))
    shown = max(1, round(height * scale)), max(1, round(width * scale))
    screen: np.ndarray = lightness_of(small_luma(luma, coding, *shown, turns=turns))
    return ScanView(lightness, neutral_mask(lightness), screen)
