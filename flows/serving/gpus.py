"""The GPUs of this machine."""

from collections.abc import Sequence

import torch

from tasks.errors import NoDevice


def choose_gpus(wanted: Sequence[int] | None) -> tuple[int, ...]:
    """The GPUs to work on.

    Args:
        wanted: Their numbers, as nvidia-smi shows them; None means all.

    Raises:
        NoDevice: There is none, or not such a one.
    """
    there = range(torch.cuda.device_count())
    if not there:
        raise NoDevice(
            "no GPU is to be seen here: install its driver and a torch built for it, or leave "
            "--gpus and --gpu away to colourize on the CPU"
        )
    missing = [number for number in wanted or () if number not in there]
    if missing:
        raise NoDevice(f"there is no GPU {missing[0]}; the last is {there[-1]}")
    return tuple(dict.fromkeys(wanted if wanted is not None else there))
