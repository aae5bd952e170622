"""One ONNX model, ready to run: its signature, and minibatches of any size."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colormodel.networks.base import NetworkFault
from colormodel.networks.foreign.errors import ForeignError, MissingRuntime

logger = logging.getLogger(__name__)


_DTYPES: dict[str, type[np.float32] | type[np.float16]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
#: Largest minibatch that a graph may be fixed to.
LARGEST_MINIBATCH = 64
_ERRORS_ONLY = 3  # of what the runtime logs to stderr


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives; sides and minibatches are None where they are open.

    Attributes:
        name: Of the input.
        shape: Of the input.
        dtype: Of the input.
        outputs: Names of the outputs.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: type[np.float32] | type[np.float16]
    outputs: tuple[str, ...]


class Session:
    """A model in ONNX Runtime.

    Attributes:
        signature: What the model takes and gives.
    """

    def __init__(self, model: bytes, *, device: torch.device, name: object) -> None:
        """Load a model that `check_onnx` has passed.

        Args:
            model: The model.
            device: Where it runs. On CUDA without the runtime's CUDA provider it runs on the CPU,
                which is logged.
            name: What messages call the model.

        Raises:
            ForeignError: The runtime cannot run it, or it takes something else than one picture.
            MissingRuntime: The extra is not installed.
        """
        self._name = name
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would burn the cores that decode and encode scans, waiting for the next pass.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._run_options = runtime.RunOptions
        try:
            self._session = runtime.InferenceSession(
                model, options, providers=_providers(runtime, device)
            )
        except Exception as error:
            raise ForeignError(
                f"{name}: ONNX Runtime {runtime.__version__} cannot load it "
                f"({_first_line(error)}); export it for an older opset, or mend it"
            ) from error
        if device.type == "cuda" and "CUDAExecutionProvider" not in self._session.get_providers():
            logger.warning("%s runs on the CPU: install onnxruntime-gpu for CUDA", name)
        self.signature = _signature(self._session, name)

    def __deepcopy__(self, memo: dict[int, object]) -> "Session":
        """A loaded model never changes: a copied network runs the same one."""
        return self

    def run(
        self, numbers: NDArray[np.float32], outputs: Sequence[str], *, limit_s: float = 0.0
    ) -> list[NDArray[np.float32]]:
        """Give outputs for a minibatch of any size, whatever size the graph is fixed to.

        Args:
            numbers: (N, ...), of the signature's shape.
            outputs: Names of those wanted.
            limit_s: The run is ended after so long; 0: never.

        Raises:
            NetworkFault: The runtime failed, was ended, or gave something that is no array of N.
        """
        wanted = len(numbers)
        fixed = self.signature.shape[0]
        size = fixed or wanted
        parts: list[list[NDArray[np.float32]]] = []
        for start in range(0, wanted, size):
            part = numbers[start : start + size]
            if missing := size - len(part):
                part = np.concatenate((part, np.repeat(part[-1:], missing, axis=0)))
            parts.append(self._run(part, outputs, limit_s))
        return [np.concatenate(every)[:wanted] for every in zip(*parts, strict=True)]

    def _run(
        self, numbers: NDArray[np.float32], outputs: Sequence[str], limit_s: float
    ) -> list[NDArray[np.float32]]:
        feed = {self.signature.name: np.ascontiguousarray(numbers, self.signature.dtype)}
        options = self._run_options()
        try:
            with _ended_after(limit_s, options):
                given: list[Any] = self._session.run(list(outputs), feed, options)
        except Exception as error:
            raise NetworkFault(
                f"{self._name}: ONNX Runtime failed: {_first_line(error)}"
            ) from error
        for output, value in zip(outputs, given, strict=True):
            is_numbers = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
            if not is_numbers or value.shape[:1] != (len(numbers),):
                shape = value.shape if is_numbers else "no numbers"
                raise NetworkFault(
                    f"{self._name}: gives {shape} as {output!r} for {len(numbers)} pictures"
                )
        return [value.astype(np.float32, copy=False) for value in given]


@contextmanager
def _ended_after(limit_s: float, options: Any) -> Iterator[None]:  # noqa: ANN401  RunOptions, untyped
    """Ask a run to end when its time is over: the runtime looks between two nodes."""
    if not limit_s:
        yield
        return
    timer = threading.Timer(limit_s, lambda: setattr(options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _runtime() -> ModuleType:
    try:
        import onnxruntime  # noqa: PLC0415  an extra, and slow to load
    except ImportError as error:
        raise MissingRuntime("onnxruntime") from error
    module: ModuleType = onnxruntime
    return module


def _providers(runtime: ModuleType, device: torch.device) -> list[object]:
    there = runtime.get_available_providers()
    providers: list[object] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in there:
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    return providers


def _signature(session: Any, name: object) -> Signature:  # noqa: ANN401  untyped
    inputs = session.get_inputs()
    if len(inputs) != 1:
        named = ", ".join(one.name for one in inputs) or "nothing"
        raise ForeignError(
            f"{name}: takes {named}; a network is taken that takes one picture and nothing else"
        )
    (only,) = inputs
    if only.type not in _DTYPES:
        raise ForeignError(f"{name}: takes {only.type}; export it for float32 or float16")
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in only.shape)
    if len(shape) != 4:
        raise ForeignError(
            f"{name}: takes {len(shape)} axes {list(only.shape)}; a network is taken that takes "
            "minibatch, channels, height and width"
        )
    if (shape[0] or 1) > LARGEST_MINIBATCH:
        raise ForeignError(f"{name}: is fixed to {shape[0]} pictures at once; export it for one")
    outputs = tuple(one.name for one in session.get_outputs())
    if not outputs:
        raise ForeignError(f"{name}: gives nothing; export it with its colours as an output")
    return Signature(only.name, shape, _DTYPES[only.type], outputs)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
