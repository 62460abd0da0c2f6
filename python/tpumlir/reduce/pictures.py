"""Pictures as the test input of a reduction: tensors are made of them once, which every part is cut with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir import npz
from tpumlir.data.inputs import named_of
from tpumlir.data.preprocess import Pictures
from tpumlir.onnx.inputs import choose_inputs, read_feeds
from tpumlir.onnx.load import load
from tpumlir.onnx.shapes import resolve_input_shapes
from tpumlir.reduce.case import storable

if TYPE_CHECKING:
    from tpumlir.data.inputs import TestInput
    from tpumlir.onnx.options import ImportOptions


def without_pictures(
    source: str, options: ImportOptions, test_input: TestInput, given: Mapping[str, Any], path: Path
) -> str:
    """``test_input``, files of which some are pictures, as the npz file ``path``: all that the model reads.

    ``given`` are the fields of Preprocess that somebody chose. Raises: InputError: a picture that does not
    fit; OnnxImportError, UnsupportedError: no model, or of open shapes.
    """
    named = named_of(test_input)
    chosen = choose_inputs(load(source), options, given=named.arrays if named else None)
    shapes = resolve_input_shapes(chosen.runtime, chosen.shapes)
    types = {info.name: info.dtype.name for info in chosen.runtime}
    feeds = read_feeds(chosen, shapes, test_input, named, Pictures({}, types, given), allow_nonfinite=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    npz.save(path, {info.name: storable(feeds[info.name]) for info in chosen.runtime if info.name in feeds})
    return str(path)
