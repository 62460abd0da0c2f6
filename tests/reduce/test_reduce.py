"""``tpumlir reduce`` as a user meets it: faults planted with ``--import``, each predicate, all that models have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.cli import main as tpumlir_main

F32 = TensorProto.FLOAT
RNG = np.random.default_rng(3)

# Files that a user gives to --import.
WRAP = "from tpumlir.onnx.registry import wrap_converters\n"
ALPHA = """
    def wrong(node, convert):
        node.attributes = {**node.attributes, "alpha": 0.5}
        return convert(node)

    wrap_converters("LeakyRelu", wrong)
"""


def plant(text: str, name: str = "plant.py") -> list[str]:
    """The flags that import a planted fault, whose file is written here."""
    Path(name).write_text(WRAP + textwrap.dedent(text), encoding="utf-8")
    return ["--import", name]


def run(*argv: str) -> int:
    """``tpumlir reduce ARGV`` in this process; usage errors leave by SystemExit as in a shell."""
    try:
        return tpumlir_main.main(["reduce", *argv])
    except SystemExit as error:
        return int(str(error.code))


def weight(name: str, *shape: int) -> Any:
    return numpy_helper.from_array((RNG.standard_normal(shape) * 0.3).astype(np.float32), name)


def ints(name: str, *values: int) -> Any:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def info(name: str, shape: Sequence[int | str] | None, kind: int = F32) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: Sequence[Any] = (),
    *,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> None:
    """Write ``m.onnx``."""
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(constants))
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))
    onnx.save(model, "m.onnx")


def save_chain(*extra: Any, op_type: str = "LeakyRelu", **attributes: Any) -> None:
    """A chain of convolutions and activations; the one in the middle is ``op_type``."""
    nodes, constants, before = [], [], "x"
    for i in range(5):
        constants.append(weight(f"w{i}", 8, 8, 3, 3))
        nodes.append(helper.make_node("Conv", [before, f"w{i}"], [f"c{i}"], name=f"conv{i}", pads=[1] * 4))
        if i == 2:
            nodes.append(helper.make_node(op_type, [f"c{i}"], [f"a{i}"], name="middle", **attributes))
        else:
            nodes.append(helper.make_node("Sigmoid", [f"c{i}"], [f"a{i}"], name=f"act{i}"))
        before = f"a{i}"
    nodes += extra
    save(nodes, [info("x", [1, 8, 12, 12])], [info(before, [1, 8, 12, 12])], constants)


def reduced(folder: str = "m_reduced") -> Any:
    """The model that was written, which others take."""
    model = onnx.load(f"{folder}/model.onnx")
    onnx.checker.check_model(model)
    return model


def ops(folder: str = "m_reduced") -> list[str]:
    return [node.op_type for node in reduced(folder).graph.node]


def shows_again(folder: str = "m_reduced") -> bool:
    """What ``run.sh`` of the folder says, in this process."""
    line = Path(folder, "run.sh").read_text(encoding="utf-8").splitlines()[-1]
    words = line.removeprefix("exec tpumlir reduce ").split()
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run(*words) == 0
    finally:
        os.chdir(before)


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
    text = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
    (bin_ / "tpumlir").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{text}' \"$@\"\n")
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
    save(
        [
            helper.make_node("Tanh", ["x"], ["a"]),
            helper.make_node("Softsign", ["a"], ["b"]),
            helper.make_node("Exp", ["b"], ["y"]),
        ],
        [info("x", [1])], [info("y", [1])],
    )  # fmt: skip
    text = f"""
        def bad(node, convert):
            {statement}

        wrap_converters("Softsign", bad)
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "2", "--candidate_timeout", "1.5", "--json") == 0
    assert ops() == ["Softsign"]
    assert how in json.loads(capsys.readouterr().out)["shows"]


def test_another_crash_is_not_taken_for_the_first() -> None:
    save(
        [
            helper.make_node("Tanh", ["x"], ["a"]),
            helper.make_node("Softsign", ["a"], ["b"]),
            helper.make_node("Exp", ["b"], ["y"]),
        ],
        [info("x", [2, 6])], [info("y", [2, 6])],
    )  # fmt: skip
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
    script = Path("check.sh")
    script.write_text(
        '#!/bin/sh\n[ -f input.npz ] && [ "$(basename "$1")" = model.onnx ] && grep -q LeakyRelu "$1" '
        "&& grep -q conv3 model.onnx\n"
    )
    script.chmod(0o755)
    assert run("m.onnx", "--script", "check.sh", "-j", "2") == 0
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


# --- what models have ----------------------------------------------------------------


