"""INT8 networks of the corpus: nothing is found where nothing is, and each planted fault where it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from faults import Found, Planted, commands, constant_bytes, edited, with_coeff
from quantized import calibrated
from tpumlir.bmodel import BModel
from tpumlir.verify import Reference, verify

pytestmark = pytest.mark.corpus
# Each with what the table of its precisions makes of some nodes: all in INT8, or halves among them.
NETWORKS = {
    "mtcnn_onet": (), "ppocr_cls": (), "magika": (),
    "mtcnn_onet mixed": ("F16", "BF16", "F32"),
}  # fmt: skip


class Network(NamedTuple):
    """A network in INT8, compiled, and what it should compute."""

    bmodel: BModel
    reference: Reference


@cache
def network(name: str, corpus: Path) -> Network:
    file = name.split(maxsplit=1)[0]
    with np.load(corpus / f"{file}.npz") as archive:
        inputs = dict(archive)
    shapes = {key: list(value.shape) for key, value in inputs.items()}
    top = tpumlir.load_onnx(corpus / f"{file}.onnx", input_shapes=shapes)
    convolutions = [op.name for op in top.ops() if op.kind == "top.Conv"]
    table = dict(zip(convolutions[1:], NETWORKS[name], strict=False))
    tpu = top.lower("INT8", calibration_table=calibrated(top, [inputs]), quantize_table=table or None)
    final = tpu.finalize()
    return Network(final.compile(), Reference.of(final, inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_network_passes(name: str, corpus: Path) -> None:
    model, reference = network(name, corpus)
    found = verify(model, reference)
    assert found.passed, found.findings
    assert found.read == found.places
    types = {row.dtype for row in found.tensors if row.seen}
    assert types >= ({"i8", "u8", "f16", "bf16", "f32"} if NETWORKS[name] else {"i8", "u8"})
    integers = [row for row in found.tensors if row.dtype in {"i8", "u8"} and row.seen]
    assert {row.verdict for row in integers} <= {"equal", "right"}


def _products(model: BModel, part: float) -> list[Found]:
    """The commands of the operation that stands at this part of those with quantised filters."""
    homes = model.debug.tensors
    quantised = {p.node for p in model.debug.places if p.op == "tpu.Conv2D" and homes[p.tensor].dtype == "i8"
                 and p.kind == "loaded"}  # fmt: skip
    found = [c for c in commands(model) if c.op == "tpu.Conv2D" and c.node in quantised]
    nodes = list(dict.fromkeys(c.node for c in found))
    node = nodes[int(part * (len(nodes) - 1))]
    return [c for c in found if c.node == node]


def shifted_result(model: BModel, part: float) -> Planted:
    """What the last command of TIU computes lies 64 bytes further."""
    found = [c for c in _products(model, part) if c.engine == "tiu"][-1]
    key = found.group, found.engine, found.id
    changed = edited(model, {key: {"res0_addr": found.fields["res0_addr"] + 64}})
    return Planted(changed, found.op, found.node, (key,))


def wrong_filter(model: BModel, part: float) -> Planted:
    """A number of the filter is another one."""
    found = _products(model, part)[0]
    homes = model.debug.tensors
    names = {p.tensor for p in model.debug.places
             if p.node == found.node and p.kind == "loaded" and homes[p.tensor].dtype == "i8"
             and p.tensor in _constants(model)}  # fmt: skip
    at = constant_bytes(model, max(names, key=lambda name: homes[name].elements)).reshape(-1)

    def spoil(coeff: npt.NDArray[np.uint8]) -> None:
        coeff[at[at.size // 2]] ^= 0x41

    return Planted(with_coeff(model, spoil), found.op, found.node, ())


def _constants(model: BModel) -> set[str]:
    """Tensors that no command stores or computes."""
    made = {p.tensor for p in model.debug.places if p.kind != "loaded" and p.op != "top.Weight"}
    return {p.tensor for p in model.debug.places} - made


PLANTS: Sequence[Callable[[BModel, float], Planted]] = (shifted_result, wrong_filter)


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "magika"])
def test_a_planted_fault_is_found(
    name: str, plant: Callable[[BModel, float], Planted], part: float, corpus: Path
) -> None:
    model, reference = network(name, corpus)
    broken = plant(model, part)
    found = verify(broken.model, reference)
    assert found.first is not None
    assert (found.first.op, found.first.node) == (broken.op, broken.node), found.findings
    assert found.causes == [found.first], found.causes
