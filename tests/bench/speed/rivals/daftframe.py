"""Daft: a data frame of paths; functions of our own before and after a class, the network."""

from pathlib import Path

import daft
from daft import DataType, Series, col

from tests.bench.speed.rivals import steps


@daft.func(return_dtype=DataType.python())
def _decode(path: str, network_px: int) -> object:
    return steps.decode(path, network_px)


@daft.cls(max_concurrency=1)
class _Predict:
    """One network, kept."""

    def __init__(self) -> None:
        self._colorizer = steps.load_network()

    @daft.method.batch(return_dtype=DataType.python(), batch_size=steps.MINIBATCH)
    def __call__(self, decoded: Series) -> list[steps.Floats]:
        """Lightness to chroma, both at the network's size."""
        return list(steps.predict(self._colorizer, [small for _, small in decoded.to_pylist()]))


@daft.func
def _encode(path: str, decoded: tuple[object, object], chroma: object, out: str) -> str:
    return steps.encode(path, decoded[0], chroma, out)


def colour_all(paths: list[Path], out: Path) -> None:
    """Colour scans as a query."""
    out.mkdir(parents=True, exist_ok=True)
    px = steps.network_px_of_default()
    frame = daft.from_pydict({"path": [str(path) for path in paths]})
    frame = frame.with_column("decoded", _decode(col("path"), px))
    frame = frame.with_column("chroma", _Predict()(col("decoded")))
    written = _encode(col("path"), col("decoded"), col("chroma"), str(out))
    assert isinstance(written, daft.Expression)  # it is text where it is given texts alone
    frame.select(written.alias("written")).collect()
