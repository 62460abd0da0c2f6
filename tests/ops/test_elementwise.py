"""Arithmetic of floats with broadcasting on either side, and unary mathematics."""

from __future__ import annotations

import numpy as np

from harness import OpCase, Operand, Stage, array, c, check, opsets, rows, scalar, w, with_dynamic, x

P = {"low": 0.5, "high": 2.0}
SHAPES: list[tuple[str, Operand, Operand]] = [
    ("same", x(2, 3, 4, 5), w(2, 3, 4, 5, **P)),
    ("channel", x(2, 65, 4, 5), w(65, 1, 1, **P)),
    ("last_axis", x(2, 3, 4, 5), w(5, **P)),
    ("rank_zero", x(2, 3, 4, 5), scalar(1.5)),
    ("one_element", x(2, 3, 4, 5), c(1.5)),
    ("both_grow", x(1, 6), w(4, 1, **P)),
    ("both_grow_from_equal_values", x(1, 6), array(np.full((4, 1), 1.5, np.float32))),
    ("constant_left", w(2, 3, 4, 5), x(3, 1, 5, **P)),
    ("left_grows", x(5), w(2, 3, 4, 5, **P)),
    ("rank_five", x(3, 1, 2, 1, 5), w(1, 4, 1, 3, 1, **P)),
    ("rank_six", x(1, 2, 3, 2, 3, 4), w(2, 1, 2, 1, 4, **P)),
    ("rank_six_both_grow", x(2, 1, 3, 1, 2, 1), w(1, 2, 1, 3, 1, 5, **P)),
    ("single", x(1), w(1, **P)),
    ("ranks_one_and_three", x(7), w(3, 1, 1, **P)),
    ("odd", x(7, 13, 11), w(13, 1, **P)),
    ("more_than_a_row", x(3, 1025), w(3, 1, **P)),
    ("lanes_63", x(1, 63, 3, 3), w(63, 1, 1, **P)),
    ("lanes_64", x(1, 64, 3, 3), w(64, 1, 1, **P)),
    ("lanes_130", x(2, 130, 3, 1), w(130, 1, 3, **P)),
]

BINARY = [
    OpCase(op, a, b, why=why) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min") for why, a, b in SHAPES
]
MANY = [
    ("one", (x(2, 3),)),
    ("three", (x(2, 3), w(3), x(2, 1))),
    ("grows_twice", (x(1, 3), x(2, 1), w(2, 3), scalar(0.25))),
    ("ranks", (x(3), x(2, 1, 1), w(4, 3))),
    ("five", (x(2, 3), x(2, 3), x(3), x(1), x(2, 1))),
]
VARIADIC = [OpCase(op, *operands, why=why) for op in ("Sum", "Max", "Min", "Mean") for why, operands in MANY]

# What a comparison or a quotient may stumble over, every number against every other one.
EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3e38, -3e38, 1e38, 2e-38, 5.5], np.float32)
EDGE, EDGE_COLUMN = array(EDGES, constant=False), array(EDGES.reshape(-1, 1), constant=False)
SPECIAL = [
    OpCase(op, EDGE, EDGE_COLUMN, why="special_numbers", precisions=("F32",))
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")
] + [
    OpCase(op, EDGE, c(number), why=f"special_numbers_and_{number}", precisions=("F32",))
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")
    for number in (2.0, -0.5, 0.0, 1e30)
]

# --- powers and remainders ----------------------------------------------------------------

POSITIVE = {"low": 0.1, "high": 4.0}
BASES = array(
    np.array([[-2.0], [-1.0], [-0.5], [0.5], [1.0], [2.0], [3.0], [10.0]], np.float32), constant=False
)
EXPONENTS = array(np.array([-3, -2, -1, 0, 1, 2, 3, 4, 5, 7], np.float32), constant=False)
POW = [
    OpCase("Pow", x(2, 3, 4), scalar(2.0), why="square"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), scalar(0.5), why="root"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), scalar(1.0), why="one"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), scalar(0.0), why="zero"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), c(-1.5), why="negative"),
    *(
        OpCase("Pow", x(2, 3, 4, **P), c(float(e)), why=f"whole_{e}", precisions=("F32",))
        for e in (-9, -3, -2, -1, 3, 4, 5, 9, 15, 40, 70)
    ),
    OpCase("Pow", x(2, 3, 4, low=-2.0, high=-0.5), c(3.0), why="negative_base"),
    OpCase("Pow", scalar(2.0), x(2, 3, 4), why="constant_base"),
    OpCase(
        "Pow",
        c(-2.0),
        array(np.arange(-4, 5, dtype=np.float32), constant=False),
        why="negative_constant_base",
    ),
    OpCase("Pow", c(0.0), array(np.arange(-2, 3, dtype=np.float32), constant=False), why="base_zero"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), x(4, **POSITIVE), why="run_time_exponents"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), w(4, **POSITIVE), why="vector_of_exponents"),
    OpCase("Pow", x(3, 1, **POSITIVE), x(1, 65, **POSITIVE), why="both_grow"),
    OpCase("Pow", BASES, EXPONENTS, why="whole_numbers", precisions=("F32", "BF16")),
    OpCase("Pow", x(3, 4, **POSITIVE), array(np.array([1, 2, 3, 4], np.int32)), why="i32_exponents"),
    OpCase(
        "Pow",
        x(3, 4, **POSITIVE),
        array(np.array([1, 2, 3, 4], np.int64), constant=False),
        why="i64_exponents",
    ),
    OpCase("Pow", EDGE, EDGE_COLUMN, why="special_numbers", precisions=("F32",)),
]
SMALL_SHAPES = [
    entry for entry in SHAPES if entry[0] in {"same", "channel", "both_grow", "left_grows", "rank_six"}
]
MOD = [OpCase("Mod", a, b, why=why, fmod=1, precisions=("F32",)) for why, a, b in SMALL_SHAPES] + [
    OpCase("Mod", x(2, 3), x(3, **P), fmod=1, opset=opset, why=f"opset_{opset}") for opset in opsets("Mod")
] + [
    OpCase("Mod", EDGE, EDGE_COLUMN, why="special_numbers", fmod=1, precisions=("F32",)),
    OpCase(
        "Mod", array(np.array([1e30, -1e30, 3e38, 12345.678, 7, -7, 5.3], np.float32), constant=False),
        array(np.array([[3.0], [-3.0], [1e-30], [0.7], [1e10]], np.float32), constant=False),
        why="far_apart", fmod=1, precisions=("F32",),
    ),
]  # fmt: skip

