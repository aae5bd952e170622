"""A Dask bag over the files, on processes of this machine; each keeps its network."""

import os
from functools import lru_cache
from pathlib import Path

import torch
from dask import bag
from dask.distributed import Client, LocalCluster

from colormodel.infer import Colorizer
from tests.bench.speed.rivals.steps import MINIBATCH, decode, encode, load_network, predict


@lru_cache(maxsize=1)
def _network() -> Colorizer:
    torch.set_num_threads(1)
    return load_network()


def _colour(paths: list[str], out: str) -> list[str]:
    colorizer = _network()
    decoded = [decode(path, colorizer.checkpoint.network_px) for path in paths]
    chromas = predict(colorizer, [small for _, small in decoded])
    rows = zip(paths, decoded, chromas, strict=True)
    return [encode(path, lab, chroma, out) for path, (lab, _), chroma in rows]


def colour_all(paths: list[Path], out: Path) -> None:
    """Colour scans, a partition of the bag at a time."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        LocalCluster(
            n_workers=os.cpu_count(), threads_per_worker=1, dashboard_address=None
        ) as all_,
        Client(all_),
    ):
        names = bag.from_sequence([str(path) for path in paths], partition_size=MINIBATCH)
        names.map_partitions(lambda part: _colour(list(part), str(out))).compute()
