"""Normalisations, constant and computed parameters alike."""

from __future__ import annotations

import itertools

import numpy as np

from harness import ABSENT, OpCase, Stage, array, check, rows, w, with_dynamic, x

P = {"low": 0.5, "high": 2.0}
CASES = with_dynamic(
    [
        OpCase("BatchNormalization", x(2, 65, 4, 5), w(65), w(65), w(65), w(65, **P), why="defaults"),
        OpCase("BatchNormalization", x(2, 3, 4, 5), w(3), w(3), w(3), w(3, **P), epsilon=0.1, why="epsilon"),
        OpCase("BatchNormalization", x(2, 3), w(3), w(3), w(3), w(3, **P), why="matrix"),
        OpCase("BatchNormalization", x(2, 3, 7), w(3), w(3), w(3), w(3, **P), why="one_axis"),
        OpCase("InstanceNormalization", x(2, 5, 6, 7), w(5), w(5), why="defaults"),
        OpCase("InstanceNormalization", x(2, 5, 6, 7), w(5), w(5), epsilon=0.1, why="epsilon"),
        OpCase("LayerNormalization", x(2, 5, 16), w(16), w(16), why="defaults"),
        OpCase("LayerNormalization", x(2, 5, 16), w(16), why="no_bias"),
        OpCase("LayerNormalization", x(2, 5, 16), w(5, 16), w(5, 16), axis=1, epsilon=0.01, why="two_axes"),
        OpCase("LRN", x(1, 12, 5, 6), size=5, why="defaults"),
        OpCase("LRN", x(1, 12, 5, 6), size=3, alpha=0.1, beta=0.5, bias=2.0, why="all"),
    ]
)
# Two numbers that are close to each other have a norm that their rounding decides.
PAIRS = array(
    np.random.default_rng(5).uniform([-2, 1], [-1, 2], (70000, 2)).astype(np.float32), constant=False
)
MORE = with_dynamic([
    OpCase("LayerNormalization", x(2, 5, 16), w(1), w(16), why="one_scale"),
    OpCase("LayerNormalization", x(2, 5, 16), w(16), w(1), axis=1, why="broadcast_rows"),
    OpCase("LayerNormalization", x(2, 5, 16), w(5, 1), w(5, 16), axis=1, why="broadcast_columns"),
    OpCase("LayerNormalization", x(2, 5, 16), w(2, 5, 16), axis=2, why="scale_of_every_element"),
    OpCase("LayerNormalization", x(2, 5, 16), w(16), ABSENT, outputs=3, why="moments"),
    OpCase("LayerNormalization", x(2, 3, 4, 5), w(4, 5), w(4, 5), axis=-2, outputs=3, why="moments_two_axes"),
    OpCase("LayerNormalization", PAIRS, w(2), w(2), why="many_rows"),
    OpCase("LayerNormalization", x(3, 1), w(1), w(1), why="one_element"),
    OpCase("LayerNormalization", x(2, 70000), w(70000), w(70000), why="long_rows"),
    OpCase("GroupNormalization", x(2, 6, 4, 5), w(3), w(3), num_groups=3, opset=18, why="opset_18"),
    OpCase("GroupNormalization", x(2, 6, 4, 5), w(6), w(6), num_groups=3, opset=21, why="opset_21"),
    OpCase("GroupNormalization", x(1, 64, 7), w(64), w(64), num_groups=64, opset=21, epsilon=0.1, why="each"),
    OpCase("GroupNormalization", x(1, 130, 3, 3), w(130), w(130), num_groups=1, opset=21, why="one"),
    OpCase("InstanceNormalization", x(1, 65, 9), w(65), w(65), why="one_axis"),
    OpCase("InstanceNormalization", x(1, 3, 4, 5, 6), w(3), w(3), why="volume"),
    OpCase("BatchNormalization", x(2, 64, 3, 4, 5), w(64), w(64), w(64), w(64, **P), why="volume"),
    OpCase("BatchNormalization", x(1, 1, 1, 1), w(1), w(1), w(1), w(1, **P), opset=9, why="one_element"),
    *(OpCase("RMSNormalization", x(2, 5, 6), w(*(2, 5, 6)[axis:]), axis=axis, opset=23, why=f"axis_{axis}")
      for axis in (0, 1, 2, -1)),
    OpCase("RMSNormalization", x(2, 5, 6), w(1), opset=23, epsilon=0.1, why="one_scale"),
    OpCase("RMSNormalization", x(2, 5, 6), w(5, 1), axis=1, opset=23, why="broadcast"),
]) + [
    OpCase("LpNormalization", x(*shape), p=p, axis=axis, opset=22, why=f"{axis}_{p}")
    for shape, axis, p in itertools.product(((3, 65, 4), (2, 3, 4, 5)), (0, 1, -1), (1, 2))
] + [
    OpCase("LRN", x(2, channels, 4, 3), size=size, alpha=0.3, beta=beta, why=f"{size}_{beta}")
    for channels, size, beta in itertools.product((1, 64, 65), (1, 3, 5), (0.5, 0.75, 1.0))
] + [
    OpCase("MeanVarianceNormalization", x(2, 3, 4, 5), opset=13, why="defaults"),
    OpCase("MeanVarianceNormalization", x(2, 3, 4, 5), axes=[1, 3], opset=13, why="axes"),
]  # fmt: skip


@rows(CASES + MORE)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
