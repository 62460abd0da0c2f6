"""``tpumlir check``: every node that cannot be compiled, in one go, whichever step refuses it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir.cli import main as tpumlir_main
from tpumlir.errors import OnnxImportError
from tpumlir.precision.formats import FLOATS
from tpumlir.road.check import check_model

RNG = np.random.default_rng(5)


def model(
    nodes: list[onnx.NodeProto],
    *,
    shape: tuple[int | str, ...] = (1, 4, 8, 8),
    outputs: str = "y",
    **weights: object,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "checked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)], ir_version=8
    )


def five_refusals() -> onnx.ModelProto:
    """Four that the importer refuses, one behind the other, and a sort that is too long for the chip."""
    return model(
        [
            helper.make_node("RandomNormalLike", ["x"], ["a"], name="noise"),
            helper.make_node("Sub", ["x", "a"], ["b"], name="fine"),
            helper.make_node("Magic", ["b"], ["c"], name="magic", domain="custom"),
            helper.make_node("TopK", ["b", "k"], ["d", "places"], name="sort", axis=2),
            helper.make_node("Multinomial", ["f"], ["m"], name="draw", sample_size=3),
            helper.make_node("Flatten", ["d"], ["f"], name="flat"),
            helper.make_node("Unique", ["f"], ["u"], name="unique"),
            helper.make_node("Relu", ["d"], ["y"], name="act"),
        ],
        outputs="y c m u",
        shape=(1, 4, 9000, 1),
        k=np.array([9000], np.int64),
    )


def test_all_refused_nodes_are_listed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(five_refusals(), tmp_path / "m.onnx")
    assert tpumlir_main.main(["check", str(tmp_path / "m.onnx"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    refused = {entry["node"]: entry for entry in document["refused"]}
    assert set(refused) == {"noise", "magic", "sort", "draw", "unique"}
    assert document["passed"] is False
    assert all(entry["remedy"] and entry["reason"] for entry in refused.values())
    assert all(entry["precisions"] == list(FLOATS) for entry in refused.values())
    assert refused["sort"]["operator"] == "TopK"
    assert refused["sort"]["step"] == "lowering"
    assert "noise" in refused["noise"]["remedy"]
    counts = {entry["operator"]: entry for entry in document["operators"]}
    assert counts["Sub"] == {"operator": "Sub", "nodes": 1, "refused": dict.fromkeys(FLOATS, 0)}
    assert counts["custom.Magic"]["refused"] == dict.fromkeys(FLOATS, 1)


def test_the_table_names_node_reason_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(five_refusals(), tmp_path / "m.onnx")
    assert tpumlir_main.main(["check", str(tmp_path / "m.onnx")]) == 1
    text = capsys.readouterr().out
    assert "5 nodes are refused:" in text
    line = next(line for line in text.splitlines() if line.startswith("noise "))
    assert "RandomNormalLike" in line
    assert "make the noise a constant or an input" in line


def test_a_small_model_is_checked_within_a_second() -> None:
    check_model(five_refusals())  # imports of Python modules do not count
    start = time.process_time()
    check_model(five_refusals())
    assert time.process_time() - start < 1


def test_a_model_that_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        shape=("N", 4, "H", "W"),
        w=RNG.standard_normal((4, 4, 3, 3)).astype(np.float32),
    )
    onnx.save(good, tmp_path / "m.onnx")
    assert tpumlir_main.main(["check", str(tmp_path / "m.onnx"), "--input_shapes", "[[1,4,8,8]]"]) == 0
    assert "all 1 nodes can be compiled" in capsys.readouterr().out
    with pytest.raises(OnnxImportError, match="give --input_shapes"):
        check_model(good)


def test_nodes_behind_an_unknown_shape_are_named() -> None:
    report = check_model(
        model(
            [
                helper.make_node("Unique", ["x"], ["u"], name="unique"),
                helper.make_node("Relu", ["u"], ["r"], name="behind"),
                helper.make_node("Magic", ["r"], ["y"], name="magic", domain="custom"),
            ]
        )
    )
    assert [r.node for r in report.refusals] == ["unique", "magic"]
    assert report.unreached == {"behind": "Relu"}


def test_a_node_that_contradicts_itself_is_one_refusal_among_others() -> None:
    report = check_model(
        model(
            [
                helper.make_node("Transpose", ["x"], ["t"], name="wrong", perm=[0, 0, 1, 2]),
                helper.make_node("Magic", ["x"], ["y"], name="magic", domain="custom"),
            ],
            outputs="t y",
        )
    )
    assert [r.node for r in report.refusals] == ["wrong", "magic"]


def test_cutting_the_graph_leaves_refused_nodes_out() -> None:
    assert check_model(five_refusals(), output_names=["b"]).counts == {"RandomNormalLike": 1, "Sub": 1}
