"""The tensors of one run of a model by ONNX Runtime: what takes the place of what is cut off.

They are computed in a worker, all at once, and lie in a file: a network has hundreds of megabytes of them,
of which a reduction looks at few. Where nobody can run the model, shapes come from ONNX's shape inference and
values are drawn at random.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.inputs import named_of
from tpumlir.errors import TpumlirError
from tpumlir.onnx.inputs import Inputs, choose_inputs, read_feeds
from tpumlir.onnx.load import load, reads, sketch
from tpumlir.onnx.options import ImportOptions
from tpumlir.onnx.reference import run_reference
from tpumlir.onnx.shapes import infer_types, resolve_input_shapes
from tpumlir.reduce.case import all_nodes

if TYPE_CHECKING:
    from tpumlir.data.inputs import TestInput
    from tpumlir.onnx.load import OnnxModel

Array = npt.NDArray[Any]

_INDEX, _BYTES = "values.json", "values.bin"
_BAD_NODES = 8  # that ONNX Runtime cannot run, before the rest of the model is given up


@dataclass(frozen=True)
class Values:
    """Tensors in a folder by name; ``feeds`` are the model's inputs.

    ``judge`` is who computed them; nobody if some are guessed.
    """

    folder: Path
    entries: Mapping[str, tuple[str, tuple[int, ...], int]]
    feeds: tuple[str, ...]
    judge: str

    @staticmethod
    def read(folder: Path) -> Values:
        """What ``trace`` wrote."""
        document = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        entries = {
            name: (dtype, tuple(shape), offset)
            for name, (dtype, shape, offset) in document["tensors"].items()
        }
        return Values(folder, entries, tuple(document["feeds"]), document["judge"])

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def kind(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """The type and shape of a tensor."""
        dtype, shape, _ = self.entries[name]
        return _dtype(dtype), shape

    def array(self, name: str) -> Array:
        """A copy of a tensor."""
        dtype, shape = self.kind(name)
        count = math.prod(shape)
        if not count:
            return np.zeros(shape, dtype)
        with (self.folder / _BYTES).open("rb") as stream:
            stream.seek(self.entries[name][2])
            data = stream.read(count * dtype.itemsize)
        found: Array = np.frombuffer(data, dtype).reshape(shape).copy()
        return found


def trace(path: str, options: ImportOptions, test_input: TestInput, finite: bool, folder: str) -> None:
    """Run a model and write its inputs and tensors into ``folder``. Raises: InputError, OnnxImportError."""
    named = named_of(test_input)
    chosen = choose_inputs(load(path), options, given=named.arrays if named else None)
    shapes = resolve_input_shapes(chosen.runtime, chosen.shapes)
    feeds = read_feeds(chosen, shapes, test_input, named, allow_nonfinite=not finite)
    tensors, judge = _run(chosen, feeds, {**shapes, **{n: v.shape for n, v in feeds.items()}})
    constants = {name: chosen.model.initializer(name) for name in chosen.model.initializer_names}
    _write(Path(folder), {**constants, **tensors, **feeds}, list(feeds), judge)


def _run(
    chosen: Inputs, feeds: Mapping[str, Array], shapes: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Array], str]:
    model = chosen.model
    others = _no_tensors(model)
    names = [name for name in _computed(model) if name and name not in others]
    judge = ""
    lost: set[str] = set()
    tensors: dict[str, Array] = {}
    for _ in range(_BAD_NODES):
        alive = [name for name in names if name not in lost]
        try:
            found = run_reference(model, feeds, alive, outputs=()) if alive else None
        except TpumlirError:
            bad = _first_bad(model, feeds, alive)
            if bad is None:
                break
            lost |= _behind(model, bad)
        else:
            tensors, judge = (found.tensors, found.judge) if found else ({}, "")
            break
    kept = {name: value for name, value in tensors.items() if _is_tensor(value)}
    return _guessed(model, shapes, kept, names) | kept, "" if lost else judge


def _no_tensors(model: OnnxModel) -> set[str]:
    """The results that are sequences or optional: numpy would make arrays of some."""
    import onnx

    nodes = all_nodes([*model.original.graph.node, *(n for f in model.original.functions for n in f.node)])
    if not any("Sequence" in node.op_type or "Optional" in node.op_type for node in nodes):
        return set()
    try:
        inferred = onnx.shape_inference.infer_shapes(sketch(model.original, model.folder))
    except (onnx.shape_inference.InferenceError, ValueError):
        return set()  # ONNX Runtime refuses what is cut there
    values = (*inferred.graph.value_info, *inferred.graph.output)
    return {value.name for value in values if value.type.WhichOneof("value") != "tensor_type"}


def _computed(model: OnnxModel) -> list[str]:
    return [name for node in model.original.graph.node for name in node.output]


def _first_bad(model: OnnxModel, feeds: Mapping[str, Array], names: list[str]) -> set[str] | None:
    """The outputs of the first node that cannot be run, of those that compute ``names``."""
    nodes = [n for n in model.original.graph.node if not set(names).isdisjoint(n.output)]
    low, high = 0, len(nodes)  # the first `low` nodes run, the first `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        wanted = [name for node in nodes[:middle] for name in node.output if name]
        try:
            run_reference(model, feeds, wanted, outputs=())
        except TpumlirError:
            high = middle
        else:
            low = middle
    return {name for name in nodes[high - 1].output if name} if nodes else None


def _behind(model: OnnxModel, names: Collection[str]) -> set[str]:
    """``names`` and all that is computed from them."""
    lost = set(names)
    before = 0
    while len(lost) > before:
        before = len(lost)
        for node in model.original.graph.node:
            if not lost.isdisjoint(reads(node)):
                lost |= {name for name in node.output if name}
    return lost


def _guessed(
    model: OnnxModel, shapes: Mapping[str, Sequence[int]], known: Mapping[str, Array], names: Sequence[str]
) -> dict[str, Array]:
    """Random values for the tensors that are not known but whose shapes are."""
    if all(name in known for name in names):
        return {}
    rng = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for name, (shape, dtype) in infer_types(model, shapes).items():
        if name in known or min(shape, default=1) < 1:
            continue
        if dtype.kind in "iub":
            found[name] = rng.integers(0, 2, shape).astype(dtype)
        elif dtype.kind == "f" or "float" in dtype.name:
            found[name] = rng.standard_normal(shape, np.float32).astype(dtype)
    return found


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) and (value.dtype.kind in "fiub" or "float" in value.dtype.name)


def _write(folder: Path, tensors: Mapping[str, Array], feeds: list[str], judge: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, tuple[str, list[int], int]] = {}
    with (folder / _BYTES).open("wb") as stream:
        for name, value in tensors.items():
            if not _is_tensor(value):
                continue
            entries[name] = (value.dtype.name, list(value.shape), stream.tell())
            stream.write(np.ascontiguousarray(value).tobytes())
    text = json.dumps({"tensors": entries, "feeds": feeds, "judge": judge})
    (folder / _INDEX).write_text(text, encoding="utf-8")


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # the types of onnx that numpy does not have

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
