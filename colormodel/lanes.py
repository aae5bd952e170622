"""How minibatches come to the device and their results back, while others are computed.

On a GPU each minibatch goes through a lane: a stream, in which copying in, computing and copying
out follow one another, and which waits for no other lane. So one minibatch is copied while another
is computed. A tensor of a minibatch is made, used and dropped in its lane alone, and therefore its
memory is handed on only to what comes after it. On a CPU there is one lane, and nothing to copy.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Work = TypeVar("Work")
Begun = TypeVar("Begun")

#: One minibatch is computed while the one before it and the one after it are copied.
CUDA_LANES = 2


class Arrival:
    """Planes on their way to the host."""

    def __init__(self, planes: Sequence[Tensor], event: torch.cuda.Event | None = None) -> None:
        self._planes = planes
        self._event = event

    def wait(self) -> list[NDArray[np.float32]]:
        """Give the planes once they are there; whoever calls owns them."""
        if self._event is not None:
            self._event.synchronize()
        return [plane.numpy() for plane in self._planes]


class Lanes:
    """Ways to a device and back, for several minibatches at once.

    Attributes:
        at_once: How many minibatches may be in flight.
    """

    def __init__(self, device: torch.device) -> None:
        """Make the lanes; what was put on the device before, weights above all, comes first."""
        self._device = device
        self._streams: list[torch.cuda.Stream] = []
        self._turns = itertools.count()
        if device.type == "cuda":
            self._streams = [
                torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
                for _ in range(CUDA_LANES)
            ]
        for stream in self._streams:
            stream.wait_stream(torch.cuda.current_stream(device))
        self.at_once = max(1, len(self._streams))

    def turn(self) -> AbstractContextManager[object]:
        """The next lane: bring a minibatch in, compute and bring it out within."""
        if not self._streams:
            return nullcontext()
        return torch.cuda.stream(self._streams[next(self._turns) % len(self._streams)])

    def bring_in(self, planes: Sequence[NDArray[np.float32]]) -> Tensor:
        """Stack planes of one shape on the device, float32; does not wait for the copy.

        The pinned memory is dropped at once: PyTorch gives it out again only when the copies from
        it have ended (ATen's `CachingHostAllocator.h`).
        """
        shape = (len(planes), *planes[0].shape)
        stacked = torch.empty(shape, pin_memory=bool(self._streams))
        np.stack(planes, out=stacked.numpy())
        return stacked.to(self._device, non_blocking=True)

    def bring_out(self, *planes: Tensor) -> Arrival:
        """Send planes to the host, float32; does not wait for what computes or copies them.

        They stay in the pinned memory that they arrive in, which is theirs as long as they live.
        """
        if not self._streams:
            return Arrival([plane.float() for plane in planes])
        arriving = []
        for plane in planes:
            host = torch.empty(plane.shape, pin_memory=True)
            arriving.append(host.copy_(plane.float().contiguous(), non_blocking=True))
        # Blocking: whoever waits sleeps, and leaves the core to pixels.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return Arrival(arriving, event)


def in_flight(
    works: Iterable[Work], begin: Callable[[Work], Begun], *, most: int
) -> Iterator[tuple[Work, Begun]]:
    """Begin works ahead of their results.

    Args:
        works: What is to be done, in order.
        begin: Begins one and does not wait for it.
        most: So many are begun, and not given yet, at any time at most.

    Yields:
        Each work, and what *begin* gave for it, in order. A MemoryError is given when all before
        it have been, and nothing after it was begun: whoever tries again has all the room.
    """
    under_way: deque[tuple[Work, Begun]] = deque()
    for work in works:
        under_way.append((work, begin(work)))
        failed = isinstance(under_way[-1][1], MemoryError)
        while under_way and (failed or len(under_way) >= most):
            yield under_way.popleft()
    while under_way:
        yield under_way.popleft()
