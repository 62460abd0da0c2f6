"""``tpumlir reduce`` as a user meets it: each predicate, flags, time, what does not fit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper
from reducing import (
    ALPHA,
    F32,
    RNG,
    info,
    ops,
    plant,
    reduced,
    run,
    save,
    save_chain,
    save_ops,
    script,
    shows_again,
    weight,
)
from tpumlir import npz


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- predicates --------------------------------------------------------------------


def test_a_failed_validation_becomes_the_node_that_is_wrong() -> None:
    save_chain()
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1") == 0
    assert ops() == ["LeakyRelu"]
    assert npz.load("m_reduced/input.npz")["c2"].size == 1
    assert shows_again()


def test_run_sh_is_a_program(folder: Path) -> None:
    save_chain()
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1") == 0
    bin_ = folder / "bin"
    bin_.mkdir()
    (bin_ / "tpumlir").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{MAIN}' \"$@\"\n")
    (bin_ / "tpumlir").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [str(folder / "m_reduced" / "run.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "top.LeakyRelu" in done.stdout
    (folder / "m_reduced" / "plant.py").write_text("")
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 1


REFUSED = [
    ("NonZero", ""),
    ("Made", "com.example"),
]


@pytest.mark.parametrize(("op_type", "domain"), REFUSED, ids=["onnx", "domain_that_nobody_runs"])
def test_a_refused_node_stays_alone(op_type: str, domain: str) -> None:
    kind = TensorProto.INT64 if op_type == "NonZero" else F32
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node(op_type, ["b"], ["y"], name="odd", domain=domain),
        helper.make_node("Exp", ["b"], ["z"]),
    ]
    save(nodes, [info("x", [4, 16])], [info("y", None, kind), info("z", [4, 16])], [weight("w", 16, 16)],
         domains=[domain] if domain else [])  # fmt: skip
    assert run("m.onnx", "--refused", "-j", "1") == 0
    assert [node.op_type for node in onnx.load("m_reduced/model.onnx").graph.node] == [op_type]
    assert shows_again()


CRASHES = [
    ("raise KeyError(node.name)", "KeyError"),
    ("import os; os.abort()", "SIGABRT"),
    ("import os; os._exit(3)", "exit code 3"),
    ("import time; time.sleep(60)", "does not end"),
]


@pytest.mark.parametrize(("statement", "how"), CRASHES, ids=["exception", "abort", "exit", "hang"])
def test_a_crash_is_an_outcome(statement: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_ops("Softsign", "Exp", shape=[1])
    npz.save("in.npz", {"x": np.zeros(1, np.float32)})
    text = f"""
        def bad(node, convert):
            {statement}

        wrap_converters("Softsign", bad)
    """
    given = ["--test_input", "in.npz", "-j", "2", "--candidate_timeout", "1.5", "--json"]
    assert run("m.onnx", "--crashes", *plant(text), *given) == 0
    assert ops() == ["Softsign"]
    assert how in json.loads(capsys.readouterr().out)["shows"]
    assert shows_again()


def test_another_crash_is_not_taken_for_the_first() -> None:
    save_ops("Tanh", "Softsign", "Exp")
    text = """
        def first(node, convert):
            names = {n.op_type for n in node.emitter.nodes}
            if "Tanh" in names and "Exp" in names:
                raise KeyError("both")
            raise ValueErrorOfMine("alone")

        class ValueErrorOfMine(Exception):
            pass

        wrap_converters("Softsign", first)
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "1") == 0
    assert sorted(ops()) == ["Exp", "Softsign", "Tanh"]
    assert run("m.onnx", "--crashes", *plant(text), "-j", "1", "--any", "-o", "any") == 0
    assert ops("any") == ["Softsign"]


def test_a_wrong_tensor_is_held_against_onnx_runtime() -> None:
    save_chain()
    assert run("m.onnx", "--wrong", "middle", *plant(ALPHA), "-j", "1", "--quantize", "F16") == 0
    assert ops() == ["LeakyRelu"]
    assert shows_again()
    assert run("m.onnx", "--wrong", "c1", *plant(ALPHA), "-o", "other") == 1
    assert run("m.onnx", "--wrong", "conv7", *plant(ALPHA), "-o", "other2") == 1


def test_a_script_says_what_is_interesting() -> None:
    save_chain()
    text = '[ -f input.npz ] && [ "$(basename $1)" = model.onnx ] && grep -q Leaky "$1" && grep -q conv3 $1'
    assert run("m.onnx", *script(text), "-j", "2") == 0
    assert ops() == ["LeakyRelu", "Conv"]
    assert shows_again()