def body(name: str, op_type: str, source: str, extra: Sequence[Any] = (), inputs: Sequence[Any] = ()) -> Any:
    """A body that computes ``op_type`` between a Tanh and a Neg."""
    nodes = [
        *extra,
        helper.make_node("Tanh", [source], [f"{name}_t"]),
        helper.make_node(op_type, [f"{name}_t"], [f"{name}_l"], name=f"{name}_node"),
        helper.make_node("Neg", [f"{name}_l"], [f"{name}_e"]),
    ]
    return nodes, info(f"{name}_e", None), list(inputs)


def if_model() -> None:
    graphs = []
    for name, op_type in (("then", "LeakyRelu"), ("else", "Sigmoid")):
        nodes, out, _ = body(name, op_type, "a")
        graphs.append(helper.make_graph(nodes, name, [], [out]))
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("If", ["yes"], ["i"], then_branch=graphs[0], else_branch=graphs[1]),
        helper.make_node("Tanh", ["i"], ["y"]),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    save(nodes, [info("x", [2, 6])], [info("y", [2, 6])], [yes])


def loop_model() -> None:
    inputs = [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), info("carried", [2, 6])]
    nodes, out, _ = body("loop", "LeakyRelu", "carried", [helper.make_node("Identity", ["go"], ["go_on"])])
    graph = helper.make_graph(nodes, "loop", inputs, [info("go_on", [], TensorProto.BOOL), out])
    save(
        [
            helper.make_node("Neg", ["x"], ["a"]),
            helper.make_node("Loop", ["turns", "", "a"], ["l"], body=graph),
            helper.make_node("Tanh", ["l"], ["y"]),
        ],
        [info("x", [2, 6])], [info("y", [2, 6])],
        [numpy_helper.from_array(np.array(3, np.int64), "turns")],
    )  # fmt: skip


def scan_model() -> None:
    nodes, out, _ = body("scan", "LeakyRelu", "row")
    graph = helper.make_graph(nodes, "scan", [info("row", [6])], [out])
    save(
        [
            helper.make_node("Neg", ["x"], ["a"]),
            helper.make_node("Scan", ["a"], ["l"], body=graph, num_scan_inputs=1),
            helper.make_node("Tanh", ["l"], ["y"]),
        ],
        [info("x", [2, 6])], [info("y", [2, 6])],
    )  # fmt: skip


def function_model() -> None:
    opsets = [helper.make_opsetid("", 17)]
    nodes, _, _ = body("f", "LeakyRelu", "given")
    function = helper.make_function("own", "Block", ["given"], ["f_e"], nodes, opsets)
    calls = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Block", ["a"], ["b"], domain="own", name="call"),
        helper.make_node("Tanh", ["b"], ["y"]),
    ]
    save(calls, [info("x", [2, 6])], [info("y", [2, 6])], functions=[function], domains=["own"])


@pytest.mark.parametrize("build", [if_model, loop_model, scan_model, function_model])
def test_bodies_and_functions_are_opened(build: Any) -> None:
    build()
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1") == 0
    assert ops() == ["LeakyRelu"]
    assert not reduced().functions
    assert shows_again()


def test_a_body_that_must_stay_gets_smaller() -> None:
    loop_model()
    text = """
        from tpumlir.onnx import importer

        outer = importer.unroll

        def bad(scope, info):
            if any(node.op_type == "LeakyRelu" for node in info.attributes["body"].node):
                raise KeyError("loop")
            return outer(scope, info)

        importer.unroll = bad
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "1") == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Loop"]
    inner = [node.op_type for node in model.graph.node[0].attribute[0].g.node]
    assert "LeakyRelu" in inner
    assert "Neg" not in inner


def test_one_of_several_outputs_is_enough() -> None:
    save(
        [
            helper.make_node("Tanh", ["x"], ["a"]),
            helper.make_node("TopK", ["a", "k"], ["values", "places"], name="top"),
            helper.make_node("Exp", ["values"], ["y"]),
            helper.make_node("Cast", ["places"], ["p"], to=F32),
            helper.make_node("Sqrt", ["p"], ["z"]),
        ],
        [info("x", [3, 9])], [info("y", [3, 4]), info("z", [3, 4])], [ints("k", 4)],
    )  # fmt: skip
    text = """
        def smallest(node, convert):
            node.attributes = {**node.attributes, "largest": 0}
            return convert(node)

        wrap_converters("TopK", smallest)
    """
    assert run("m.onnx", "--fails-validation", *plant(text), "-j", "1") == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["TopK"]
    assert len(model.graph.output) == 1
    assert shows_again()


def test_integers_are_cut_as_integers() -> None:
    save(
        [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
            helper.make_node("Add", ["i", "one"], ["j"], name="sum"),
            helper.make_node("Gather", ["table", "j"], ["y"]),
        ],
        [info("x", [5], TensorProto.INT32)], [info("y", [5, 3])], [weight("table", 9, 3), ints("one", 1)],
    )  # fmt: skip
    npz.save("in.npz", {"x": np.arange(5, dtype=np.int32)})
    text = """
        def wrong(node, convert):
            return node.emit("top.Sub", node.operands())

        wrap_converters("Add", wrong)
    """
    given = ["--test_input", "in.npz", "-j", "1"]
    assert run("m.onnx", "--fails-validation", *plant(text), *given) == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Add"]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.INT64
    assert shows_again()


def test_two_nodes_that_fail_together_stay_together() -> None:
    save_chain()
    text = """
        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, *given, **options):
            nodes = {op.node for op in self.ops()}
            if {"conv0", "conv4"} <= nodes:
                raise IndexError("both")
            return lower(self, *given, **options)

        Module.lower = bad
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "2") == 0
    assert [node.name for node in reduced().graph.node] == ["conv0", "conv4"]


