"""The network on a GPU: ways to run it, minibatches, and what copying costs beside computing."""

import copy
import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colormodel.checkpoint import DEFAULT_CHECKPOINT, load_network, read_checkpoint
from colormodel.infer import Colorizer
from colormodel.networks import cast_convolutions, fold_batch_norm
from tests.bench.speed.network import (
    HEIGHT,
    MINIBATCH,
    WIDTH,
    ChromaAndConfidence,
    InHalf,
    Way,
    as_inferred,
    rows_of,
)
from tests.bench.speed.roofline import seconds_on
from tests.bench.speed.rows import Row, in_turn
from tests.scanfiles import photograph

MINIBATCHES = (MINIBATCH, 64, 256)
ROUNDS = 5
DRAWN = 16  # different pictures
PASSES = 10  # timed together: one takes milliseconds


def measure(folder: Path) -> list[Row]:
    """Rows about the first CUDA device; one that says so where there is none."""
    del folder
    if not torch.cuda.is_available():
        return [Row("network on a GPU", float("nan"), "×", detail="no CUDA device here")]
    with torch.inference_mode():
        return [*_way_rows(), *_minibatch_rows(), *_copy_rows()]


def _lightness(count: int) -> Tensor:
    """Drawn photographs: in noise, networks see no colours that could differ."""
    drawn = [photograph(HEIGHT, WIDTH, seed=seed) for seed in range(min(count, DRAWN))]
    stacked = torch.from_numpy(np.stack([100 * plane for plane in drawn])).float()
    return stacked.repeat(-(-count // DRAWN), 1, 1)[:count, None].cuda()


def _way_rows() -> list[Row]:
    lightness = _lightness(MINIBATCH)
    return rows_of(_ways(lightness), lightness, where="GPU", passes=PASSES)


def _ways(lightness: Tensor) -> dict[str, Way]:
    network = load_network(read_checkpoint(DEFAULT_CHECKPOINT), device="cuda")
    eager = ChromaAndConfidence(network).eval()
    folded = fold_batch_norm(copy.deepcopy(eager))
    first = copy.deepcopy(folded).to(memory_format=torch.contiguous_format)
    cast = cast_convolutions(copy.deepcopy(folded), torch.bfloat16)
    default = InHalf(cast)
    return {
        "eager float32": eager,
        "folded float32": folded,
        "bfloat16, channels first": InHalf(first),
        "bfloat16, channels last": InHalf(folded),
        "bfloat16, channels last, weights cast once (the default)": default,
        "the default, cuDNN's algorithms by trial": _by_trial(default),
        "the default, as a CUDA graph": _graph_of(default, lightness),
        "the default, float16 in place of bfloat16": InHalf(
            cast_convolutions(copy.deepcopy(folded), torch.float16), torch.float16
        ),
        "the default, inductor": InHalf(torch.compile(cast)),
    }


def _by_trial(network: Way) -> Way:
    def way(lightness: Tensor) -> Tensor:
        torch.backends.cudnn.benchmark = True
        try:
            return network(lightness)
        finally:
            torch.backends.cudnn.benchmark = False

    return way


def _graph_of(network: Way, like: Tensor) -> Way:
    """Record a pass once, as the manual of CUDA graphs in PyTorch has it; replay it for others."""
    lightness = like.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(lightness)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = network(lightness)

    def way(other: Tensor) -> Tensor:
        lightness.copy_(other)
        graph.replay()
        return result

    return way


def _minibatch_rows() -> list[Row]:
    device = torch.device("cuda")
    network = as_inferred(device)
    rates = []
    for count in MINIBATCHES:
        run = functools.partial(network, _lightness(count))
        rates.append(count / seconds_on(device, run, passes=PASSES))
    told = ", ".join(
        f"{count} at once {rate:,.0f}/s" for count, rate in zip(MINIBATCHES, rates, strict=True)
    )
    return [
        Row("GPU: largest minibatch over the default's", rates[-1] / rates[0], "×", detail=told)
    ]


def _copy_rows() -> list[Row]:
    """From the host and back, minibatch after minibatch, against computing alone."""
    device = torch.device("cuda")
    colorizer = Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cuda", minibatch=MINIBATCH)
    planes = [*_lightness(8 * MINIBATCH)[:, 0].cpu().numpy()]
    neutral = [np.zeros(plane.shape, np.bool_) for plane in planes]
    lanes, network, lightness = colorizer._lanes, as_inferred(device), _lightness(MINIBATCH)
    in_lanes = lanes.at_once

    def whole(at_once: int) -> None:
        lanes.at_once = at_once
        colorizer.predict(planes, neutral=neutral)

    whole(in_lanes)
    two_s, one_s = in_turn(lambda: whole(in_lanes), lambda: whole(1), rounds=ROUNDS)
    alone_s = 8 * seconds_on(device, lambda: network(lightness), passes=PASSES)
    count = len(planes)
    detail = (
        f"computing {count / alone_s:,.0f}/s, with copies {count / two_s:,.0f}/s, "
        f"one minibatch after the other {count / one_s:,.0f}/s"
    )
    return [
        Row("GPU: with copies, of computing alone", alone_s / two_s, "×", detail=detail),
        Row("GPU: two minibatches in flight over one", one_s / two_s, "×", detail=detail),
    ]
