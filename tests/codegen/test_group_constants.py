"""Constants of a group come without what would fill their lanes, and as fast as their bytes allow.

Graphs of a busy convolution and one operation behind it, whose constants come while the first one computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import grouping
import tpumlir
from group_cases import Case, Net
from harness import DEVICE_TOLERANCES, PRECISIONS, Precision
from oracle.runtime import run_bmodel
from tpumlir._core import isa
from tpumlir.bmodel import write
from tpumlir.compare import compare

LANES = 64
CHANNELS = 4  # of DDR
RATE, PIECE = 54, 256  # bytes that GDMA loads in a cycle, and that each row of a lane counts as at least


def busy(g: Net, channels: int, side: int = 40) -> str:
    """A tensor of as many channels that takes long to compute, of few constants."""
    return g.op("Relu", g.conv(g.x(1, 32, side, side), 32, channels, 3))


def conv(ic: int, oc: int, kernel: int = 1, **attributes: Any) -> Callable[[Net], str]:
    return lambda g: g.op("Relu", g.conv(busy(g, ic), ic, oc, kernel, **attributes))


def prelu(channels: int) -> Callable[[Net], str]:
    return lambda g: g.op("PRelu", busy(g, channels), g.w(channels, 1, 1))


def classifier(ic: int, oc: int) -> Callable[[Net], str]:
    def build(g: Net) -> str:
        pooled = g.op("GlobalAveragePool", busy(g, ic))
        return g.op("Gemm", g.op("Flatten", pooled), g.w(ic, oc), g.w(oc))

    return build


CASES = [
    Case("one_channel", conv(16, 1, 3)),
    Case("few_channels", conv(24, 10, 3)),
    Case("all_lanes", conv(16, 64, 3)),
    Case("one_more", conv(16, 65)),
    Case("some_more", conv(32, 80)),
    Case("some_more_windows", conv(16, 96, 3)),
    Case("three_rows", conv(32, 130)),
    Case("three_full_rows", conv(32, 192)),
    Case("no_bias", conv(32, 80, bias=False)),
    Case("depthwise", conv(48, 48, 3, group=48)),
    Case("depthwise_rows", conv(96, 96, 3, group=96)),
    Case("odd_inputs", conv(19, 83, 3)),
    Case("factors", prelu(80)),
    Case("classifier", classifier(80, 10), exact=False),
    Case("wide_classifier", classifier(64, 200), exact=False),
]
ON_THE_RUNTIME = ("few_channels", "some_more", "depthwise_rows", "odd_inputs")
table = pytest.mark.parametrize("case", CASES, ids=str)


@cache
def lone(case: Case, precision: Precision) -> tpumlir.Module:
    return case.lowered(precision)[0].finalize(opt=0)


@cache
def together(case: Case, precision: Precision) -> tpumlir.Module:
    """The groups that the search finds, each of one slice."""
    spans = grouping.spans(case.lowered(precision)[0].finalize())
    final = grouping.forced(lone(case, precision), [replace(span, n=1, h=1) for span in spans])
    assert final is not None
    return final


class Load(NamedTuple):
    """A command that brings constants."""

    lanes: int
    bytes: int
    cycles: int


def loads(final: tpumlir.Module) -> list[Load]:
    """Commands that bring constants, in order."""
    model = final.compile()
    made = isa.profile([(group.tiu, group.gdma) for group in model.groups])
    ours = made.engine == 1
    rows = zip(made.read[ours].tolist(), made.duration[ours].tolist(), strict=True)
    found = []
    for group in model.groups:
        for command in isa.decode("gdma", group.gdma):
            read, cycles = next(rows)
            fields = command.fields
            source = fields.get("src_start_addr_l32", 0) + (fields.get("src_start_addr_h8", 0) << 32)
            if not command.is_end and 0 <= source - model.coeff_addr < len(model.coeff):
                found.append(Load(fields["src_csize"], read, cycles))
    return found


class Need(NamedTuple):
    """What a constant takes: channels, bytes of each, and how many of those are no zeros that fill a cube."""

    channels: int
    bytes: int
    own: int

    @property
    def idle(self) -> int:
        """Bytes of the lanes that have no channel in the last of several rows."""
        rest = self.channels % LANES
        return (LANES - rest) * self.bytes if self.channels > LANES and rest else 0


def needs(case: Case, precision: Precision) -> list[Need]:
    """Of all constants: filters of halves have their inputs in cubes of 32, vectors beside them are F32.

    One cube that is not full may come without its zeros.
    """
    g = Net()
    case.build(g)
    found = []
    for constant in g.constants:
        channels, *rest = constant.dims
        inputs, kernel = (rest[0], math.prod(rest[1:])) if rest else (1, 1)
        if len(rest) == 1:  # a matrix, [depth, columns]
            channels, inputs = inputs, channels
        if precision == "F32" or inputs == kernel == 1:
            found.append(Need(channels, 4 * inputs * kernel, 4 * inputs * kernel))
        else:
            full = 2 * kernel * (-(-inputs // 32) * 32 if inputs > 1 else 1)
            found.append(Need(channels, full, 2 * kernel * inputs if inputs < 32 else full))
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
@table
def test_constants_come_once_and_without_what_fills_the_lanes(case: Case, precision: Precision) -> None:
    """Less than 1 KiB is not worth another command; rows of lanes end with a word."""
    wanted = needs(case, precision)
    most = sum(need.channels * need.bytes + min(need.idle, 1023) + 2 * LANES for need in wanted)
    least = sum(need.channels * need.own for need in wanted if need.bytes > 4)
    come = sum(load.bytes for load in loads(together(case, precision)))
    assert least <= come <= most


@pytest.mark.parametrize("precision", PRECISIONS)
@table
def test_values_are_those_of_single_operations(case: Case, precision: Precision) -> None:
    inputs = case.lowered(precision)[1]
    want = lone(case, precision).compile().run(inputs, detect_races=True)
    got = together(case, precision).compile().run(inputs, detect_races=True)
    if case.exact and precision == "F32":
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, err_msg=name)
    verdict = compare(got, want, tolerance=DEVICE_TOLERANCES[precision])
    assert verdict.passed, verdict


@pytest.mark.oracle
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [c for c in CASES if c.name in ON_THE_RUNTIME], ids=str)
def test_vendor_runtime_gives_the_same_bits(
    case: Case, precision: Precision, oracle: Path, tmp_path: Path
) -> None:
    """Biases between multiples of 64 bytes, rows of few lanes by themselves."""
    model, inputs = together(case, precision).compile(), case.lowered(precision)[1]
    write(tmp_path / "case.bmodel", model)
    theirs = run_bmodel(oracle, tmp_path / "case.bmodel", inputs)
    for name, value in model.run(inputs).items():
        np.testing.assert_array_equal(theirs[name], value, err_msg=name)


def beside(make: Callable[[Net, str], str]) -> Callable[[Net], list[str]]:
    """What is made of one channel, behind convolutions of the same channel.

    The constants of the first one come by themselves, those of the second with what is behind it.
    """

    def build(g: Net) -> list[str]:
        x = g.x(2, 1, 12, 12)
        return [g.conv(x, 1, 5), g.conv(x, 1, 3), make(g, x)]

    return build


SINGLE = [
    Case("dense", beside(lambda g, x: g.conv(x, 1, 5, 1))),
    Case("without_bias", beside(lambda g, x: g.conv(x, 1, 7, 1, bias=False))),
    Case("transposed", beside(lambda g, x: g.op("ConvTranspose", x, g.w(1, 6, 2, 2), strides=[2, 2]))),
    Case(
        "product",
        lambda g: [
            *(g.op("Gemm", g.x(3, depth), g.w(depth, 5), g.w(5)) for depth in (9, 7)),
            g.op("MatMul", g.x(3, 1), g.w(1, 5)),
        ],
    ),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", SINGLE, ids=str)
def test_filters_of_one_element_begin_where_commands_take_them(case: Case, precision: Precision) -> None:
    """A bias may lie between multiples of 64 bytes, a filter may not, whatever is in front of it."""
    inputs = case.lowered(precision)[1]
    alone = lone(case, precision)
    final = grouping.forced(alone, [grouping.Span(0, len(grouping.kinds(alone)), 1, 1)])
    assert final is not None
    want = alone.compile().run(inputs)
    verdict = compare(final.compile().run(inputs), want, tolerance=DEVICE_TOLERANCES[precision])
    assert verdict.passed, verdict


@pytest.mark.parametrize("precision", PRECISIONS)
@table
def test_loads_of_constants_reach_all_channels_of_memory(case: Case, precision: Precision) -> None:
    """A short load takes as long as its rows take with all of DDR, not up to four times that."""
    for load in loads(together(case, precision)):
        if load.lanes >= CHANNELS:
            rows = load.lanes * max(PIECE, load.bytes / load.lanes)
            assert load.cycles <= rows / RATE + 1, load


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("channels", [65, 80, 100, 130])
def test_fewer_channels_never_take_longer_than_full_lanes(channels: int, precision: Precision) -> None:
    """With nothing to hide them, constants come by the commands that take least."""

    def cycles(count: int) -> int:
        alone = Case("alone", lambda g: g.conv(g.x(1, 32, 8, 8), 32, count, 1))
        model = alone.lowered(precision)[0].finalize().compile()
        return isa.profile([(group.tiu, group.gdma) for group in model.groups]).cycles

    assert cycles(channels) <= cycles(-(-channels // LANES) * LANES)