# --- one operand ----------------------------------------------------------------------------

RANGES = {
    "Abs": (-3.0, 3.0), "Neg": (-3.0, 3.0), "Ceil": (-3.0, 3.0), "Floor": (-3.0, 3.0), "Round": (-3.0, 3.0),
    "Sign": (-3.0, 3.0), "Sqrt": (0.0, 9.0), "Exp": (-4.0, 4.0), "Log": (0.01, 9.0), "Reciprocal": (0.2, 3.0),
    "Erf": (-3.0, 3.0), "Sin": (-7.0, 7.0), "Cos": (-7.0, 7.0), "Tan": (-1.0, 1.0), "Sinh": (-3.0, 3.0),
    "Cosh": (-3.0, 3.0), "Asin": (-0.9, 0.9), "Acos": (-0.9, 0.9), "Atan": (-9.0, 9.0), "Asinh": (-9.0, 9.0),
    "Acosh": (1.1, 9.0), "Atanh": (-0.9, 0.9),
}  # fmt: skip
UNARY_SHAPES = {"past_the_lanes": (2, 65, 3, 5), "one_element": (1,), "rank_six": (1, 2, 1, 3, 2, 7)}
UNARY = [
    OpCase(op, x(*shape, low=low, high=high), opset=22, why=why)
    for op, (low, high) in RANGES.items()
    for why, shape in UNARY_SHAPES.items()
] + [
    OpCase(op, x(3, 5, low=low, high=high), opset=opset, why=f"opset_{opset}")
    for op, (low, high) in RANGES.items()
    for opset in opsets(op)
]
# Far from the middle of the ranges above, at their ends and beyond; no denormals, which the chip takes for 0.
FAR = np.array(
    [
        0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.0000001, -1.0000001, 2.0, 1e-4, -1e-4, 1e-10, 1e-30, 0.35, 0.75,
        0.3, 3.1415927, 1.5707964, -1.5707964, 100.0, 1000.0, 12345.678, -54321.0, 100000.0, np.nan, np.inf,
        -np.inf, 2.5, -2.5, 1.5, 0.41421357, 2.4142137, 0.99999994, 4096.0, 5000.0, 88.0, -88.0, 30.0,
    ],
    np.float32,
)  # fmt: skip
# Where the chip's sine ends, and where exponentials become infinite.
FARTHEST = {"Sin": 1e5, "Cos": 1e5, "Tan": 1e5, "Sinh": 89.0, "Cosh": 89.0, "Exp": 88.5}
UNARY += [
    OpCase(op, array(values, constant=False), opset=22, why="special_numbers", precisions=("F32",))
    for op in RANGES
    for values in (FAR[~np.isfinite(FAR) | (np.abs(FAR) <= FARTHEST.get(op, np.inf))],)
]
TIES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.2, -3.7, 8388609.0, 1e30, np.inf, np.nan], np.float32)
UNARY += [OpCase("Round", array(TIES, constant=False), why="ties_to_even", precisions=("F32", "BF16"))]

VERSIONS = [
    OpCase(op, x(2, 3), w(2, 3, **P), opset=opset, why=f"opset_{opset}")
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")
    for opset in opsets(op)
] + [
    OpCase("Pow", x(2, 3, **POSITIVE), w(2, 3, **POSITIVE), opset=opset, why=f"opset_{opset}")
    for opset in opsets("Pow")
]

CASES = with_dynamic(BINARY + VARIADIC + VERSIONS) + SPECIAL + POW + MOD + UNARY


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
