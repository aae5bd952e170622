"""A script with `ProcessPoolExecutor`: a network in each process, a process for each core."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from colormodel.infer import Colorizer
from tests.bench.speed.rivals.steps import MINIBATCH, decode, encode, load_network, predict

_network: list[Colorizer] = []


def _prepare() -> None:
    torch.set_num_threads(1)
    _network.append(load_network())


def _colour(paths: list[str], out: str) -> None:
    colorizer = _network[0]
    decoded = [decode(path, colorizer.checkpoint.network_px) for path in paths]
    chromas = predict(colorizer, [small for _, small in decoded])
    for path, (lab, _), chroma in zip(paths, decoded, chromas, strict=True):
        encode(path, lab, chroma, out)


def colour_all(paths: list[Path], out: Path) -> None:
    """Colour scans, some at a time in each process."""
    out.mkdir(parents=True, exist_ok=True)
    names = [str(path) for path in paths]
    parts = [names[at : at + MINIBATCH] for at in range(0, len(names), MINIBATCH)]
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=_prepare
    ) as pool:
        for future in [pool.submit(_colour, part, str(out)) for part in parts]:
            future.result()
