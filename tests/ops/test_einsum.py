"""Rows of Einsum: each kind of equation, and what it becomes."""

from __future__ import annotations

import numpy as np
import pytest

import tpumlir
from harness import OpCase, Stage, array, check, rows, w, x


def e(equation: str, *shapes: tuple[int, ...], why: str = "") -> OpCase:
    """An equation on run-time operands of these shapes."""
    return OpCase(
        "Einsum", *(x(*shape) for shape in shapes), why=f"{equation} {why}".strip(), equation=equation
    )


CASES = [
    # one operand
    e("ij->ji", (3, 5)),
    e("ij->", (3, 5)),
    e("ij->i", (3, 5)),
    e("ij->j", (3, 5)),
    e("ij", (3, 5), why="without arrow"),
    e("ji", (3, 5), why="without arrow in alphabetical order"),
    e("ii->i", (4, 4)),
    e("ii", (4, 4), why="trace"),
    e("iij->j", (4, 4, 3)),
    e("iji->ij", (4, 3, 4)),
    e("iii->i", (3, 3, 3)),
    e("iijj->ij", (3, 3, 2, 2)),
    e("...ii->...i", (2, 5, 3, 3)),
    e("...ij->...ji", (2, 3, 4)),
    e("i...->...", (2, 3, 4)),
    e("...", (2, 3)),
    # two operands
    e("ij,jk->ik", (3, 4), (4, 5)),
    e("ij,kj->ik", (3, 4), (5, 4)),
    e("ij,jk", (3, 4), (4, 5), why="without arrow"),
    e("ij,jk->ki", (3, 4), (4, 5)),
    e("i,i->", (7,), (7,)),
    e("i,i", (7,), (7,), why="inner product"),
    e("i,j->ij", (3,), (4,)),
    e("i,j->ji", (3,), (4,)),
    e("ij,j->i", (3, 4), (4,)),
    e("i,ij->j", (3,), (3, 4)),
    e("ij,ij->ij", (3, 4), (3, 4)),
    e("ij,ij->", (3, 4), (3, 4)),
    e("ij,ji->", (3, 4), (4, 3)),
    e("ij,ij->i", (3, 4), (3, 4)),
    e("ij,kl->", (3, 4), (2, 5), why="nothing shared"),
    e("ij,kl->ijkl", (3, 4), (2, 5)),
    e("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    e("bhwc,hkc->bhwk", (2, 3, 4, 5), (3, 4, 5), why="relative position"),
    e("bqhd,bkhd->bhqk", (2, 5, 3, 4), (2, 6, 3, 4), why="attention scores"),
    e("bhqk,bkhd->bqhd", (2, 3, 5, 6), (2, 6, 3, 4), why="attention values"),
    e("nctkv,kvw->nctw", (2, 3, 4, 2, 5), (2, 5, 6), why="graph convolution"),
    e("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    e("...ij,...jk->...ik", (5, 1, 3, 4), (1, 2, 4, 5), why="batches broadcast"),
    e("...ij,jk->...ik", (2, 3, 4), (4, 5)),
    e("ij,...jk->...ik", (3, 4), (2, 4, 5), why="ellipsis of the second only"),
    e("i...,i...->...", (2, 3), (2, 3)),
    e("...i,...i->...", (2, 1, 4), (1, 3, 4)),
    e("ii,i->i", (3, 3), (3,)),
    e("ij , jk -> ik", (3, 4), (4, 5), why="spaces"),
    e("Ab,bA->A", (3, 4), (4, 3), why="capitals"),
    e("aB,Bc", (3, 4), (4, 2), why="capitals without arrow"),
    # three and more
    e("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    e("i,j,k->ijk", (2,), (3,), (4,)),
    e("bi,i,bi->b", (2, 3), (3,), (2, 3)),
    e("a,ab,abc->abc", (2,), (2, 3), (2, 3, 4)),
    e("ij,ik,il,im->jklm", (3, 2), (3, 2), (3, 2), (3, 2)),
    OpCase("Einsum", x(3, 4), w(4, 5), why="constant", equation="ij,jk->ik"),
    OpCase("Einsum", w(4, 4), x(4, 5), why="constant diagonal", equation="ii,ik->k"),
]


@rows(CASES)
def test_einsum(case: OpCase, stage: Stage) -> None:
    check(case, stage)


@pytest.mark.parametrize(
    "case",
    [
        e("...,...->...", (2, 3), (3,)),
        e("...i,...i->...", (2, 1, 4), (3, 4)),
        e("...ij,...jk->...ik", (5, 1, 3, 4), (2, 4, 5)),
        e("...i,i...->...", (2, 1, 4), (4, 3)),
    ],
    ids=str,
)
def test_ellipses_of_different_ranks_broadcast(case: OpCase) -> None:
    """As numpy and ONNX say; ONNX Runtime refuses them."""
    wanted = np.einsum(case.attributes["equation"], *case.inputs.values())
    np.testing.assert_allclose(case.top_results["out0"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("equation", ["bij,bjk->bik", "...ij,...jk->...ik", "bhqk,bhkd->bhqd"], ids=str)
def test_matrix_products_become_one_matmul(equation: str) -> None:
    shapes = ((2, 3, 4), (2, 4, 5)) if "h" not in equation else ((2, 3, 5, 6), (2, 3, 6, 4))
    module = e(equation, *shapes).top
    kinds = [op.kind for op in module.ops() if op.kind not in {"top.Input", "top.None", "top.Reshape"}]
    assert kinds == ["top.MatMul"]


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij->ik", "different labels of the operands"),
        ("ij->ii", "different labels of the operands"),
        ("ijk->i", "a label for each of 2 axes"),
        ("ij,jk->ik", "an equation for 1 operands"),
        ("i1->i", "letters"),
        ("ii->i", "equal extents"),
    ],
)
def test_equations_that_do_not_fit_are_one_line(equation: str, message: str) -> None:
    case = OpCase("Einsum", array(np.zeros((2, 3), np.float32), constant=False), equation=equation)
    with pytest.raises(tpumlir.OnnxImportError, match=message) as caught:
        tpumlir.load_onnx(case.proto)
    assert caught.value.node == "node"
