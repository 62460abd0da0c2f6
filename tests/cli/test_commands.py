"""The commands as a user types them: what they write, what they print, and how they refuse."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onnx
from command_line import run
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.cli import common
from tpumlir.cli.common import Command, Parser
from tpumlir.cli.tpumlir_opt import split_passes

RNG = np.random.default_rng(7)
X = RNG.standard_normal((1, 3, 16, 16)).astype(np.float32)


def conv_model(*, extra: Sequence[onnx.NodeProto] = (), output: str = "y") -> onnx.ModelProto:
    """Conv, Relu and whatever follows, with a free batch and free extents."""
    weight = RNG.standard_normal((8, 3, 3, 3)).astype(np.float32)
    bias = RNG.standard_normal(8).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"], name="act"),
            *extra,
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with a model, its input, and bad ones of both."""
    monkeypatch.chdir(tmp_path)
    onnx.save(conv_model(), "m.onnx")
    npz.save("in.npz", {"x": X})
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("p.png")
    npz.save("nan.npz", {"x": np.where(X > 2, np.float32("nan"), X)})
    npz.save("shape.npz", {"x": X[:, :, :8]})
    npz.save("name.npz", {"z": X})
    whole = Path("m.onnx").read_bytes()
    Path("cut.onnx").write_bytes(whole[: len(whole) // 2])
    Path("text.onnx").write_text("this is not a model\n")
    Path("text.mlir").write_text("this is not a module\n")
    onnx.save(
        conv_model(extra=[helper.make_node("NonZero", ["y"], ["z"], name="find")], output="z"), "bad.onnx"
    )
    return tmp_path


SHAPES = ("--input_shapes", "[[1,3,16,16]]")
TRANSFORM = ("model_transform", "--model_def", "m.onnx", *SHAPES)
DEPLOY = ("model_deploy", "--mlir", "m.mlir", "--quantize", "F32", "--chip", "bm1684x", "--model", "m.bmodel")
COMPILE = ("compile", "m.onnx", "-o", "m.bmodel")


def files() -> set[str]:
    return {path.name for path in Path.cwd().iterdir()}


@pytest.mark.usefixtures("folder")
def test_flags_that_mean_nothing_here_may_stay(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--mlir", "m.mlir", "--log_level", "simple", "--onnx_sim=skip_fuse_bn") == 0
    assert "--log_level changes nothing" in capsys.readouterr().err
    switches = ["--cache_skip", "--num_core", "1", "--high_precision"]
    assert run(*DEPLOY, *switches) == 0
    notes = capsys.readouterr().err.splitlines()
    flags = ["--cache_skip", "--num_core", "--high_precision"]
    assert [line.split()[2] for line in notes] == flags


def grouped(mlir: str) -> bool:
    """Whether a final module has groups."""
    return "tpu.group" in Path(mlir).read_text()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("flags", [["--opt", "1"], ["--opt=2"], ["--opt", "3"], []], ids=str)
def test_layers_are_grouped_with_any_effort(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--mlir", "m.mlir", "--test_input", "in.npz") == 0
    assert run(*DEPLOY, "--test_input", "in.npz", *flags) == 0
    assert grouped("m_final.mlir")
    assert "changes nothing" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", ["model_deploy", "compile"])
def test_layer_groups_can_be_switched_off(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if command == "compile":
        base: Sequence[str] = (*COMPILE, *SHAPES, "--quantize", "F16")
    else:
        assert run(*TRANSFORM, "--mlir", "m.mlir") == 0
        base = DEPLOY
    assert run(*base) == 0
    with_groups = Path("m.bmodel").read_bytes()
    # What was said of effort has no meaning then, and does no harm.
    for flags in (["--disable_layer_group"], ["--disable_layer_group", "--opt", "3"]):
        assert run(*base, *flags) == 0
        assert Path("m.bmodel").read_bytes() != with_groups
    assert "changes nothing" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("level", ["9", "0", "-1", "x"])
def test_an_unknown_effort_is_refused(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (COMPILE, DEPLOY):
        assert run(*command, f"--opt={level}") == 2
        assert "--opt" in capsys.readouterr().err
    assert not Path("m.bmodel").exists()


@pytest.mark.usefixtures("folder")
def test_the_bmodel_may_be_judged_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--mlir", "m.mlir") == 0
    capsys.readouterr()
    # The chip adds in another order than the interpreter: no convolution agrees to 300 dB.
    assert run(*DEPLOY, "--correctness", "0,0,300", "--json") == 1
    tpu, bmodel = json.loads(capsys.readouterr().out)["validations"]
    assert (tpu["passed"], bmodel["passed"]) == (True, False)


@pytest.mark.usefixtures("folder")
def test_a_value_that_would_mean_something_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*DEPLOY, "--num_core", "2") == 2
    assert "--num_core: expected 1 (BM1684X has one core), got 2" in capsys.readouterr().err
    assert run(*DEPLOY, "--num_core") == 2


# --- what they do ----------------------------------------------------------------


def test_model_transform_validates_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files()
    assert run(*TRANSFORM, "--test_input", "in.npz", "--test_result", "top.npz", "--mlir", "m.mlir") == 0
    assert files() - before == {"m.mlir", "m_weight.npz", "top.npz"}
    out = capsys.readouterr().out
    assert "Top against ONNX Runtime" in out
    assert "passed" in out
    tensors = npz.load("top.npz")
    np.testing.assert_array_equal(tensors["x"], X)
    assert "y" in tensors
    assert 'module.weight_file = "m_weight.npz"' in Path("m.mlir").read_text()
    assert folder == Path.cwd()


@pytest.mark.usefixtures("folder")
def test_model_transform_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert document["validations"][0]["compared"] >= 1
    assert document["outputs"]["mlir"] == "m.mlir"


@pytest.mark.usefixtures("folder")
def test_a_tolerance_that_is_missed_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    # No float32 computation in another order reaches an infinite signal to noise ratio on every element.
    assert run(*TRANSFORM, "--tolerance", "1,1,400") in {0, 1}
    capsys.readouterr()
    assert run("model_runner", "--model", "m.onnx", "--input", "in.npz", "--output", "a.npz") == 0
    npz.save("b.npz", {name: value * np.float32(1.1) for name, value in npz.load("a.npz").items()})
    assert run("npz_tool", "compare", "b.npz", "a.npz") == 1


@pytest.mark.usefixtures("folder")
def test_images_are_preprocessed_as_the_flags_say() -> None:
    pixels = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    flags = ("--pixel_format", "rgb", "--mean", "10,20,30", "--scale", "0.5,0.25,0.125")
    assert run(*TRANSFORM, *flags, "--test_input", "photo.png", "--test_result", "top.npz") == 0
    want = (pixels.astype(np.float32) - [10, 20, 30]) * [0.5, 0.25, 0.125]
    np.testing.assert_allclose(npz.load("top.npz")["x"][0], want.transpose(2, 0, 1), rtol=1e-6)


@pytest.mark.usefixtures("folder")
def test_model_runner_agrees_between_onnx_and_mlir() -> None:
    assert run(*TRANSFORM, "--mlir", "m.mlir") == 0
    for model in ("m.onnx", "m.mlir"):
        assert run("model_runner", "--model", model, "--input", "in.npz", "--output", f"{model}.npz") == 0
    assert list(npz.load("m.mlir.npz")) == ["y"]
    assert run("npz_tool", "compare", "m.mlir.npz", "m.onnx.npz", "--tolerance", "0.99999,0.9999") == 0
    assert (
        run(
            "model_runner",
            "--model",
            "m.onnx",
            "--input",
            "in.npz",
            "--dump_all_tensors",
            "--output",
            "all.npz",
        )
        == 0
    )
    assert {"c", "y"} <= set(npz.load("all.npz"))


@pytest.mark.usefixtures("folder")
def test_tpumlir_opt_reads_passes_in_the_vendors_style(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--mlir", "m.mlir") == 0
    capsys.readouterr()
    assert run("opt", "m.mlir", "--init", "--shape-infer", "--canonicalize", "--deinit", "-o", "n.mlir") == 0
    assert run("model_runner", "--model", "n.mlir", "--input", "in.npz") == 0
    capsys.readouterr()
    assert run("opt", "n.mlir") == 0
    assert "top.Conv" in capsys.readouterr().out
    assert run("opt", "n.mlir", "--no-such-pass") == 1
    err = capsys.readouterr().err
    assert "no-such-pass" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "pipeline"),
    [
        ("in.mlir --init --shape-infer --canonicalize --deinit -o out.mlir", "shape-infer,canonicalize"),
        ("in.mlir --canonicalize", "canonicalize"),
        ("in.mlir", ""),
    ],
)
def test_split_passes_keeps_their_order(argv: str, pipeline: str) -> None:
    assert split_passes(argv.split())[0] == pipeline


def test_split_passes_carries_options() -> None:
    argv = ["in.mlir", '--convert-top-to-tpu="mode=F32  asymmetric=false"', "--canonicalize", "-o", "--odd"]
    pipeline, rest = split_passes(argv)
    assert pipeline == "convert-top-to-tpu{mode=F32 asymmetric=false},canonicalize"
    assert rest == ["in.mlir", "-o", "--odd"]


def test_model_deploy_validates_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--test_input", "in.npz", "--test_result", "top.npz", "--mlir", "m.mlir") == 0
    before = files()
    assert run(*DEPLOY, "--test_input", "in.npz", "--test_reference", "top.npz") == 0
    assert files() - before == {
        "m.bmodel", "m.bmodel.json", "m_tpu.mlir", "m_tpu_weight.npz", "m_final.mlir", "m_final_weight.npz"
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "Tpu against Top" in out
    assert "bmodel against Tpu" in out
    for model in ("m.bmodel", "m_tpu.mlir", "m.onnx"):
        assert run("model_runner", "--model", model, "--input", "in.npz", "--output", f"{model}.npz") == 0
    assert run("npz_tool", "compare", "m.bmodel.npz", "m_tpu.mlir.npz") == 0
    assert run("npz_tool", "compare", "m.bmodel.npz", "m.onnx.npz") == 0
    assert folder == Path.cwd()


def deploy_in(mode: str, *more: str) -> int:
    """``model_deploy`` of m.mlir, made first."""
    assert run(*TRANSFORM, "--test_input", "in.npz", "--test_result", "top.npz", "--mlir", "m.mlir") == 0
    inputs = ("--test_input", "in.npz", "--test_reference", "top.npz")
    return run("model_deploy", "--mlir", "m.mlir", "--quantize", mode, "--model", "m.bmodel", *inputs, *more)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("mode", "tolerance"), [("F16", "0.99999,0.998"), ("BF16", "0.9999,0.99")])
def test_model_deploy_in_half_precision(mode: str, tolerance: str) -> None:
    assert deploy_in(mode) == 0
    # The texts and their weight files say it all: they run again as they are.
    for model in ("m.bmodel", "m_tpu.mlir", "m_final.mlir", "m.onnx"):
        text = Path(model).read_text() if model.endswith("mlir") else ""
        assert not text or f"x{mode.lower()}>" in text
        assert run("model_runner", "--model", model, "--input", "in.npz", "--output", f"{model}.npz") == 0
        assert run("npz_tool", "compare", f"{model}.npz", "m.bmodel.npz", "--tolerance", tolerance) == 0


@pytest.mark.usefixtures("folder")
def test_a_quantize_table_changes_single_tensors() -> None:
    Path("t.qtable").write_text("# all there is\ny F32\n")
    assert deploy_in("F16", "--quantize_table", "t.qtable", "--tolerance", "0.99999,0.9999") == 0
    assert "xf16>" not in Path("m_tpu.mlir").read_text()


@pytest.mark.usefixtures("folder")
def test_a_quantize_table_with_unknown_names_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.qtable").write_text("c F32\nact F32\ny INT4\n")
    assert deploy_in("F16", "--quantize_table", "t.qtable") == 1
    assert "t.qtable:3: expected a mode of F32, F16, BF16, INT8, got 'INT4'" in capsys.readouterr().err
    Path("t.qtable").write_text("y INT8\n")
    assert deploy_in("F16", "--quantize_table", "t.qtable") == 1
    assert "INT8 needs the ranges of the tensors: run_calibration" in capsys.readouterr().err
    Path("t.qtable").write_text("c F32\nact F32\n")
    assert deploy_in("F16", "--quantize_table", "t.qtable") == 1
    errors = capsys.readouterr().err
    assert "the node of this name computes y" in errors
    assert "c: expected the name of a computed tensor" in errors
    assert not Path("m.bmodel").exists()


@pytest.mark.usefixtures("folder")
def test_compile_is_the_whole_road(capsys: pytest.CaptureFixture[str]) -> None:
    before = files()
    assert run(*COMPILE, *SHAPES) == 0
    assert files() - before == {"m.bmodel", "m.bmodel.json"}
    out = capsys.readouterr().out
    for label in ("Top against ONNX Runtime", "Tpu against Top", "bmodel against Tpu"):
        assert label in out
    first = Path("m.bmodel").read_bytes()
    assert run(*COMPILE, "--test_input", "in.npz", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [v["passed"] for v in document["validations"]] == [True, True, True]
    assert Path("m.bmodel").read_bytes() == first


# --- how they refuse -------------------------------------------------------------

BAD = [
    ("missing model", (*TRANSFORM[:2], "no.onnx"), 1, "no.onnx: no such file"),
    ("truncated model", (*TRANSFORM[:2], "cut.onnx"), 1, "truncated file or another format"),
    ("not a model", (*TRANSFORM[:2], "text.onnx"), 1, "truncated file or another format"),
    ("no input shapes", TRANSFORM[:3], 1, "give --input_shapes"),
    ("wrong rank", (*TRANSFORM[:4], "[[1,3,16]]"), 1, "expected a shape that fits x [N, 3, H, W]"),
    ("wrong channels", (*TRANSFORM[:4], "[[1,4,16,16]]"), 1, "expected a shape that fits x [N, 3, H, W]"),
    ("shapes are not shapes", (*TRANSFORM[:4], "1x3"), 2, "expected shapes such as"),
    ("unknown output", (*TRANSFORM, "--output_names", "nope"), 1, "nope: expected the name of a tensor"),
    (
        "unsupported op",
        ("compile", "bad.onnx", *SHAPES),
        1,
        "find: NonZero of opset 13",
    ),
    ("nan input", (*TRANSFORM, "--test_input", "nan.npz"), 1, "x: expected finite values, got"),
    (
        "input shape",
        (*TRANSFORM, "--test_input", "shape.npz"),
        1,
        "x: expected shape [1, 3, 16, 16]",
    ),
    (
        "input name",
        (*TRANSFORM, "--test_input", "name.npz"),
        1,
        "z: expected the name of a model input, got one that it does not have (there is: x)",
    ),
    ("missing input", (*TRANSFORM, "--test_input", "no.npz"), 1, "no.npz: no such file"),
    ("unknown except", (*TRANSFORM, "--excepts", "typo"), 1, "typo: expected the name of a tensor"),
    ("no such folder", (*TRANSFORM, "--mlir", "no/m.mlir"), 1, "no/m"),
    (
        "missing module",
        ("model_deploy", "--mlir", "no.mlir", "--model", "m.bmodel"),
        1,
        "no.mlir: no such file",
    ),
    ("not a module", ("model_deploy", "--mlir", "text.mlir", "--model", "b"), 1, "text.mlir"),
    (
        "other precision",
        (*COMPILE, *SHAPES, "--quantize", "INT8"),
        1,
        "INT8",
    ),
    ("other chip", (*COMPILE, *SHAPES, "--chip", "bm1690"), 1, "bm1690"),
    ("no table", (*COMPILE, *SHAPES, "--calibration_table", "t"), 1, "t: no such file"),
    ("flag of later", (*COMPILE, "--quant_input_bf16"), 2, "--quant_input_bf16 is not supported yet"),
    ("flag with value", (*TRANSFORM, "--pruning=x"), 2, "--pruning is not supported yet"),
    ("unknown flag", (*TRANSFORM, "--frobnicate"), 2, "--frobnicate"),
    ("abbreviated flag", (*TRANSFORM, "--test_in", "in.npz"), 2, "--test_in"),
    ("pad value", (*TRANSFORM, "--pad_value", "300"), 2, "expected a number from 0 to 255"),
    ("mean of words", (*TRANSFORM, "--mean", "a,b,c"), 2, "expected numbers such as"),
    (
        "image of no input",
        (*TRANSFORM, "--pixel_format", "gray", "--test_input", "p.png"),
        1,
        "expected 1 channel ",
    ),
    ("no arguments", ("model_transform",), 2, "--model_def"),
    ("unknown command", ("frobnicate",), 2, "expected a command"),
    ("unknown suffix", ("model_runner", "--model", "m.pt"), 2, "expected a .onnx, .mlir or .bmodel file"),
    ("missing bmodel", ("model_runner", "--model", "no.bmodel"), 1, "no.bmodel"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "code", "message"), [b[1:] for b in BAD], ids=[b[0].replace(" ", "_") for b in BAD]
)
def test_bad_input_is_one_line_and_leaves_nothing(
    argv: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files()
    assert run(*argv) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    assert files() == before


@pytest.mark.usefixtures("folder")
def test_every_unsupported_node_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    extra = [
        helper.make_node("NonZero", ["y"], ["z"], name="find"),
        helper.make_node("Det", ["x"], ["d"], name="det"),
    ]
    proto = conv_model(extra=extra, output="z")
    proto.graph.output.append(helper.make_tensor_value_info("d", TensorProto.FLOAT, None))
    onnx.save(proto, "two.onnx")
    assert run("model_transform", "--model_def", "two.onnx", "--input_shapes", "[[1,3,16,16]]") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "model_transform: error: 2 nodes are not supported:"
    assert lines[1].split() == ["operator", "opset", "count", "why", "remedy", "nodes"]
    assert {tuple(line.split()[:3]) for line in lines[2:]} == {("NonZero", "13", "1"), ("Det", "13", "1")}
    assert {line.split()[-1] for line in lines[2:]} == {"find", "det"}


@pytest.mark.usefixtures("folder")
def test_json_tells_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", "bad.onnx", *SHAPES, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert document["error"] == "UnsupportedModelError"
    assert [problem["node"] for problem in document["problems"]] == ["find"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_bmodel_is_one_line(damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*COMPILE, *SHAPES) == 0
    data = bytearray(Path("m.bmodel").read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0x10
    Path("m.bmodel").write_bytes(data)
    capsys.readouterr()
    before = files()
    assert run("model_runner", "--model", "m.bmodel", "--input", "in.npz", "--output", "out.npz") == 1
    err = capsys.readouterr().err
    assert err.startswith("model_runner: error: m.bmodel")
    assert err.count("\n") == 1
    assert files() == before


def shell(argv: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    code = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *argv]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, capture_output=True, text=True, env=environment, check=False, **options
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("limit", [0, 1000, 3000], ids=lambda n: f"{n}_bytes")
def test_a_full_disk_leaves_no_half_file(limit: int) -> None:
    """The limit on file size is what an ordinary user can set; a full file system fails at the same calls."""
    before = files()
    argv = (*TRANSFORM, "--test_result", "top.npz", "--mlir", "m.mlir")
    done = shell(argv, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "nothing was written" in done.stderr
    assert files() == before


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "model_transform: interrupted\n"),
        (signal.SIGTERM, -signal.SIGTERM, ""),
        (signal.SIGHUP, -signal.SIGHUP, ""),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_signal_leaves_no_half_file(number: signal.Signals, code: int, said: str) -> None:
    before = files()
    script = (
        "import signal, sys, time\n"
        # A shell has its background jobs ignore interrupts, and so does what they start.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        # The interrupt comes when the first output is open and half written.
        "def slow(stream, tensors):\n"
        "    stream.write(b'half'); stream.flush(); print('writing', flush=True); time.sleep(60)\n"
        "import tpumlir.npz as npz\n"
        "npz.write = slow\n"
        "from tpumlir.cli.main import main\n"
        "sys.exit(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", script, *TRANSFORM, "--mlir", "m.mlir"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert files() != before  # the hidden half file is there
    time.sleep(0.1)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == code
    assert err == said
    assert files() == before


def test_ctrl_c_before_the_work_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> Parser:
        raise KeyboardInterrupt

    command = Command(interrupted, lambda _: 0)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/model_deploy"])
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    monkeypatch.setattr(common, "prepare_streams", lambda: None)
    assert command() == 130
    assert capsys.readouterr().err == "model_deploy: interrupted\n"
    with pytest.raises(KeyboardInterrupt):  # in somebody else's process it is theirs
        command([])


def test_import_is_cheap() -> None:
    """Nothing heavy may be imported before it is used."""
    code = (
        "import sys, tpumlir\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'rich', 'PIL', 'tpumlir._core'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.returncode == 0, done.stderr
