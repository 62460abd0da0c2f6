"""``tpumlir regress`` as a user runs it: verdicts, what is known, what dies, what is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from regress import models
from regress.models import folder_of, results, run, statuses, times_run
from tpumlir.regress.store import Store

EVERY = """
[[model]]
path = "*.onnx"
quantize = "F32"
"""


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """A suite of three models whose plugin notes what is compiled, waits for "hold" to go and may die."""
    for number, op in enumerate(("Relu", "Sigmoid", "Exp")):
        models.write(tmp_path / f"{op.lower()}.onnx", op, seed=number)
    return models.suite(
        tmp_path,
        EVERY,
        f"""
        import os, pathlib, time
        here = pathlib.Path({str(tmp_path)!r})

        def before_case(name, quantize):
            (here / "pid").write_text(str(os.getpid()))
            with (here / "log").open("a") as log:
                log.write(f"{{name}}:{{quantize}}\\n")
            while (here / "hold").exists() and name == (here / "hold").read_text():
                time.sleep(0.02)
            if (here / "die").exists() and name == (here / "die").read_text():
                os.abort()
        """,
    )


def test_every_kind_of_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("good", "dies", "segv", "hangs", "raises"):
        models.write(tmp_path / f"{name}.onnx")
    models.write(tmp_path / "exp.onnx", "Exp")
    models.write(tmp_path / "big.onnx", "Exp", scale=20.0)
    models.write(tmp_path / "strange.onnx", "NoSuchOp", domain="made.up")
    (tmp_path / "no_model.onnx").write_bytes(b"no model")
    path = models.suite(
        tmp_path,
        """
        [defaults]
        quantize = "F16"
        [[model]]
        path = "*.onnx"
        [[model]]
        path = "hangs.onnx"
        timeout = 0.5
        [[model]]
        path = "exp.onnx"
        tolerance = [0.99999, 0.99999]
        """,
        """
        import ctypes, os, time
        def before_case(name, quantize):
            if name == "dies":
                os.abort()
            if name == "segv":
                ctypes.string_at(0)
            while name == "hangs":
                time.sleep(1)
            if name == "raises":
                raise RuntimeError("as planned")
        """,
    )
    junit = tmp_path / "junit.xml"
    assert run(path, "--junit", junit) == 1
    assert statuses(path) == {
        "good:F16": ("ok", "passed"),
        "dies:F16": ("wrong", "crashed"),
        "segv:F16": ("wrong", "crashed"),
        "hangs:F16": ("wrong", "timeout"),
        "raises:F16": ("wrong", "error"),
        "exp:F16": ("wrong", "failed"),
        "big:F16": ("wrong", "refused"),
        "strange:F16": ("wrong", "refused"),
        "no_model:F16": ("wrong", "refused"),
    }
    found = results(path)
    assert found["dies:F16"]["message"] == "the worker died of SIGABRT"
    assert found["segv:F16"]["message"] == "the worker died of SIGSEGV"
    assert found["hangs:F16"]["message"] == "took more than 0.5 s"
    assert found["raises:F16"]["message"] == "internal: RuntimeError: as planned"
    assert found["exp:F16"]["stage"] == "tpu"
    assert found["exp:F16"]["node"] == "y"
    assert "65504" in found["big:F16"]["message"] or "F16" in found["big:F16"]["message"]
    assert str(tmp_path) not in (folder_of(path) / "results.json").read_text()
    out = capsys.readouterr().out
    assert "suite: 1 of 9 cases as expected, 8 not" in out
    assert "9 cases ran, 0 were known" in out

    root = ElementTree.parse(junit).getroot()
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "9", "failures": "4", "errors": "4", "skipped": "0",
    }  # fmt: skip
    (dead,) = (case for case in root.iter("testcase") if case.get("name") == "segv")
    assert dead.find("error") is not None
    assert "Segmentation fault" in str(dead.findtext("system-err"))


def test_expectations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.write(tmp_path / "relu.onnx")
    models.write(tmp_path / "exp.onnx", "Exp")
    models.write(tmp_path / "strange.onnx", "NoSuchOp", domain="made.up")

    def verdicts(text: str) -> dict[str, str]:
        run(models.suite(tmp_path, text))
        return {name: case["verdict"] for name, case in results(tmp_path / "suite.toml").items()}

    assert verdicts("""
        [defaults]
        quantize = ["F32", "BF16"]
        [[model]]
        path = "strange.onnx"
        expect = "refused"
        reason = "made.up"
        [[model]]
        path = "relu.onnx"
        max_cycles = 100000
        max_ddr = 100000
        min_similarity = [0.99, 0.9]
        [[model]]
        path = "exp.onnx"
        [model.BF16]
        tolerance = [0.99999, 0.99999]
        expect = "fail"
    """) == dict.fromkeys(
        ["exp:BF16", "exp:F32", "relu:BF16", "relu:F32", "strange:BF16", "strange:F32"], "ok"
    )
    assert verdicts("""
        [defaults]
        quantize = "BF16"
        [[model]]
        path = "strange.onnx"
        expect = "refused"
        reason = "another one"
        [[model]]
        path = "relu.onnx"
        expect = "fail"
        [[model]]
        path = "exp.onnx"
        max_cycles = 1
        max_ddr = 1
        min_similarity = 1.0
    """) == {"strange:BF16": "wrong", "relu:BF16": "fixed", "exp:BF16": "wrong"}
    path = tmp_path / "suite.toml"
    why = results(path)["exp:BF16"]["why"]
    assert "expected at most 1 cycles, got" in why
    assert "expected at most 1 bytes of DDR, got" in why
    assert "expected a similarity of at least 1.0 in tpu, got" in why
    assert "for the reason 'another one', got refused" in results(path)["strange:BF16"]["why"]
    capsys.readouterr()
    assert run(path, "--filter", "relu") == 0  # a known failure that passes is told, and fails if asked for
    assert "passes, but the suite expects 'fail'" in capsys.readouterr().out
    assert run(path, "--filter", "relu", "--strict") == 1


def test_only_what_changed_runs_again(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = logged.with_name("log")
    every = ["exp:F32", "relu:F32", "sigmoid:F32"]

    def ran(*flags: object) -> list[str]:
        log.unlink(missing_ok=True)
        assert run(logged, *flags) == 0, capsys.readouterr().out
        return sorted(times_run(log))

    assert ran() == every
    first = (folder_of(logged) / "results.json").read_bytes()
    assert ran() == []
    assert (folder_of(logged) / "results.json").read_bytes() == first
    os.utime(logged.with_name("relu.onnx"))  # another time, the same bytes
    assert ran() == []
    models.write(logged.with_name("relu.onnx"), "Tanh")
    assert ran() == ["relu:F32"]
    models.write(logged.with_name("exp.onnx"), "Exp", seed=7)  # only its input is another one
    assert ran() == ["exp:F32"]
    logged.write_text(logged.read_text() + 'tolerance = "0.99,0.98"\n')
    assert ran() == every
    logged.write_text(logged.read_text() + "max_cycles = 1000000\n")  # judged, not computed
    assert ran() == []
    assert ran("--fresh") == every
    assert ran("--repeat", 2) == []  # it was measured twice by now
    assert ran("--repeat", 3, "--filter", "exp") == ["exp:F32"] * 3
    hook = logged.with_name("hook.py")
    hook.write_text(hook.read_text() + "\n")
    assert ran() == every
    models.write(logged.with_name("twin.onnx"), "Exp", seed=7)
    assert ran() == ["twin:F32"]


def test_external_data_is_part_of_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    path = models.write_external(folder / "added.onnx", 1.0)
    assert run(folder, "--quantize", "F32") == 0
    first = results(folder)["added:F32"]["content"]
    before = path.read_bytes()
    models.write_external(path, 2.0)
    assert path.read_bytes() == before
    assert run(folder, "--quantize", "F32") == 0
    assert results(folder)["added:F32"]["content"] != first


def test_int8_with_the_table_beside_the_model(tmp_path: Path) -> None:
    path = models.write(tmp_path / "suite" / "sigmoid.onnx", "Sigmoid")
    table = path.with_suffix(".calib")
    table.write_text("x 3.0 -3.0 3.0\ny 1.0 0.0 1.0\n")
    folder = tmp_path / "suite"
    assert run(folder) == 0
    assert statuses(folder) == dict.fromkeys(
        [f"sigmoid:{m}" for m in ("BF16", "F16", "F32", "INT8")], ("ok", "passed")
    )
    before = results(folder)
    table.write_text("x 9.0 -9.0 9.0\ny 1.0 0.0 1.0\n")
    assert run(folder) == 0
    after = results(folder)
    changed = [name for name in after if after[name]["content"] != before[name]["content"]]
    assert changed == ["sigmoid:INT8"]
    table.write_text("x no number\n")
    assert run(folder) == 1
    assert statuses(folder)["sigmoid:INT8"] == ("wrong", "error")
    assert results(folder)["sigmoid:INT8"]["message"].startswith("sigmoid.calib:1: expected")


def test_another_compiler_computes_everything_again(logged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(logged) == 0
    versions = json.loads((folder_of(logged) / "results.json").read_bytes())["compiler"]
    assert {"tpumlir", "build", "numpy", "onnx", "onnxruntime"} <= set(versions)
    monkeypatch.setattr("tpumlir.regress.run.compiler", lambda: {**versions, "build": "other"})
    assert run(logged) == 0
    assert sorted(times_run(logged.with_name("log"))) == sorted(["exp:F32", "relu:F32", "sigmoid:F32"] * 2)


def test_models_that_are_the_same_are_compiled_once(tmp_path: Path) -> None:
    """Twins differ in their names only; the second has the file of the first under another path."""
    for name in ("a/same", "b/same"):
        models.write(tmp_path / f"{name}.onnx")
    log = tmp_path / "log"
    path = models.suite(
        tmp_path,
        '[[model]]\npath = "**/*.onnx"\nquantize = "F32"\n',
        f"def before_case(name, quantize):\n    open({str(log)!r}, 'a').write(name + '\\n')\n",
    )
    assert run(path) == 0
    assert statuses(path) == dict.fromkeys(["a/same:F32", "b/same:F32"], ("ok", "passed"))
    assert len(times_run(log)) == 1


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """What ``start`` has started, killed at the end of a test that fails."""
    yield _started
    for process in _started:
        process.kill()
        process.communicate(timeout=20)
    _started.clear()


_started: list[subprocess.Popen[str]] = []


def start(path: Path, *flags: str) -> subprocess.Popen[str]:
    # Whoever runs the tests in the background may have Ctrl-C ignored.
    code = (
        "import signal, sys\nfrom tpumlir.cli.main import main\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    sys.exit(main())"
    )
    words = ["regress", str(path), "--jobs", "1", *flags]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _started.append(process)
    return process


def until(condition: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_is_done_stays_done(
    logged: Path, how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    hold, log = logged.with_name("hold"), logged.with_name("log")
    assert run(logged, "--filter", "exp") == 0  # known, so it is not even begun
    die = logged.with_name("die")
    die.write_text("sigmoid")
    hold.write_text("relu")
    process = start(logged)
    until(lambda: "relu:F32" in times_run(log) or process.poll() is not None)
    assert times_run(log)[-2:] == ["sigmoid:F32", "relu:F32"]  # the largest model first
    journal = next((folder_of(logged) / "runs").glob("*/journal.jsonl"))
    until(lambda: "sigmoid" in journal.read_text())
    worker = int(logged.with_name("pid").read_text())
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert process.returncode == (130 if how is signal.SIGINT else -how), err
    if how is signal.SIGINT:
        assert "interrupted with 2 of 3 cases done; --resume goes on" in err
        assert "1 of 2 cases as expected, 1 not" in out
    until(lambda: not is_alive(worker), 20)

    hold.unlink()
    die.unlink()
    capsys.readouterr()
    assert run(logged, "--resume") == 1
    assert statuses(logged) == {
        "exp:F32": ("ok", "passed"), "relu:F32": ("ok", "passed"), "sigmoid:F32": ("wrong", "crashed"),
    }  # fmt: skip
    assert sorted(times_run(log)) == ["exp:F32", "relu:F32", "relu:F32", "sigmoid:F32"]
    assert "1 cases ran, 2 were known" in capsys.readouterr().out
    assert run(logged) == 0  # a crash is tried again
    assert run(logged, "--resume") == 0
    assert "no interrupted run of this suite to resume" in capsys.readouterr().err


@pytest.mark.usefixtures("started")
def test_two_runs_at_once(logged: Path) -> None:
    processes = [start(logged) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    assert {status for _, status in statuses(logged).values()} == {"passed"}
    store = Store(folder_of(logged))
    history = store.history("suite")
    assert [past.summary["cases"] for past in history] == [3, 3]
    assert len({json.dumps(past.cases()) for past in history}) == 1
    assert not [path for path in folder_of(logged).rglob("*") if path.name.endswith(".tmp")]


def test_list_json_and_output(logged: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(logged, "--list", "--filter", "s*") == 0
    assert capsys.readouterr().out == "sigmoid:F32\n"
    assert run(logged, "--list", "--json") == 0
    assert [case["id"] for case in json.loads(capsys.readouterr().out)["cases"]] == [
        "exp:F32", "relu:F32", "sigmoid:F32",
    ]  # fmt: skip
    assert not logged.with_name("log").exists()
    assert run(logged, "--json", "-o", tmp_path / "kept.json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert document["results"] == json.loads((tmp_path / "kept.json").read_bytes())
    assert document["times"] == json.loads((tmp_path / "kept.times.json").read_bytes())
    case = document["results"]["cases"][0]
    assert case["cycles"] > 0
    assert case["similarity"]["bmodel"] == [1.0, 1.0]
    assert set(document["times"]["cases"]["exp:F32"]) == {"compile", "run", "cpu", "wall"}
    assert document["times"]["cases"]["exp:F32"]["compile"][0] > 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["gone"], 1, "gone: no such file or folder"),
        (["{suite}", "--filter", "nothing"], 1, "expected cases like nothing, found none"),
        (["{suite}", "--baseline", "gone.json"], 1, "gone.json: no such file"),
        (["{suite}", "--baseline", "{suite}"], 1, "expected results of tpumlir regress"),
        (["{suite}", "--dask", "nonsense"], 1, "expected the address of a Dask scheduler"),
        (["{suite}", "--quantize", "F17"], 2, "--quantize: expected"),
        (["{suite}", "--resume", "--fresh"], 2, "give one of them"),
        (["{suite}", "--threshold", "cycles=1%"], 2, "give --baseline"),
        (["{suite}", "--threshold", "speed=1%"], 2, "expected NAME=PART with a name of cycles"),
        (["{suite}", "--timeout", "0"], 2, "expected seconds above 0"),
        (["{suite}", "--repeat", "0"], 2, "expected a number from 1 on"),
    ],
)
def test_wrong_use_is_one_line(
    logged: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "nonsense" in words:
        pytest.importorskip("distributed")
    assert run(*(word.format(suite=logged) for word in words)) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not logged.with_name("log").exists()


def test_the_fork_server_has_one_thread() -> None:
    """A fork has only the thread that calls it: what others hold, it waits for, for ever."""
    code = "import os, tpumlir.regress.pool, tpumlir.regress.warm\nprint(len(os.listdir('/proc/self/task')))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    got = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert got.stdout == "1\n"


def test_progress_without_a_terminal(
    logged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tpumlir.cli.regress._EVERY", 0.0)
    assert run(logged) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "tpumlir regress: 3 of 3 cases, 0 not as expected, about 0 s left"


def test_progress_on_a_terminal(
    logged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(logged) == 0
    assert run(logged, "--fresh", "--strict") == 0
    told = capsys.readouterr()
    assert "3 of 3 cases" in told.err
    assert "not as expected" in told.err
    assert "suite: 3 of 3 cases as expected" in told.out
