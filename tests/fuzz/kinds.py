"""What a random model may grow by, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuzz import moves, patterns, steps
from fuzz.networks import Maker

Step = Callable[[Maker], Any]

# Those of networks on pictures.
VISION = {
    "unary", "clip", "binary", "conv", "deconv", "pool", "global_pool", "resize", "reshape", "transpose",
    "slices", "split", "concat", "pad", "blocks", "residual", "squeeze_excite", "pyramid", "shuffle",
    "focus", "twice", "norm", "reduction", "softmax",
}  # fmt: skip

_WEIGHTS: list[tuple[Step, float]] = [
    (steps.unary, 8), (steps.positive_unary, 1), (steps.clip, 2), (steps.binary, 9), (steps.compare, 2),
    (steps.where, 2), (steps.logic, 1), (steps.cast, 2), (steps.integers, 1.5), (steps.conv, 8),
    (steps.deconv, 3), (steps.pool, 4), (steps.global_pool, 1), (steps.resize, 3), (steps.matmul, 5),
    (steps.gemm, 2), (patterns.attention, 1), (steps.norm, 4), (patterns.layer_norm_by_hand, 1),
    (steps.softmax, 2), (steps.reduction, 4), (steps.extreme, 1.5), (steps.cumsum, 0.7),
    (moves.reshape, 4), (moves.transpose, 4), (moves.squeeze, 1.5), (moves.slices, 4), (moves.split, 2),
    (moves.concat, 4), (moves.pad, 2.5), (moves.tile, 1), (moves.blocks, 1), (moves.gather, 3),
    (moves.scatter, 1), (moves.trilu, 0.5), (steps.recurrence, 1.2), (patterns.residual, 2),
    (patterns.squeeze_excite, 1), (patterns.pyramid, 1.5), (patterns.shuffle, 0.7), (patterns.focus, 0.7),
    (patterns.window_partition, 0.7), (patterns.twice, 2.5),
]  # fmt: skip
STEPS = {step.__name__: (step, weight) for step, weight in _WEIGHTS}
