"""The scale of an attention goes where it costs nothing. Rows as in test_canonicalize.py."""

from __future__ import annotations

import pytest

from passes.test_canonicalize import Graph, Row, check_row
from tpumlir._core import ir


def softmax(graph: Graph, scores: ir.Value, factor: float) -> ir.Value:
    return graph.op("Softmax", graph.op("MulConst", scores, const_val=factor), axis=-1)


def attention(graph: Graph, factor: float) -> ir.Value:
    q, k, v = (graph.x(2, 4, 8, name=name) for name in "qkv")
    scores = graph.op("MatMul", q, k, graph.none(), right_transpose=True)
    return graph.op("MatMul", softmax(graph, scores, factor), v, graph.none())


def scaled_heads(graph: Graph, *, bias: bool = True, constant: bool = True) -> ir.Value:
    """Queries of four heads, scaled behind the permute."""
    w = graph.w(8, 8) if constant else graph.x(8, 8, name="w")
    q = graph.op("MatMul", graph.x(2, 3, 8), w, graph.w(8) if bias else graph.none())
    heads = graph.op("Reshape", q, shape=[2, 3, 4, 2])
    return graph.op("MulConst", graph.op("Permute", heads, order=[0, 2, 1, 3]), const_val=0.5)


def two_readers(graph: Graph) -> ir.Value:
    q = graph.op("MatMul", graph.x(2, 3, 8), graph.w(8, 8), graph.none())
    heads = graph.op("Permute", q, order=[0, 2, 1])
    return graph.op("Sub", heads, graph.op("MulConst", heads, const_val=0.5))


ROWS = [
    Row("factor_before_the_softmax", lambda g: attention(g, 0.25), "MatMul MatMul Softmax"),
    Row("negative_factor_stays", lambda g: attention(g, -1.0), "MatMul MatMul MulConst Softmax"),
    Row("factor_behind_the_heads", scaled_heads, "MatMul Permute Reshape"),
    Row("factor_behind_the_heads_no_bias", lambda g: scaled_heads(g, bias=False), "MatMul Permute Reshape"),
    Row(
        "computed_weights_take_none",
        lambda g: scaled_heads(g, constant=False),
        "MatMul MulConst Permute Reshape",
    ),
    Row("a_second_reader_takes_none", two_readers, "MatMul MulConst Permute Sub"),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_same_values_after_the_passes(row: Row) -> None:
    check_row(row)
