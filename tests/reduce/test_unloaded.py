"""Models that cannot even be read are reduced to what they are refused for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from reducing import F32, info, ints, run, save, save_chain, shows_again, weight
from tpumlir.errors import TpumlirError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def old_opset(model: Any) -> None:
    model.opset_import[0].version = 5


def no_opset(model: Any) -> None:
    del model.opset_import[:]


def written_twice(model: Any) -> None:
    model.graph.node[7].output[0] = model.graph.node[5].output[0]


def missing_attribute(model: Any) -> None:
    model.graph.node.append(helper.make_node("Cast", ["c3"], ["cast"], name="bare"))


def unknown_attribute(model: Any) -> None:
    model.graph.node[3].attribute.append(helper.make_attribute("slope", 1.0))


def reference_outside_of_functions(model: Any) -> None:
    model.graph.node[3].attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)


def sparse(model: Any) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([3]), "i"), [8])
    )


def sequence_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_sequence_value_info("many", F32, None))


def short_data(model: Any) -> None:
    model.graph.initializer[3].raw_data = model.graph.initializer[3].raw_data[:-4]


def missing_file(model: Any) -> None:
    tensor = model.graph.initializer[2]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def open_shape(model: Any) -> None:
    """What reads the file takes it; what gives the inputs shapes does not."""
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


# How to break the chain of ten nodes, and how many are left. A model whose outputs are looked at needs one.
BROKEN: list[tuple[Callable[[Any], None], int]] = [
    (old_opset, 0), (no_opset, 0), (written_twice, 2), (missing_attribute, 1), (unknown_attribute, 1),
    (reference_outside_of_functions, 1), (sparse, 1), (sequence_input, 1), (short_data, 0),
    (missing_file, 0), (open_shape, 1),
]  # fmt: skip


def broken(change: Callable[[Any], None]) -> str:
    """Write the chain with a fault; how it is refused."""
    save_chain()
    model = onnx.load("m.onnx")
    change(model)
    Path("m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(TpumlirError) as refused:
        tpumlir.load_onnx("m.onnx")
    return str(refused.value)


@pytest.mark.parametrize(("change", "nodes"), BROKEN, ids=[row[0].__name__ for row in BROKEN])
def test_what_is_refused_when_it_is_read_is_reduced(
    change: Callable[[Any], None], nodes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = broken(change)
    assert run("m.onnx", "--refused", "-j", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["nodes"] == nodes
    assert document["before"]["nodes"] >= 10
    assert document["elements"] <= nodes + 1
    with pytest.raises(TpumlirError) as refused:
        tpumlir.load_onnx("m_reduced/model.onnx")
    # The same reason, of this file and perhaps of another tensor.
    assert str(refused.value).replace("m_reduced/model.onnx", "m.onnx").split()[:4] == before.split()[:4]
    assert shows_again()


def test_what_others_read_goes() -> None:
    """Neither nodes of bodies nor functions are kept that do not matter."""
    body = helper.make_graph(
        [helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Cast", ["t"], ["u"], name="bare")],
        "then", [], [info("u", [2])],
    )  # fmt: skip
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["v"])], "else", [], [info("v", [2])])
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Twice", ["x"], ["d"], domain="mine"),
        helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=other),
        helper.make_node("Reshape", ["d", "shape"], ["z"]),
    ]
    save(nodes, [info("x", [2]), info("c", [], TensorProto.BOOL)], [info("y", [2]), info("z", [1, 2])],
         [ints("shape", 1, 2), weight("unused", 9)], functions=[function], domains=["mine"])  # fmt: skip
    assert run("m.onnx", "--refused", "-j", "2") == 0
    model = onnx.load("m_reduced/model.onnx")
    assert [node.op_type for node in model.graph.node] == ["If"]
    assert [[n.op_type for n in a.g.node] for a in model.graph.node[0].attribute if a.g.node] == [["Cast"]]
    assert not model.functions
    assert not model.graph.initializer
    assert shows_again()


def test_the_result_is_resumed_and_does_not_depend_on_jobs() -> None:
    broken(missing_attribute)
    for jobs in ("1", "3"):
        assert run("m.onnx", "--refused", "-j", jobs, "-o", jobs) == 0
    assert Path("1/model.onnx").read_bytes() == Path("3/model.onnx").read_bytes()
    assert run("m.onnx", "--refused", "-j", "1", "-o", "1", "--resume") == 0


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [("m.onnx", b"no model", "expected an ONNX model, got"), ("n.onnx", None, "n.onnx: no such file")],
)
def test_what_is_no_model_is_one_line(
    name: str, data: bytes | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if data:
        Path(name).write_bytes(data)
    assert run(name, "--refused") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not Path(f"{Path(name).stem}_reduced").exists()


@pytest.mark.parametrize("predicate", ["--crashes", "--fails-validation"])
def test_other_faults_are_of_models_that_can_be_read(
    predicate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(old_opset)
    assert run("m.onnx", predicate) == 1
    assert "expected an opset from 7" in capsys.readouterr().err