STAGES = {
    "Tpu": """
        from tpumlir.ir.interpreter import ModuleInterpreter
        from tpumlir.road import deploy

        class Wrong(ModuleInterpreter):
            def run(self, inputs, **options):
                results = super().run(inputs, **options)
                kinds = {op.name: op.kind for op in self.module_.ops()}
                return {n: v * 1.5 if kinds.get(n) == "tpu.LeakyRelu" else v for n, v in results.items()}

            def __init__(self, module):
                super().__init__(module)
                self.module_ = module

        deploy.ModuleInterpreter = Wrong
    """,
    "bmodel": """
        from tpumlir.bmodel import BModel

        run = BModel.run

        def wrong(self, inputs, **options):
            return {n: v * 1.5 if n.startswith("a2") else v for n, v in run(self, inputs, **options).items()}

        BModel.run = wrong
    """,
}


@pytest.mark.parametrize("stage", STAGES)
def test_later_stages_are_reduced_too(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(
        [
            helper.make_node("Tanh", ["x"], ["a1"]),
            helper.make_node("LeakyRelu", ["a1"], ["a2"]),
            helper.make_node("Exp", ["x"], ["e"]),
            helper.make_node("Softmax", ["e"], ["s"]),
        ],
        [info("x", [4, 30])], [info("a2", [4, 30]), info("s", [4, 30])],
    )  # fmt: skip
    assert run("m.onnx", "--fails-validation", *plant(STAGES[stage]), "-j", "1", "--json") == 0
    assert ops() == ["LeakyRelu"]
    assert stage in json.loads(capsys.readouterr().out)["shows"]


# --- flags ---------------------------------------------------------------------------


def test_flags_of_the_import_are_part_of_the_model() -> None:
    save(
        [
            helper.make_node("LeakyRelu", ["x"], ["a"]),
            helper.make_node("Mul", ["a", "factor"], ["b"]),
            helper.make_node("Exp", ["b"], ["y"]),
        ],
        [info("x", ["n", "m"]), info("factor", [1])], [info("y", None)],
    )  # fmt: skip
    text = """
        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, *given, **options):
            if any(op.kind == "top.MulConst" for op in self.ops()):
                raise IndexError("constant")
            return lower(self, *given, **options)

        Module.lower = bad
    """
    flags = ["--input_shapes", "[[2,6]]", "--fix_input", "factor=[3]", "--output_names", "b", "-j", "1"]
    assert run("m.onnx", "--crashes", *plant(text), *flags) == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Mul"]
    assert [t.name for t in model.graph.initializer] == ["factor"]
    assert shows_again()


def test_int8_takes_a_table_or_samples() -> None:
    save_chain()
    Path("data").mkdir()
    npz.save("data/a.npz", {"x": RNG.standard_normal((1, 8, 12, 12)).astype(np.float32)})
    text = """
        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, quantize="F32", **options):
            if quantize == "INT8" and any(op.kind == "top.LeakyRelu" for op in self.ops()):
                raise IndexError("int8")
            return lower(self, quantize, **options)

        Module.lower = bad
    """
    given = ["--crashes", *plant(text), "--quantize", "INT8", "-j", "1"]
    assert run("m.onnx", *given, "--dataset", "data") == 0
    assert ops() == ["LeakyRelu"]
    assert shows_again()
    table = "m_reduced/m_cali_table"
    assert run("m.onnx", *given, "--calibration_table", table, "-o", "again") == 0
    assert ops("again") == ["LeakyRelu"]


def test_tables_of_the_whole_model_fit_its_parts() -> None:
    save_chain()
    Path("table").write_text("a2 F32\nc0 BF16\n")
    flags = ["--quantize", "F16", "--quantize_table", "table", "--opt", "1", "--excepts", "a4", "-j", "1"]
    text = """
        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, quantize="F32", **options):
            if (options.get("quantize_table") or {}).get("a2") == "F32":
                raise IndexError("table")
            return lower(self, quantize, **options)

        Module.lower = bad
    """
    for predicate in ("--crashes", "--fails-validation"):
        planted = plant(text if predicate == "--crashes" else ALPHA, f"plant{len(predicate)}.py")
        assert run("m.onnx", predicate, *planted, *flags, "-o", predicate[2:]) == 0
        assert ops(predicate[2:]) == ["LeakyRelu"]
        assert shows_again(predicate[2:])


def test_any_fault_must_be_of_a_model_that_others_take(capsys: pytest.CaptureFixture[str]) -> None:
    save_chain()
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1", "--any", "--json") == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == 1
    assert shows_again()


def test_external_data_is_taken_in() -> None:
    save_chain()
    model = onnx.load("m.onnx")
    onnx.save(model, "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert run("m.onnx", *script('grep -q conv3 "$1"'), "-j", "1") == 0
    Path("m.data").unlink()
    assert ops() == ["Conv"]
    assert shows_again()


# --- time, resuming, jobs --------------------------------------------------------------


def test_the_result_does_not_depend_on_the_number_of_jobs() -> None:
    save_chain()
    plant(ALPHA)
    for jobs in ("1", "3"):
        assert run("m.onnx", "--fails-validation", "--import", "plant.py", "-j", jobs, "-o", jobs) == 0
    for name in ("model.onnx", "input.npz", "README.md", "run.sh"):
        assert Path("1", name).read_bytes() == Path("3", name).read_bytes(), name


# Whoever runs the tests in the background may have Ctrl-C ignored.
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from tpumlir.cli.main import main; sys.exit(main())"
)
BOTH_ENDS = 'grep -q n0 "$1" && grep -q n3 "$1"'


def start(*argv: str) -> subprocess.Popen[str]:
    """``tpumlir reduce ARGV`` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MAIN, "reduce", *argv]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_goes_on(folder: Path) -> None:
    save_ops("Tanh", "Exp", "Neg", "Sigmoid")
    count = folder / "count"  # a line for each time that the script was asked
    command = ["m.onnx", *script(f"echo x >> {count}; sleep 0.1; {BOTH_ENDS}"), "-j", "1"]

    def asked() -> int:
        return len(count.read_text().splitlines()) if count.exists() else 0

    assert run(*command, "-o", "whole") == 0
    whole = asked()
    count.unlink()
    process = start(*command)
    end = time.monotonic() + 60
    while time.monotonic() < end and asked() < whole // 2:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    time.sleep(0.2)
    before = asked()
    assert 0 < before < whole
    assert reduced()  # the best so far
    assert run(*command) == 1  # the folder is taken
    assert run(*command, "--resume") == 0
    assert asked() <= whole + 1  # one may have been lost
    for name in ("model.onnx", "input.npz"):
        assert Path("m_reduced", name).read_bytes() == Path("whole", name).read_bytes()
    after = asked()
    assert run(*command, "--resume") == 0  # nothing is left to do
    assert asked() == after
    assert run(*command, "--resume", "--any") == 1


def test_when_the_time_is_over_the_best_so_far_stays(capsys: pytest.CaptureFixture[str]) -> None:
    save_ops("Tanh", "Exp", "Neg", "Sigmoid")
    flags = script(f"sleep 0.4; {BOTH_ENDS}")
    assert run("m.onnx", *flags, "-j", "1", "--timeout", "2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["finished"] is False
    assert document["seconds"] < 4
    assert shows_again()


def test_ctrl_c_keeps_the_best_so_far() -> None:
    save_ops("Tanh", "Exp", "Neg", "Sigmoid")
    process = start("m.onnx", *script(f"sleep 0.2; {BOTH_ENDS}"), "-j", "2")
    assert process.stderr is not None
    for line in process.stderr:
        if "nodes" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert 2 <= len(ops()) < 4


# --- what does not fit -------------------------------------------------------------------

WRONG = [
    (["m.onnx", "--fails-validation"], 1, "m.onnx does not show it (--fails-validation)"),
    (["m.onnx", "--crashes"], 1, "m.onnx does not show it (--crashes): it is compiled"),
    (["m.onnx", "--refused"], 1, "does not show it (--refused): nothing is refused"),
    (["m.onnx", "--refused", "--check"], 1, ""),
    (["m.onnx", "--wrong", "middel"], 1, "middel: expected the name of a node or tensor"),
    (["m.onnx", "--script", "no.sh"], 1, "no.sh: no such file or directory"),
    (["m.onnx", "--crashes", "--import", "no.py"], 1, "no.py: no such file or directory"),
    (["m.onnx", "--crashes", "--import", "bad.py"], 1, "bad.py: NameError: name 'nothing' is not defined"),
    (["m.onnx", "--crashes", "--test_input", "no.npz"], 1, "no.npz: no such file or directory"),
    (["no.onnx", "--crashes"], 1, "no.onnx: no such file"),
    (["m.onnx", "--crashes", "--quantize", "INT4"], 1, "expected a precision of"),
    (["m.onnx", "--crashes", "--resume"], 1, "expected the folder of a reduction to resume, got none"),
    (["m.onnx", "--crashes", "-o", "full"], 1, "full: expected a new or an empty folder, got one with files"),
    (["m.onnx"], 2, "one of the arguments"),
    (["m.onnx", "--crashes", "--refused"], 2, "not allowed with argument"),
    (["m.onnx", "--crashes", "--timeout", "0"], 2, "expected seconds above 0, got '0'"),
    (
        ["m.onnx", "--crashes", "--fuse_preprocess"],
        2,
        "--fuse_preprocess: a part of a model has other inputs",
    ),
]


@pytest.mark.parametrize(("argv", "code", "message"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_what_does_not_fit_is_one_line(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save([helper.make_node("Tanh", ["x"], ["y"], name="middle")], [info("x", [2, 3])], [info("y", [2, 3])])
    Path("bad.py").write_text("nothing\n")
    Path("full").mkdir()
    Path("full", "file").touch()
    assert run(*argv) == code
    errors = capsys.readouterr().err
    assert message in errors
    lines = [line for line in errors.splitlines() if not line.startswith("[")]
    assert len(lines) == (0 if not message else 1)
    if "does not show it" in message:
        assert not Path("m_reduced").exists()
