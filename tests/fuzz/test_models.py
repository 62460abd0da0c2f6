"""A short series of random models through every mode; `make fuzz-models` looks for more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import onnx
from fuzz.judges import MODES, Tally, differences
from fuzz.networks import random_network

SERIES: dict[str, Sequence[int]] = {
    "floats": range(8),
    "int8": range(8, 16),
    "groups": range(16, 20),
    "shapes": range(20, 30),
    "qdq": (31, 40, 45),
}


@pytest.mark.parametrize(("mode", "number"), [(mode, n) for mode, numbers in SERIES.items() for n in numbers])
def test_every_stage_and_mode_agrees(mode: str, number: int) -> None:
    assert not list(MODES[mode](random_network(number), number, Tally()))


def test_a_model_follows_from_its_number() -> None:
    for number in range(4):
        one, other = random_network(number), random_network(number)
        assert one.proto == other.proto
        assert not differences(one.inputs, other.inputs, list(other.inputs))


def test_models_are_valid_and_unlike() -> None:
    kinds: set[str] = set()
    for number in range(12):
        net = random_network(number)
        onnx.checker.check_model(net.proto, full_check=True)
        kinds |= {node.op_type for node in net.proto.graph.node}
    assert len(kinds) > 25
