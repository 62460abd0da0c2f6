"""Pictures of modules: places of boxes, what is known of each, and the file that ONNX viewers open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir import bmodel
from tpumlir._core.ir import GraphBuilder
from tpumlir.bmodel.profile import profile
from tpumlir.drawing import verdicts
from tpumlir.drawing.layout import Layout, lay_out
from tpumlir.drawing.onnx_file import model
from tpumlir.drawing.page import page
from tpumlir.drawing.scene import Scene
from tpumlir.drawing.verdicts import Verdict
from tpumlir.errors import InputError

RNG = np.random.default_rng(2)
GAP = 24.0


# --- layout ------------------------------------------------------------------------


def crossings(layout: Layout) -> int:
    """Pairs of straight pieces between the same two layers that cross."""
    pieces = [piece for corners in layout.edges for piece in pairwise(corners)]
    pieces = list(dict.fromkeys(pieces))
    return sum(
        (a[0][0] - b[0][0]) * (a[1][0] - b[1][0]) < 0
        for i, a in enumerate(pieces)
        for b in pieces[:i]
        if a[0][1] == b[0][1] and a[1][1] == b[1][1]
    )


def check(widths: list[float], edges: list[tuple[int, int]]) -> Layout:
    """No two boxes touch, every edge leads down, from its box to its box."""
    found = lay_out(widths, edges)
    assert len(found.x) == len(found.y) == len(widths)
    rows: dict[float, list[int]] = {}
    for node, y in enumerate(found.y):
        rows.setdefault(float(y), []).append(node)
    for row in rows.values():
        row.sort(key=lambda node: found.x[node])
        for a, b in pairwise(row):
            assert found.x[b] - found.x[a] >= (widths[a] + widths[b]) / 2 + GAP - 1e-6
    for (a, b), corners in zip(edges, found.edges, strict=True):
        assert corners[0] == (found.x[a], found.y[a])
        assert corners[-1] == (found.x[b], found.y[b])
        heights = [y for _, y in corners]
        assert heights == sorted(set(heights))
    return found


def test_a_chain_is_straight_and_evenly_spaced() -> None:
    found = check([80.0, 200.0, 40.0, 120.0], [(0, 1), (1, 2), (2, 3)])
    assert np.ptp(found.x) < 1e-6
    assert len(set(np.diff(found.y))) == 1


def test_a_long_edge_goes_around_what_lies_between() -> None:
    edges = [(0, 1), (1, 2), (2, 3), (0, 3)]
    found = check([100.0] * 4, edges)
    corners = found.edges[3]
    assert len(corners) == 4
    for (x, y), node in zip(corners[1:3], (1, 2), strict=True):
        assert y == found.y[node]
        assert abs(x - found.x[node]) >= 50 + GAP - 1e-6


def test_edges_of_a_twisted_graph_do_not_cross() -> None:
    # Two chains whose members were numbered in turns, then joined.
    edges = [(0, 3), (1, 2), (2, 5), (3, 4), (4, 6), (5, 6)]
    assert crossings(check([100.0] * 7, edges)) == 0


def test_what_reads_nothing_stands_right_above_its_reader() -> None:
    found = check([50.0] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert found.y[3] == found.y[2]


def test_several_edges_between_two_boxes_and_boxes_alone() -> None:
    found = check([50.0] * 4, [(0, 1), (0, 1), (0, 2)])
    assert found.edges[0] == found.edges[1]
    assert lay_out([], []).edges == []
    assert check([10.0], []).edges == []


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 60
    edges = [
        (int(rng.integers(max(0, b - 12), b)), b)
        for b in range(1, count)
        for _ in range(int(rng.integers(0, 3)))
    ]
    check([float(w) for w in rng.integers(30, 200, count)], edges)


def test_two_thousand_boxes_take_no_time() -> None:
    """With long edges, and one tensor that everybody reads."""
    edges = [(i, i + 1) for i in range(1999)] + [(i, i + 40) for i in range(0, 1900, 5)]
    edges += [(0, i) for i in range(50, 2000, 10)]
    start = time.process_time()
    found = lay_out([100.0] * 2000, edges)
    assert len(found.edges[-1]) > 1000  # it has a place in every layer
    assert time.process_time() - start < 15  # about half a second on an idle machine


# --- scenes ------------------------------------------------------------------------


def net() -> tpumlir.Module:
    """x -> conv a -> relu b -+-> add y, with a skip from a sigmoid s of b."""
    weights = {"w": RNG.standard_normal((64, 8, 3, 3)).astype(np.float32) / 8}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="node_a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="node_b"),
        helper.make_node("Sigmoid", ["b"], ["s"], name="node_s"),
        helper.make_node("Add", ["b", "s"], ["y"], name="node_y"),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 8, 28, 28))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(proto, name="net")


TOP = net()


def int8() -> tpumlir.Module:
    with pytest.warns(tpumlir.errors.Note):
        table = tpumlir.calibrate(TOP, [{"x": RNG.standard_normal((1, 8, 28, 28)).astype(np.float32)}])
    return TOP.lower("INT8", calibration_table=table)


STAGES: dict[str, Callable[[], tpumlir.Module]] = {
    "top": lambda: TOP,
    "tpu": TOP.lower,
    "f16": lambda: TOP.lower("F16"),
    "bf16 final": lambda: TOP.lower("BF16").finalize(),
    "int8": int8,
    "int8 final": lambda: int8().finalize(),
}


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_drawn_and_opens_as_onnx(stage: str, weights: bool) -> None:
    module = STAGES[stage]()
    scene = Scene.of(module, "net", weights=weights)
    kinds = [box.kind for box in scene.boxes]
    assert kinds.count("output") == 1
    assert ("top.Weight" in kinds) == weights
    readers = {name: [scene.boxes[b].name for a, b, t in scene.edges if t == name] for name in ("b", "x")}
    assert readers["b"]
    assert readers["x"]
    # Everything but the file itself is in the page.
    content = page(scene).decode()
    document = json.loads(content[content.index("const data = ") + 13 : content.index(";\nconst HEIGHT")])
    assert [node["kind"] for node in document["nodes"]] == kinds
    assert len(document["edges"]) == len(scene.edges)
    assert "http" not in content
    # The ONNX file has the same operations, shapes and types.
    proto = onnx.load_from_string(model(scene, module.weights).SerializeToString())
    onnx.checker.check_model(proto, full_check=True)
    operations = [op for op in module.ops() if op.kind not in {"top.Weight", "top.Input"}]
    assert [node.domain + "." + node.op_type for node in proto.graph.node] == [
        f"tpumlir.{op.kind}" for op in operations
    ]
    infos = {info.name: info.type.tensor_type for info in (*proto.graph.value_info, *proto.graph.output)}
    want = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16,
            "i8": TensorProto.INT8, "ui8": TensorProto.UINT8}  # fmt: skip
    for op in operations:
        for result in op.results:
            assert infos[result.name].elem_type == want[result.dtype]
            assert tuple(dim.dim_value for dim in infos[result.name].shape.dim) == result.shape
    shapes = {tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert (shapes != set()) == weights
    for tensor in proto.graph.initializer:
        value = module.weights[tensor.name]
        if tensor.data_type == TensorProto.BFLOAT16:
            assert tensor.raw_data == value.tobytes()
        else:
            np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)


def test_what_an_operation_is_told_of() -> None:
    scene = Scene.of(int8().finalize(), "net")
    boxes = {box.name: box for box in scene.boxes if box.kind != "output"}
    b = boxes["b"]
    assert (b.kind, b.node, b.precision) == ("tpu.Conv2D", "node_b", "INT8")
    assert b.attributes["kernel_shape"] == "[3, 1]"  # its columns are channels
    assert b.attributes["do_relu"] == "True"
    assert b.outputs[0].text.startswith("ui8 (* 0.")
    assert b.outputs[0].text.endswith(") 1x64x28x28")
    assert any(tensor.place for box in scene.boxes for tensor in box.outputs)
    assert {box.group for box in scene.boxes} - {None}
    assert boxes["x"].outputs[0].place.startswith("io + 0x")
    proto = model(scene, {})
    (node,) = [node for node in proto.graph.node if node.name == "b"]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert attributes["kernel_shape"] == [3, 1]
    assert attributes["do_relu"] == 1
    assert attributes["precision"] == b"INT8"
    assert attributes["onnx_node"] == b"node_b"
    assert any(text.startswith(b"b::int8") or b"64x" in text for text in attributes["constants"])


@pytest.mark.parametrize("stage", ["tpu", "int8 final"])
def test_cycles_are_those_of_the_bmodel(stage: str, tmp_path: Path) -> None:
    module = STAGES[stage]()
    path = tmp_path / "net.bmodel"
    bmodel.write(path, module.compile())
    timed = profile(bmodel.read(path, legality=False))
    scene = Scene.of(module, "net", profile=timed)
    assert scene.cycles == timed.cycles
    assert sum(box.cycles or 0 for box in scene.boxes) == pytest.approx(timed.cycles, rel=1e-6)
    rows = {(row.op, row.node): row.sums.cycles for row in timed.ops}
    for box in scene.boxes:
        if box.shared == 1 and (box.kind, box.node) in rows:
            assert box.cycles == pytest.approx(rows[box.kind, box.node])
    # Of a Top module each node has what became of it.
    top = Scene.of(TOP, "net", profile=timed)
    nodes = {row.node: row.sums.cycles for row in timed.nodes}
    assert {box.node: box.cycles for box in top.boxes if box.node == "node_y"} == {
        "node_y": pytest.approx(nodes["node_y"])
    }


def test_verdicts_hang_on_what_computes_the_tensor() -> None:
    found = {
        "b": Verdict("failed", "unlike"),
        "y": Verdict("affected"),
        "s": Verdict("passed"),
        "no": Verdict("failed"),
    }
    scene = Scene.of(TOP, "net", verdicts=found)
    states = {box.name: box.verdict.state for box in scene.boxes if box.verdict and box.kind != "output"}
    assert states == {"b": "failed", "y": "affected", "s": "passed"}
    assert scene.unmatched == ("no",)


def test_one_operation_constants_and_passed_inputs() -> None:
    graph = GraphBuilder("one")
    x = graph.input("x", (2, 3))
    (y,) = graph.op("top.Exp", [x], names=["y"])
    c = graph.weight("c", np.ones((4,), np.float32))
    module = tpumlir.Module(graph.finish([y, x, c]))
    scene = Scene.of(module, "one")
    assert [box.kind for box in scene.boxes].count("output") == 3
    page(scene)
    proto = model(scene, module.weights)
    onnx.checker.check_model(proto, full_check=True)
    assert [value.name for value in proto.graph.output] == ["y", "x", "c"]


def test_names_may_hold_anything() -> None:
    nasty = "</script><i>&\"'"
    graph = GraphBuilder("nasty")
    x = graph.input("x", (2, 3))
    (y,) = graph.op("top.Exp", [x], names=[nasty])
    module = tpumlir.Module(graph.finish([y]))
    content = page(Scene.of(module, nasty)).decode()
    assert content.count("</script>") == 1


# --- verdicts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "want"),
    [
        ({"tensors": [{"name": "a", "status": "unlike", "passed": False, "message": "far"}]},
         {"a": Verdict("failed", "unlike: far")}),
        ({"validations": [{"tensors": [{"name": "a", "status": "similar", "passed": True}]}]},
         {"a": Verdict("passed", "similar")}),
        ({"ops": [{"tensor": "a", "verdict": "off"}, {"tensor": "b", "verdict": "accumulated"},
                  {"tensor": "c", "verdict": "no reference"}]},
         {"a": Verdict("failed", "off"), "b": Verdict("affected", "accumulated")}),
        ({"findings": [{"tensor": "a", "kind": "wrong values"}],
          "tensors": [{"tensor": "a", "verdict": "WRONG"}, {"tensor": "b", "verdict": "consequence"},
                      {"tensor": "c", "verdict": "right"}, {"tensor": "d", "verdict": "unseen"}]},
         {"a": Verdict("failed", "WRONG"), "b": Verdict("affected", "consequence"),
          "c": Verdict("passed", "right")}),
        ([{"name": "a", "passed": True}, {"name": "a", "passed": False}, {"name": "a", "passed": True}],
         {"a": Verdict("failed")}),
    ],
)  # fmt: skip
def test_documents_of_commands_are_read(document: Any, want: dict[str, Verdict], tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(json.dumps(document))
    assert verdicts.read(path) == want


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "expected JSON"),
        (b"\xff\xfe\x00", "expected JSON"),
        (b"{}", "expected verdicts on tensors, got none"),
        (b"[" * 100_000, "expected JSON"),
        (b'{"name": "x", "passed": "yes"}', "expected verdicts on tensors, got none"),
    ],
)
def test_other_documents_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        verdicts.read(path)
    with pytest.raises(InputError, match="no such file"):
        verdicts.read(tmp_path / "no.json")
    with pytest.raises(InputError, match="Is a directory"):
        verdicts.read(tmp_path)
