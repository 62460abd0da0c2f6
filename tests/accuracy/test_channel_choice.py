"""When the search keeps the channels of tensors apart, and when not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tpumlir
from channel_graphs import GRAPHS, Case
from tpumlir.bmodel.profile import profile


@pytest.fixture(scope="module")
def case() -> Case:
    """A network whose channels are loud and soft."""
    return Case(GRAPHS["hard_swish"])


def _found(case: Case, target: str) -> tpumlir.QuantizeResult:
    return tpumlir.quantize(case.top, case.samples, target=target, equalize=False, rounding=False)


def test_one_scale_where_that_does_for_fewer_cycles(case: Case) -> None:
    found = _found(case, "cos=0.9")
    assert found.met
    cycles = [profile(module.finalize().compile(), names=False).cycles for module in (case.tpu, case.plain)]
    assert cycles[1] < cycles[0]
    assert not found.calibration.channel_ranges()
    assert found.plain.cycles == found.best.cycles


def test_channels_apart_where_one_scale_does_not_do(case: Case) -> None:
    """A target between what both reach is met without floats."""
    noise = math.sqrt(case.noise(case.tpu) * case.noise(case.plain))
    found = _found(case, f"snr={-10 * math.log10(noise):.2f}")
    assert found.met
    assert found.calibration.channel_ranges()
    assert found.plain.is_met
    assert "with scales per channel" in found.comments()[0]
    assert np.isfinite(found.best.score)
