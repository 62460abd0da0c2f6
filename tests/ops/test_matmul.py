"""MatMul and Gemm: ranks, batches, every transposition and factor, constants on either side."""

from __future__ import annotations

import itertools

from harness import OpCase, Stage, check, rows, w, with_dynamic, x

CASES = with_dynamic(
    [
        OpCase("MatMul", x(3, 4), w(4, 5), why="matrices"),
        OpCase("MatMul", x(1, 512), w(512, 128), why="row"),
        OpCase("MatMul", x(2, 3, 4), w(4, 5), why="batch_times_matrix"),
        OpCase("MatMul", x(2, 3, 4, 5), w(2, 3, 5, 6), why="batches"),
        OpCase("MatMul", x(2, 1, 4, 5), w(3, 5, 6), why="batches_broadcast"),
        OpCase("MatMul", w(4, 5), x(5, 6), why="constant_left"),
        OpCase("MatMul", x(5), w(5, 6), why="vector_left"),
        OpCase("MatMul", x(4, 5), w(5), why="vector_right"),
        OpCase("MatMul", x(5), w(5), why="vectors"),
        OpCase("MatMul", x(2, 3, 5), w(5), why="batch_times_vector"),
        OpCase("MatMul", x(65, 130), w(130, 67), why="past_the_lanes"),
        OpCase("MatMul", x(1, 1), w(1, 1), why="one_element"),
    ]
    + [
        OpCase(
            "Gemm",
            x(*((5, 3) if a else (3, 5))),
            w(*((4, 5) if b else (5, 4))),
            w(*c),
            transA=a,
            transB=b,
            alpha=alpha,
            beta=beta,
            why=f"a{a}b{b}_{alpha}_{beta}",
        )
        for a in (0, 1)
        for b in (0, 1)
        for c, alpha, beta in (((4,), 1.0, 1.0), ((3, 4), 0.5, 2.0), ((1,), 1.0, 0.25), ((3, 1), 1.0, 1.0))
    ]
    + [
        OpCase("Gemm", x(3, 5), w(5, 4), alpha=0.25, why="no_c"),
        OpCase("Gemm", x(3, 5), w(5, 4), w(4), beta=0.0, why="beta_zero"),
        OpCase("Gemm", x(3, 4), w(4, 4), transB=1, why="square_b_transposed"),
        OpCase("Gemm", x(1, 2048), w(1000, 2048), w(1000), transB=1, why="classifier"),
    ]
)

# Shapes of both operands: batches of every rank that broadcast on either side.
_BROADCASTS = [
    ((5,), (2, 5, 6)),
    ((2, 3, 4, 5), (5,)),
    ((1, 1, 4, 5), (2, 3, 5, 6)),
    ((2, 1, 4, 5), (1, 3, 5, 6)),
    ((3, 1, 4, 5), (2, 5, 6)),
    ((4, 5), (2, 3, 5, 6)),
    ((2, 1, 2, 4, 5), (3, 1, 5, 6)),
    ((2, 1, 1, 2, 4, 5), (1, 3, 2, 1, 5, 6)),
    ((1, 1, 1, 1, 4, 5), (2, 1, 2, 1, 5, 6)),
    ((2, 2, 1, 2, 1, 5), (5, 1)),
    ((7, 1), (1, 9)),
    ((1, 300), (300, 1)),
]
MORE = with_dynamic([
    *(OpCase("MatMul", x(*a), w(*b), why="broadcast") for a, b in _BROADCASTS),
    *(OpCase("MatMul", w(*a), x(*b), why="broadcast_constant_left") for a, b in _BROADCASTS[:8]),
    *(OpCase("MatMul", x(m, k), w(k, n), why="lanes")
      for m, k, n in itertools.product((1, 63, 65), (1, 64), (16, 65))),
    OpCase("MatMul", x(513, 515), w(515, 1030), why="beyond_every_tile"),
    OpCase("MatMul", x(2, 70000, 3), w(3, 2), why="many_rows"),
    OpCase("MatMul", x(2, 3), w(3, 70000), why="many_columns"),
    OpCase("MatMul", x(1, 70000), w(70000, 2), why="deep"),
    *(OpCase("Gemm", x(5, 3) if a else x(3, 5), w(4, 5) if b else w(5, 4), *c, transA=a, transB=b,
             alpha=alpha, beta=beta, opset=opset, why=f"a{a}b{b}_{alpha}_{beta}_{opset}")
      for (a, b), (alpha, beta), (c, opset) in itertools.product(
          ((0, 0), (1, 0), (0, 1), (1, 1)), ((1.0, 1.0), (-0.5, 3.0), (0.0, 1.0), (2.0, 0.0)),
          (((w(1, 4),), 7), ((w(3, 1),), 9), ((w(1, 1),), 11), ((w(3, 4),), 13), ((), 13)),
      )),
    OpCase("Gemm", x(65, 130), w(130, 67), w(), why="scalar_c"),
])  # fmt: skip


@rows(CASES + MORE)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
