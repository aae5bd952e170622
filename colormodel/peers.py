"""Several processes that train one network on a machine's cores, one thread each.

Threads of one process wait for each other a thousand times a step: where others use the cores, too,
two threads were slower than one. Processes go their own way for some steps, on squares of their
own, and then take the mean of their weights (Stich, "Local SGD converges fast", 2019).
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, distributed

#: Steps between two means: often enough that the weights never part far.
TOGETHER_EVERY_STEPS = 8

_RANK, _MEETING = "AUTOCHROME_PEER", "AUTOCHROME_PEERS_MEET"


class Peers:
    """The processes of one training, as one of them sees them.

    Attributes:
        rank: Of this process; 0 is the one that saves.
        count: Of all.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    def meets_after(self, step: int) -> bool:
        """Whether means are taken after a step."""
        return self.count == 1 or step % TOGETHER_EVERY_STEPS == 0

    def take_means(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes into tensors, in place; waits for the slowest."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def peers(count: int, out: Path) -> Iterator[Peers]:
    """Start the other processes, by this one's own command line, and meet them.

    They end with this one: whoever waits for a process that is gone gets an error.

    Args:
        count: Of all processes; 1: this one alone.
        out: Folder in which they meet.
    """
    rank = int(os.environ.get(_RANK, "0"))
    if count == 1:
        yield Peers()
        return
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    meeting = os.environ.get(_MEETING) or str((out / f".meet-{secrets.token_hex(4)}").absolute())
    started = [] if rank else [_start(number, meeting) for number in range(1, count)]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count
    )
    try:
        yield Peers(rank, count)
    finally:
        distributed.destroy_process_group()
        for process in started:
            process.wait()
        if not rank:
            Path(meeting).unlink(missing_ok=True)


def _start(number: int, meeting: str) -> subprocess.Popen[bytes]:
    environment = {_RANK: str(number), _MEETING: meeting}
    return subprocess.Popen(  # noqa: S603 — this very command, once more
        [sys.executable, "-m", "colormodel", *sys.argv[1:]],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