def test_extents_that_matter_stay() -> None:
    save_chain()
    text = """
        def wide(node, convert):
            if node.shape(0)[1] >= 5 and node.shape(0)[3] >= 3:
                node.attributes = {**node.attributes, "alpha": 0.5}
            return convert(node)

        wrap_converters("LeakyRelu", wide)
    """
    assert run("m.onnx", "--fails-validation", *plant(text), "-j", "1") == 0
    assert [d.dim_value for d in reduced().graph.input[0].type.tensor_type.shape.dim] == [1, 5, 1, 3]


def test_channels_of_a_convolution_shrink_together() -> None:
    save(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1] * 4),
            helper.make_node("Reshape", ["c", "s"], ["r"]),
            helper.make_node("Transpose", ["r"], ["y"], perm=[0, 2, 1]),
        ],
        [info("x", [2, 16, 8, 8])], [info("y", [2, 64, 16])],
        [weight("w", 16, 16, 3, 3), weight("b", 16), ints("s", 2, 16, 64)],
    )  # fmt: skip
    text = """
        def swapped(node, convert):
            node.attributes = {**node.attributes, "perm": [1, 0, 2]}
            return convert(node)

        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, *given, **options):
            kinds = {op.kind for op in self.ops()}
            if {"top.Conv", "top.Reshape", "top.Permute"} <= kinds:
                raise IndexError("both")
            return lower(self, *given, **options)

        Module.lower = bad
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "1") == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Conv", "Reshape", "Transpose"]
    assert len(model.graph.node[0].input) == 2  # the bias is optional
    assert sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.name == "w") <= 9 * 4


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


def test_external_data_is_taken_in() -> None:
    save_chain()
    model = onnx.load("m.onnx")
    onnx.save(model, "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    script = Path("check.sh")
    script.write_text('#!/bin/sh\ngrep -q conv3 "$1"\n')
    script.chmod(0o755)
    assert run("m.onnx", "--script", "check.sh", "-j", "1") == 0
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


def test_a_killed_run_goes_on(folder: Path) -> None:
    save_chain()
    script = Path("slow.sh")
    # Counts how often it was asked, in a file of the folder above.
    count = folder / "count"
    script.write_text(f'#!/bin/sh\necho x >> {count}\nsleep 0.1\ngrep -q act0 "$1" && grep -q conv4 "$1"\n')
    script.chmod(0o755)
    command = ["m.onnx", "--script", "slow.sh", "-j", "1"]
    assert run(*command, "-o", "whole") == 0
    asked = len(count.read_text().splitlines())
    count.unlink()
    text = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", text, "reduce", *command], env=environment, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and (not count.exists() or len(count.read_text().splitlines()) < asked // 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.3)
    assert reduced()  # the best so far
    before = len(count.read_text().splitlines())
    assert before < asked
    assert run(*command) == 1  # the folder is taken
    assert run(*command, "--resume") == 0
    after = len(count.read_text().splitlines())
    assert after - before <= asked - before + 1
    for name in ("model.onnx", "input.npz"):
        assert Path("m_reduced", name).read_bytes() == Path("whole", name).read_bytes()
    assert run(*command, "--resume") == 0  # nothing is left to do
    assert len(count.read_text().splitlines()) == after


def test_when_the_time_is_over_the_best_so_far_stays(capsys: pytest.CaptureFixture[str]) -> None:
    save_chain()
    script = Path("slow.sh")
    script.write_text('#!/bin/sh\nsleep 0.4\ngrep -q act0 "$1" && grep -q conv4 "$1"\n')
    script.chmod(0o755)
    assert run("m.onnx", "--script", "slow.sh", "-j", "1", "--timeout", "3", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["finished"] is False
    assert document["seconds"] < 5
    assert shows_again()


def test_ctrl_c_keeps_the_best_so_far() -> None:
    save_chain()
    script = Path("slow.sh")
    script.write_text('#!/bin/sh\nsleep 0.2\ngrep -q act0 "$1" && grep -q conv4 "$1"\n')
    script.chmod(0o755)
    text = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", text, "reduce", "m.onnx", "--script", "slow.sh", "-j", "2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "nodes" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert 1 <= len(ops()) < 10


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
