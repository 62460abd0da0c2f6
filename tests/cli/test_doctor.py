"""``tpumlir doctor`` on this machine, and on installations that are broken in some way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tpumlir.cli.main import main
from tpumlir.road import doctor

ROOT = Path(__file__).parents[2]
_CPU = "/sys/fs/cgroup/cpu/cpu.cfs"


def run(**variables: str) -> tuple[int, dict[str, Any]]:
    """The document that a process of its own prints, with these variables."""
    paths = [*variables.pop("first", "").split(), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-c", _RUN], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables},
    )  # fmt: skip
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


_RUN = "import sys; from tpumlir.cli.main import main; sys.exit(main(['doctor', '--json']))"


def finding(document: dict[str, Any], name: str) -> dict[str, str]:
    (found,) = [one for one in document["findings"] if one["name"] == name]
    return dict(found)


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    code, document = run(ONEDNN_MAX_CPU_ISA="AVX2", OMP_NUM_THREADS="1")
    assert code == 0
    assert document["passed"] is True
    return document


def test_versions_are_those_of_the_packages(healthy: dict[str, Any]) -> None:
    import numpy as np

    import onnx

    assert finding(healthy, "numpy")["value"] == np.__version__
    assert finding(healthy, "onnx")["value"] == onnx.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", finding(healthy, "MLIR")["value"])
    assert re.fullmatch(r"3\.\d+\.\d+", finding(healthy, "oneDNN")["value"])


def test_what_limits_the_processor_is_seen(healthy: dict[str, Any]) -> None:
    assert finding(healthy, "oneDNN uses")["value"] == "AVX2"
    assert finding(healthy, "threads")["value"] == "1"
    assert finding(healthy, "ONEDNN_MAX_CPU_ISA")["value"] == "AVX2"


def test_every_precision_goes_through_every_stage(healthy: dict[str, Any]) -> None:
    for name in ("F32", "F16", "BF16"):
        assert finding(healthy, name) == {
            "section": "self-test", "name": name, "value": "3 validations passed", "state": "ok",
            "remedy": "",
        }  # fmt: skip


def fake(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "text", "value", "remedy"),
    [
        (
            "flatbuffers",
            "raise ImportError('half of it')",
            "ImportError: half of it",
            "pip install --force-rein",
        ),
        ("onnxruntime", "import os; os.kill(os.getpid(), 4)", "died of SIGILL", "the processor lacks"),
        ("onnx", "import os; os.kill(os.getpid(), 11)", "died of SIGSEGV", "please report it"),
        ("onnx", "import os; os._exit(3)", "ended with exit code 3", "please report it"),
        ("onnx", "raise SystemExit('no licence')", "ended with exit code 1: no licence", "please report it"),
    ],
)
def test_a_package_that_does_not_load_is_a_finding(
    name: str, text: str, value: str, remedy: str, tmp_path: Path
) -> None:
    code, document = run(first=fake(tmp_path, name, text))
    assert code == 1
    assert document["passed"] is False
    (broken,) = [one for one in document["findings"] if one["state"] == "broken"]
    assert broken["name"] == name
    assert broken["value"] == value
    assert broken["remedy"].startswith(remedy)


def test_a_core_that_does_not_load_is_a_finding(tmp_path: Path) -> None:
    text = (
        "import sys\nclass No:\n    def find_spec(self, name, *_):\n"
        "        if name == 'tpumlir._core': raise ImportError('libdnnl.so.3: cannot open')\n"
        "sys.meta_path.insert(0, No())\n"
    )
    code, document = run(first=fake(tmp_path, "sitecustomize", text))
    assert code == 1
    broken = finding(document, "core")
    assert broken["value"] == "ImportError: libdnnl.so.3: cannot open"
    assert broken["remedy"] == "pip install --force-reinstall tpumlir"


def test_what_a_command_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_self_test", lambda: iter(()))
    monkeypatch.setitem(doctor.NEEDED, "numpy", "9000")
    monkeypatch.setitem(doctor.NEEDED, "no-such-package", "1")
    monkeypatch.setitem(doctor.OPTIONAL, "no_such_module", ("no-such-package", "nothing"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"  numpy +[\d.]+, expected 9000 or newer +broken: pip install 'numpy>=9000'", out)
    assert re.search(r"  no-such-package +not installed: nothing +missing: pip install no-such-package", out)
    assert "\n2 things are broken:\n" in out
    monkeypatch.delitem(doctor.NEEDED, "no-such-package")
    monkeypatch.setitem(doctor.NEEDED, "numpy", "1.23")
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("\nall that is needed works\n")


def test_a_wrong_result_is_broken(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        doctor, "_compile", lambda precision: ("Top against ONNX Runtime: FAILED", precision == "F16")
    )
    doctor._child()
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    states = {one["finding"]["name"]: one["finding"]["state"] for one in said if "finding" in one}
    assert (states["F32"], states["F16"]) == ("broken", "ok")


@pytest.mark.parametrize(
    ("files", "value", "state"),
    [
        ({}, "usable by this process", "ok"),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, "usable by this process", "ok"),
        ({"/sys/fs/cgroup/cpu.max": "50000 100000\n"}, "time for 0.5 (a limit of the container)", "note"),
        ({f"{_CPU}_quota_us": "-1\n", f"{_CPU}_period_us": "100000\n"},
         "usable by this process", "ok"),
        ({f"{_CPU}_quota_us": "25000\n", f"{_CPU}_period_us": "100000\n"},
         "time for 0.25 (a limit of the container)", "note"),
    ],
)  # fmt: skip
def test_the_limit_of_a_container(
    files: dict[str, str], value: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_text", lambda path: files.get(path, ""))
    (found,) = [one for one in doctor._processor() if one.name == "processors"]
    assert found.value.endswith(value)
    assert found.state == state


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/meminfo": "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n"}
    monkeypatch.setattr(doctor, "_text", lambda path: files.get(path, ""))
    first = next(doctor._memory())
    assert (first.value, first.state) == ("16.0 GiB, 8.0 GiB available", "ok")
    files["/sys/fs/cgroup/memory.max"] = f"{1 << 30}\n"
    first = next(doctor._memory())
    assert first.value == "16.0 GiB, 8.0 GiB available, limit of the container 1.0 GiB"
    assert first.state == "note"


def test_a_temporary_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/no/such/folder")
    found = [one for one in doctor._memory() if one.name == "temporary files"]
    assert [(one.value, one.state) for one in found] == [
        ("/no/such/folder: No such file or directory", "broken")
    ]


@pytest.mark.parametrize(
    ("older", "newer"), [("1.9", "1.10"), ("1.26.0rc1", "1.26.1"), ("1!2.0", "2.1"), ("13", "13.0.1")]
)
def test_versions_are_ordered_as_numbers(older: str, newer: str) -> None:
    assert doctor._numbers(older) < doctor._numbers(newer)
    assert doctor._numbers("2.0.0") == doctor._numbers("2")


def test_what_is_needed_is_what_the_project_says() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(r"^dependencies = \[$(.*?)^\]$", text, re.MULTILINE | re.DOTALL)
    assert section
    assert dict(re.findall(r'"([\w-]+)>=([\d.]+)"', section[1])) == doctor.NEEDED
