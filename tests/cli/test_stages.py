"""Several shapes in one bmodel: compiled, combined, extracted, run and shown by the commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import command_line
import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import bmodel
from tpumlir.bmodel import container
from tpumlir.debugger.session import Options, Session
from tpumlir.errors import BModelError, InputError
from tpumlir.road.compile import compile_onnx
from tpumlir.road.shapes import CompiledShapes

Run = Callable[..., tuple[int, str, str]]
WIDTH = 64


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in ``tmp_path``: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str, str]:
        code = command_line.run(*words)
        out, err = capsys.readouterr()
        return code, out, err

    return command


def rows_model(*, second: bool = False, features: int = WIDTH) -> onnx.ModelProto:
    """A layer on rows, as many as wanted, softmax over the rows; ``second``: an addend of the same shape."""
    rng = np.random.default_rng(0)
    shape: list[int | str] = ["batch", "rows", features]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    weight = rng.standard_normal((features, WIDTH)).astype(np.float32) / 8
    bias = rng.standard_normal(WIDTH).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "layer"),
        helper.make_node("Add", ["m", "b"], ["a"], "bias"),
        helper.make_node("Softmax", ["a"], ["y"], "softmax", axis=1),
    ]
    if second:
        inputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", "rows", WIDTH]))
        nodes += [helper.make_node("Mul", ["y", "z"], ["scaled"], "scale")]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["batch", "rows", WIDTH])
    graph = helper.make_graph(
        nodes, "rows", inputs, [output],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(rows_model(), tmp_path / "rows.onnx")
    return tmp_path / "rows.onnx"


def shapes(*rows: Sequence[int]) -> list[str]:
    return [word for each in rows for word in ("--input_shapes", f"[[{each[0]},{each[1]},{WIDTH}]]")]


def rows(batch: int, count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((batch, count, WIDTH)).astype(np.float32)


THREE = shapes((1, 4), (1, 40), (2, 9))


def test_compile_makes_a_stage_of_each_shape_and_validates_all(run: Run, model: Path) -> None:
    code, out, _ = run("compile", str(model), *THREE)
    assert code == 0
    for shape in ("[1, 4, 64]", "[1, 40, 64]", "[2, 9, 64]"):
        for label in ("Top against ONNX Runtime", "Tpu against Top", "bmodel against Tpu"):
            assert re.search(rf"^{re.escape(f'{label}, x {shape}')} +passed", out, re.MULTILINE)
        assert f"x {shape}: estimated " in out
    whole = bmodel.read("rows.bmodel")
    assert [stage.inputs[0].shape for stage in whole.stages] == [(1, 4, 64), (1, 40, 64), (2, 9, 64)]
    assert len({id(stage.coeff) for stage in whole.stages}) == 1
    assert all(len(stage.debug) for stage in whole.stages)
    for number, (batch, count) in enumerate([(1, 4), (1, 40), (2, 9)]):
        assert run("compile", str(model), *shapes((batch, count)), "-o", "one.bmodel")[0] == 0
        x = {"x": rows(batch, count, number)}
        np.testing.assert_array_equal(whole.run(x)["y"], bmodel.read("one.bmodel").run(x)["y"])


@pytest.mark.parametrize("quantize", ["F16", "BF16"])
def test_stages_in_half_precision_share_their_weights(run: Run, model: Path, quantize: str) -> None:
    assert run("compile", str(model), *THREE, "--quantize", quantize, "--json")[0] == 0
    stages = bmodel.read("rows.bmodel").stages
    assert stages[0].coeff is stages[1].coeff is stages[2].coeff


def test_the_file_is_the_same_each_time(run: Run, model: Path) -> None:
    assert run("compile", str(model), *THREE, "-o", "rows.bmodel")[0] == 0
    first = Path("rows.bmodel").read_bytes(), Path("rows.bmodel.json").read_bytes()
    assert run("compile", str(model), *THREE, "-o", "rows.bmodel")[0] == 0
    assert (Path("rows.bmodel").read_bytes(), Path("rows.bmodel.json").read_bytes()) == first


def test_compile_tells_of_all_shapes_as_json(run: Run, model: Path) -> None:
    code, out, _ = run("compile", str(model), *THREE, "--json")
    document = json.loads(out)
    assert (code, document["passed"], len(document["validations"])) == (0, True, 9)
    assert list(document["estimates"]) == ["x [1, 4, 64]", "x [1, 40, 64]", "x [2, 9, 64]"]
    code, out, _ = run("compile", str(model), *shapes((1, 4)), "--json")
    assert "cycles" in json.loads(out)["estimate"]


def test_test_inputs_go_to_the_shapes_in_order_or_one_to_that_it_fits(run: Run, model: Path) -> None:
    for name, value in (("a", rows(1, 4)), ("b", rows(1, 40))):
        np.savez(f"{name}.npz", x=value)
        np.save(f"{name}.npy", value)
    two = shapes((1, 4), (1, 40))
    assert run("compile", str(model), *two, "--test_input", "a.npz", "--test_input", "b.npy")[0] == 0
    code, _, err = run("compile", str(model), *two, "--test_input", "b.npz", "--test_input", "a.npz")
    assert (code, "x: expected shape [1, 4, 64], got [1, 40, 64]" in err) == (1, True)
    for one in ("b.npz", "b.npy", "x=b.npy"):
        assert run("compile", str(model), *two, "--test_input", one)[0] == 0
    np.save("c.npy", rows(3, 3))
    code, _, err = run("compile", str(model), *two, "--test_input", "c.npy")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "expected a test input of one of the shapes [[1, 4, 64]]; [[1, 40, 64]], got another" in err
    code, _, err = run("compile", str(model), *THREE, "--test_input", "a.npz", "--test_input", "b.npz")
    assert (code, "expected one for each of 3 shapes, or one in all, got 2" in err) == (2, True)


WRONG = {
    "twice": (shapes((1, 4), (1, 4)), "expected different shapes, got x [1, 4, 64] twice"),
    "rank": ([*shapes((1, 4)), "--input_shapes", "[[4,64]]"], "x: expected a shape that fits"),
    "extent": ([*shapes((1, 4)), "--input_shapes", "[[1,4,63]]"], "x: expected a shape that fits"),
    "count": ([*shapes((1, 4)), "--input_shapes", "[[1,4,64],[1]]"], "expected 1 input shapes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_shapes_that_do_not_fit_are_one_line(run: Run, model: Path, name: str) -> None:
    words, message = WRONG[name]
    code, _, err = run("compile", str(model), *words)
    assert (code, len(err.splitlines())) == (1, 1)
    assert message in err
    assert not Path("rows.bmodel").exists()


@pytest.mark.parametrize("command", ["model_transform", "check", "gen_shell"])
def test_commands_that_make_one_module_take_one_shape(run: Run, model: Path, command: str) -> None:
    flag = ["--model_def"] if command == "model_transform" else []
    code, _, err = run(command, *flag, str(model), *THREE)
    assert code == 2
    assert "--input_shapes: expected it once (tpumlir compile takes several shapes)" in err


def test_the_library_takes_several_shapes() -> None:
    proto = rows_model(second=True)
    lists = [[[1, 4, 64], [1, 4, 64]], [[2, 4, 64], [2, 4, 64]]]
    result = compile_onnx(proto, input_shapes=lists, name="rows")
    assert isinstance(result, CompiledShapes)
    assert (len(result.stages), len(result.validations)) == (2, 6)
    assert all(verdict.passed for verdict in result.validations)
    named = [{"x": a, "z": b} for a, b in lists]
    inputs = {"x": rows(2, 4), "z": rows(2, 4, 1)}
    again = compile_onnx(proto, input_shapes=named, name="rows", test_input=[None, inputs])
    assert again.bmodel == result.bmodel
    one = compile_onnx(proto, input_shapes=lists[1], name="rows", test_input=inputs).bmodel
    np.testing.assert_array_equal(one.run(inputs)["scaled"], again.bmodel.run(inputs)["scaled"])
    with pytest.raises(InputError, match="expected a test input of one of the shapes"):
        compile_onnx(proto, input_shapes=lists, test_input={"x": rows(1, 5), "z": rows(1, 5)})


def test_shapes_in_a_list_of_one_are_several() -> None:
    result = compile_onnx(rows_model(), input_shapes=[[[1, 4, 64]]], not_inference=True)
    assert isinstance(result, CompiledShapes)
    assert result.bmodel.inputs[0].shape == (1, 4, 64)


# --- finished bmodels -----------------------------------------------------------------


@pytest.fixture
def singles(run: Run, model: Path) -> list[Path]:
    """A bmodel for each of three shapes, of one name: they are in folders of their own."""
    paths = []
    for batch, count in ((1, 4), (1, 40), (2, 9)):
        path = Path(f"{batch}x{count}") / "rows.bmodel"
        path.parent.mkdir()
        assert run("compile", str(model), *shapes((batch, count)), "-o", str(path), "--not_inference")[0] == 0
        paths.append(path)
    return paths


def test_combine_makes_what_compile_makes(run: Run, model: Path, singles: list[Path]) -> None:
    code, out, _ = run("model_tool", "--combine", *map(str, singles), "-o", "all.bmodel")
    assert code == 0
    assert "net rows, stage 2: x [2, 9, 64]" in out
    assert run("compile", str(model), *THREE, "-o", "rows.bmodel")[0] == 0
    assert Path("all.bmodel").read_bytes() == Path("rows.bmodel").read_bytes()
    assert Path("all.bmodel.json").read_bytes() == Path("rows.bmodel.json").read_bytes()
    assert run("model_tool", "--combine", "rows.bmodel", "-o", "again.bmodel")[0] == 0
    assert Path("again.bmodel").read_bytes() == Path("rows.bmodel").read_bytes()


def test_extract_gives_the_files_back(run: Run, singles: list[Path]) -> None:
    assert run("model_tool", "--combine", *map(str, singles), "-o", "all.bmodel")[0] == 0
    code, out, _ = run("model_tool", "--extract", "all.bmodel")
    assert code == 0
    for number, single in enumerate(singles):
        assert f"wrote bm_net0_stage{number}.bmodel (net rows, stage {number})" in out
        assert Path(f"bm_net0_stage{number}.bmodel").read_bytes() == single.read_bytes()
    code, out, _ = run("model_tool", "--extract", "all.bmodel", "-o", "some/where", "--json")
    assert [row["bmodel"] for row in json.loads(out)["outputs"]] == [
        f"some/where/bm_net0_stage{number}.bmodel" for number in range(3)
    ]


def test_combine_takes_several_networks(run: Run, singles: list[Path]) -> None:
    onnx.save(rows_model(features=48), "other.onnx")
    assert run("compile", "other.onnx", "--input_shapes", "[[1,4,48]]", "--not_inference")[0] == 0
    words = [str(singles[0]), "other.bmodel", str(singles[1])]
    assert run("model_tool", "--combine", *words, "-o", "all.bmodel")[0] == 0
    whole = bmodel.read("all.bmodel")
    assert [(one.name, len(one.stages)) for one in whole.networks] == [("rows", 2), ("other", 1)]
    x = {"x": rows(1, 4)[..., :48]}
    np.testing.assert_array_equal(whole.run(x)["y"], bmodel.read("other.bmodel").run(x)["y"])
    assert run("model_tool", "--extract", "all.bmodel")[0] == 0
    assert Path("bm_net1_stage0.bmodel").read_bytes() == Path("other.bmodel").read_bytes()


def test_combine_reads_files_without_debug_info_and_digest(run: Run, singles: list[Path]) -> None:
    data = singles[0].read_bytes()
    foreign = data[:20] + bytes(container.HEADER_BYTES - 20) + data[container.HEADER_BYTES :]
    singles[0].write_bytes(foreign)
    assert run("model_tool", "--combine", *map(str, singles[:2]), "-o", "all.bmodel")[0] == 0
    assert [len(stage.debug) > 0 for stage in bmodel.read("all.bmodel").stages] == [False, True]


FAILURES = {
    "no_output": (["--combine", "a.bmodel"], 2, "--combine: expected the file to write, -o OUT"),
    "output_of_nothing": (
        ["--info", "a.bmodel", "-o", "b"],
        2,
        "-o says where --combine and --extract write",
    ),
    "missing": (["--combine", "no.bmodel", "-o", "b.bmodel"], 1, "no.bmodel: No such file or directory"),
    "twice": (["--combine", "1x4/rows.bmodel", "1x4/rows.bmodel", "-o", "b.bmodel"], 1, "[1, 4, 64] twice"),
    "dir": (["--combine_dir", "a", "-o", "b"], 2, "use --combine with the bmodels themselves"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_cannot_be_combined_is_one_line(run: Run, singles: list[Path], name: str) -> None:
    assert singles
    words, expected, message = FAILURES[name]
    code, _, err = run("model_tool", *words)
    assert (code, len(err.splitlines())) == (expected, 1)
    assert message in err
    assert not Path("b.bmodel").exists()


# --- looking and running --------------------------------------------------------------


@pytest.fixture
def whole(run: Run, model: Path) -> Path:
    assert run("compile", str(model), *THREE, "--not_inference", "-o", "all.bmodel")[0] == 0
    return Path("all.bmodel")


def test_the_runner_chooses_by_the_shape_of_the_input(run: Run, whole: Path) -> None:
    x = rows(1, 40)
    np.savez("x.npz", x=x)
    np.save("x.npy", x)
    want = bmodel.read(whole).run({"x": x})["y"]
    for source in ("x.npz", "x.npy", "x=x.npy"):
        code, _, _ = run("model_runner", "--model", str(whole), "--input", source, "--output", "y.npz")
        assert code == 0
        np.testing.assert_array_equal(np.load("y.npz")["y"], want)
    code, out, _ = run("model_runner", "--model", str(whole), "--stage", "2")
    assert (code, "y  [2, 9, 64]  float32" in out) == (0, True)


RUNS = {
    "no_input": ([], "expected one stage, got 3 (choose with --net and --stage"),
    "no_such_shape": (["--input", "x.npy"], "expected inputs of one of the stages (stage 0: x [1, 4, 64]"),
    "wrong_stage": (["--input", "y.npy", "--stage", "0"], "x: expected shape [1, 4, 64], got [1, 40, 64]"),
    "net": (["--net", "rows"], "rows: expected the name of a network"),
    "files": (["--input", "x.npy,y.npy"], "expected one npy file"),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_runner_says_what_there_is(run: Run, whole: Path, name: str) -> None:
    np.save("x.npy", rows(1, 5))
    np.save("y.npy", rows(1, 40))
    words, message = RUNS[name]
    code, _, err = run("model_runner", "--model", str(whole), *words)
    assert (code, len(err.splitlines())) == (1, 1)
    assert message in err


def test_only_bmodels_have_stages(run: Run, model: Path) -> None:
    code, _, err = run("model_runner", "--model", str(model), "--stage", "0")
    assert (code, "--net and --stage choose in a bmodel" in err) == (2, True)


def test_info_names_all_stages_and_whose_weights_they_have(run: Run, whole: Path) -> None:
    _, out, _ = run("model_tool", "--info", str(whole))
    assert [line for line in out.splitlines() if line.startswith("net ")] == [
        f"net all, stage {number}: static, 1 subnet(s)" for number in range(3)
    ]
    assert out.count("(those of net all, stage 0)") == 2


def test_dis_and_profile_show_each_stage_or_one(run: Run, whole: Path) -> None:
    code, out, _ = run("bmodel_dis", str(whole))
    assert (code, [line for line in out.splitlines() if line.startswith("//")]) == (
        0,
        ["// all stage 0", "// all stage 1", "// all stage 2"],
    )
    _, alone, _ = run("bmodel_dis", str(whole), "--stage", "1")
    assert alone in out
    code, out, _ = run("profile", str(whole))
    assert (code, out.count("estimated"), "all stage 1: x [1, 40, 64]" in out) == (0, 3, True)
    _, out, _ = run("profile", str(whole), "--json")
    document = json.loads(out)
    assert [stage["inputs"] for stage in document["stages"]] == [
        {"x": [1, 4, 64]},
        {"x": [1, 40, 64]},
        {"x": [2, 9, 64]},
    ]
    _, out, _ = run("profile", str(whole), "--stage", "2", "--json")
    assert json.loads(out)["cycles"] == document["stages"][2]["cycles"]
    code, _, err = run("profile", str(whole), "--html", "page.html")
    assert (code, "expected one stage, got 3" in err) == (1, True)
    assert run("profile", str(whole), str(whole), "--stage", "1")[0] == 0


@pytest.fixture
def staged(run: Run, model: Path) -> Path:
    """Three stages with the modules that they were made of."""
    assert run("compile", str(model), *THREE, "--not_inference", "--save_mlir", "-o", "all.bmodel")[0] == 0
    return Path("all.bmodel")


@pytest.mark.parametrize(("stage", "shape"), [("0", "1x4x64"), ("1", "1x40x64"), ("2", "2x9x64")])
def test_the_debugger_opens_one_stage_with_its_own_module(
    run: Run, staged: Path, stage: str, shape: str
) -> None:
    script = Path("script")
    script.write_text("info program\nprint x\nbreak op Softmax\nrun\nwhere\ncontinue\ncompare\n")
    code, out, err = run("debug", str(staged), "--stage", stage, "--commands", str(script))
    assert (code, err) == (0, "")
    assert f"text of all_stage{stage}_final.mlir" in out
    assert f"x: {shape} float32" in out
    assert f"line    all_stage{stage}_final.mlir:" in out
    assert "with a reference" in out
    assert re.search(r"^a: (equal|similar)", out, re.MULTILINE)
    assert not re.search(r"^\w+: DIFFERENT|^[1-9][0-9]* of [0-9]+ tensors are different", out, re.MULTILINE)


def test_the_debugger_takes_inputs_of_the_stage_only(run: Run, staged: Path) -> None:
    Path("script").write_text("print x\n")
    np.savez("x.npz", x=rows(1, 40))
    words = ("debug", str(staged), "--input", "x.npz", "--commands", "script")
    assert run(*words, "--stage", "1")[0] == 0
    code, _, err = run(*words, "--stage", "0")
    assert (code, "x: expected shape [1, 4, 64], got [1, 40, 64]" in err) == (1, True)
    assert run(*words, "--net", "all", "--stage", "1")[0] == 0


STAGE_FAILURES = {
    "none": ([], "expected one stage, got 3 (choose with --net and --stage"),
    "too_many": (["--stage", "3"], "expected one stage, got 0 of stage 3"),
    "net": (["--net", "rows", "--stage", "0"], "rows: expected the name of a network"),
}


@pytest.mark.parametrize("command", ["debug", "verify"])
@pytest.mark.parametrize("name", STAGE_FAILURES)
def test_what_looks_into_one_stage_asks_which(run: Run, whole: Path, command: str, name: str) -> None:
    words, message = STAGE_FAILURES[name]
    Path("script").write_text("run\n")
    extra = ["--commands", "script"] if command == "debug" else []
    code, _, err = run(command, str(whole), *words, *extra)
    assert (code, len(err.splitlines())) == (1, 1)
    assert message in err


def test_verify_takes_the_module_of_the_stage(run: Run, staged: Path) -> None:
    assert [run("verify", str(staged), "--stage", str(stage))[0] for stage in range(3)] == [0, 0, 0]


def test_a_session_chooses_a_stage(staged: Path) -> None:
    x = {"x": rows(1, 40)}
    want = bmodel.read(staged).run(x)["y"]
    for model in (staged, bmodel.read(staged)):
        session = Session(model, x, options=Options(stage=1))
        session.run()
        np.testing.assert_array_equal(session.numbers("y"), want)
    with pytest.raises(BModelError, match="expected one stage, got 3"):
        Session(staged, x)
