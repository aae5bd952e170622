"""ONNX files as hostile input: read whole, with the weights beside them, or refused.

A graph that passes holds operators of the ONNX standard alone, and all its weights: a runtime that
gets its bytes opens no other file and loads no other code.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from colormodel.networks.foreign.errors import ForeignError, MissingRuntime

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

#: Protocol buffers end here; the largest DDColor takes 0.98 GB.
LARGEST_BYTES = (2 << 30) - 1
#: Nodes, in all graphs of a file: the largest DDColor has some 3,000.
MOST_NODES = 100_000

#: The standard's own operators have no domain, or this one.
_STANDARD = {"", "ai.onnx"}
#: Domains whose operators a runtime may know itself, whatever function a file gives that name.
_VENDORS = ("ai.", "com.", "org.")


def read_onnx(path: Path) -> bytes:
    """Read a model, and the weights that lie beside it, into one piece.

    Raises:
        ForeignError: It is missing, damaged, too large, or asks for files or operators that it may
            not have.
        MissingRuntime: The extra is not installed.
    """
    onnx = _onnx()
    if not path.is_file():
        raise ForeignError(f"{path}: no such file; name an ONNX model")
    if path.stat().st_size > LARGEST_BYTES:
        raise ForeignError(f"{path}: larger than 2 GiB, which no ONNX model of one piece is")
    data = path.read_bytes()
    model = _parsed(data, path)
    external = [one for one in _tensors(model) if one.data_location == one.EXTERNAL]
    if not external:
        return data
    _check_size(external, path)
    try:
        # The library refuses what is no plain file inside the folder, links included.
        for tensor in external:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        return bytes(model.SerializeToString())
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ForeignError(
            f"{path}: its weights lie in another file that cannot be taken in "
            f"({_first_line(error)}); put that file, as it was exported, into the same folder"
        ) from error


def check_onnx(data: bytes, *, name: object) -> None:
    """Refuse a model that asks a runtime for more than arithmetic.

    Args:
        data: The model.
        name: What messages call it.

    Raises:
        ForeignError: It is no model, is not whole, or has operators that are not the standard's.
        MissingRuntime: The extra is not installed.
    """
    onnx = _onnx()
    model = _parsed(data, name)
    if any(one.data_location == one.EXTERNAL for one in _tensors(model)):
        raise ForeignError(f"{name}: its weights lie in another file; export it in one piece")
    own = {
        (one.domain, one.name)
        for one in model.functions
        if one.domain and not one.domain.startswith(_VENDORS)
    }
    count = 0
    foreign: set[str] = set()
    for node in _nodes(model):
        count += 1
        is_standard = node.domain in _STANDARD and onnx.defs.has(node.op_type, "")
        if not is_standard and (node.domain, node.op_type) not in own:
            foreign.add(f"{node.domain}::{node.op_type}" if node.domain else node.op_type)
    if foreign:
        raise ForeignError(
            f"{name}: uses {', '.join(sorted(foreign)[:5])}, which the ONNX standard does not "
            "have; export the network without operators of a vendor's or of your own"
        )
    if count > MOST_NODES:
        raise ForeignError(f"{name}: has {count:,} nodes; at most {MOST_NODES:,} are taken")


def _onnx() -> ModuleType:
    try:
        import onnx  # noqa: PLC0415  an extra
        import onnx.external_data_helper  # noqa: PLC0415
    except ImportError as error:
        raise MissingRuntime("onnx") from error
    module: ModuleType = onnx
    return module


def _parsed(data: bytes, name: object) -> "ModelProto":
    onnx = _onnx()
    try:
        model: ModelProto = onnx.ModelProto.FromString(data)
    except Exception as error:
        raise ForeignError(
            f"{name}: not an ONNX model ({_first_line(error)}); copy it again, "
            "or export it (pickled networks, .pt and .pth, are never loaded)"
        ) from error
    if not model.HasField("graph") or not model.opset_import:
        raise ForeignError(f"{name}: not an ONNX model: there is no graph in it; export it again")
    return model


def _check_size(external: "list[TensorProto]", path: Path) -> None:
    total = 0
    for tensor in external:
        stated = {entry.key: entry.value for entry in tensor.external_data}
        location = path.parent / stated.get("location", "")
        length = stated.get("length", "")
        if not length.isdecimal():
            length = str(location.stat().st_size) if location.is_file() else "0"
        total += int(length)
    if total > LARGEST_BYTES - path.stat().st_size:
        raise ForeignError(
            f"{path}: with the weights beside it larger than 2 GiB, which is not taken; "
            "export it in float16, or a smaller network"
        )


def _nodes(model: "ModelProto") -> "Iterator[NodeProto]":
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: "ModelProto") -> "Iterator[TensorProto]":
    """Every tensor of a model: weights, sparse ones, and those in attributes of nodes."""
    for graph in _graphs(model):
        if hasattr(graph, "initializer"):  # functions have none
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)


def _graphs(model: "ModelProto") -> "Iterator[GraphProto | FunctionProto]":
    """The graph, functions, and every graph inside a node, however deep."""
    waiting: list[GraphProto | FunctionProto] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            waiting += itertools.chain.from_iterable(
                (*([one.g] if one.HasField("g") else []), *one.graphs) for one in node.attribute
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
