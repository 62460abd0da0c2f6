"""What a bug report says of an installation: versions, processor, memory, what is missing, a self-test.

What might die (an extension for another processor, a library that is not found) is run in a process of its
own, so that a crash is a finding and not the end.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "missing", "broken"]

NEEDED = {"numpy": "1.23", "onnx": "1.15", "onnxruntime": "1.17", "flatbuffers": "23.5", "rich": "13",
          "prompt_toolkit": "3.0.36", "plotly": "5.13"}  # fmt: skip
"""Packages without which commands fail, and their least versions: the dependencies of pyproject.toml."""

OPTIONAL = {
    "PIL": ("pillow", "pictures as inputs, png files"),
    "torch": ("torch", "gen_shell of torch modules"),
    "distributed": ("distributed", "tpumlir regress on a Dask cluster"),
    "playwright": ("playwright", "tests of HTML pages"),
    "mkdocs": ("mkdocs-material", "make site"),
}
"""Modules that only some commands need: their package, and what for."""

_PYTHON = (3, 10)
_FEATURES = ("sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
             "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")  # fmt: skip
_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "ONEDNN_VERBOSE", "DNNL_MAX_CPU_ISA", "OMP_NUM_THREADS",
              "OMP_WAIT_POLICY", "OMP_PROC_BIND", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH")  # fmt: skip
_ISAS = {
    0x1: "SSE4.1", 0x3: "AVX", 0x7: "AVX2", 0xF: "AVX2 with VNNI", 0x1F: "AVX2 with VNNI, BF16 and F16",
    0x27: "AVX-512", 0x67: "AVX-512 with VNNI", 0xE7: "AVX-512 with VNNI and BF16",
    0x1EF: "AVX-512 with VNNI, BF16 and F16", 0xFEF: "AVX-512 with AMX", 0x1FEF: "AVX-512 with AMX and F16",
}  # fmt: skip
_LITTLE_MEMORY = 2 << 30
_LITTLE_DISK = 1 << 30
_PATIENCE = 300  # seconds for the self-test; it takes one
_REINSTALL = "pip install --force-reinstall tpumlir"


@dataclass(frozen=True)
class Finding:
    """One fact. ``remedy`` says what to do where something is missing or broken."""

    section: str
    name: str
    value: str
    state: State = "ok"
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """All facts, in order."""

    findings: list[Finding]

    @property
    def broken(self) -> list[Finding]:
        """What must be mended before the commands work."""
        return [one for one in self.findings if one.state == "broken"]

    @property
    def passed(self) -> bool:
        """Whether all that is needed works."""
        return not self.broken

    def to_json(self) -> dict[str, object]:
        """The report as a document."""
        return {"passed": self.passed, "findings": [asdict(one) for one in self.findings]}


def examine(version: str) -> Report:
    """Look at the installation of ``version`` and at the machine, and run the self-test."""
    findings = [
        *_system(version),
        *_packages(),
        *_optional(),
        *_processor(),
        *_memory(),
        *_environment(),
        *_self_test(),
    ]
    order = ("versions", "processor", "memory", "environment", "optional packages", "self-test")
    return Report(sorted(findings, key=lambda one: order.index(one.section)))


# --- what can be read --------------------------------------------------------------


def _system(version: str) -> Iterator[Finding]:
    yield Finding("versions", "tpumlir", f"{version} in {Path(__file__).parents[1]}")
    old = sys.version_info < _PYTHON
    yield Finding(
        "versions", "python", f"{platform.python_version()}, {sys.executable}",
        "broken" if old else "ok", "use Python 3.10 or newer" if old else "",
    )  # fmt: skip
    foreign = sys.platform != "linux" or platform.machine() not in {"x86_64", "AMD64"}
    yield Finding(
        "versions", "system", f"{platform.platform()}, {' '.join(platform.libc_ver()) or 'unknown libc'}",
        "broken" if foreign else "ok", "use Linux on x86-64, which the core is made for" if foreign else "",
    )  # fmt: skip


def _packages() -> Iterator[Finding]:
    for name, least in NEEDED.items():
        version = _version(name)
        remedy = f"pip install '{name}>={least}'"
        if version is None:
            yield Finding("versions", name, "not installed", "broken", remedy)
        elif _numbers(version) < _numbers(least):
            yield Finding("versions", name, f"{version}, expected {least} or newer", "broken", remedy)
        else:
            yield Finding("versions", name, version)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, without trailing zeros: 1.26.0rc1 -> (1, 26)."""
    found = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _optional() -> Iterator[Finding]:
    section = "optional packages"
    for module, (package, purpose) in OPTIONAL.items():
        try:
            there = importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):  # a broken or half-removed package
            there = False
        if there:
            yield Finding(section, package, f"{_version(package) or 'installed'}: {purpose}")
        else:
            yield Finding(section, package, f"not installed: {purpose}", "missing", f"pip install {package}")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Finding(
        section, "chromium", f"{browser or 'not found'}: tests of HTML pages", "ok" if browser else "missing",
        "" if browser else "install your system's package chromium",
    )  # fmt: skip


def _processor() -> Iterator[Finding]:
    info = _text("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", info, re.MULTILINE)
    yield Finding("processor", "model", model[1].strip() if model else platform.processor() or "unknown")
    have = set(flags[1].split()) if flags else set()
    yield Finding("processor", "features", " ".join(name for name in _FEATURES if name in have) or "unknown")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = f"{os.cpu_count()} processors, {usable} usable by this process"
    quota = _quota()
    if quota is not None and quota < usable:
        yield Finding(
            "processor", "processors", f"{text}, time for {quota:.3g} (a limit of the container)", "note",
            f"export OMP_NUM_THREADS={max(1, int(quota))}, or threads wait for each other",
        )  # fmt: skip
    else:
        yield Finding("processor", "processors", text)


def _quota() -> float | None:
    """How many processors' time the control group grants; None if it is not limited."""
    new = _text("/sys/fs/cgroup/cpu.max").split()
    if len(new) == 2 and new[0].isdecimal():
        return int(new[0]) / int(new[1])
    quota, period = (_text(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _memory() -> Iterator[Finding]:
    sizes = {
        key: int(kib) << 10 for key, kib in re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.M)
    }
    total, free = sizes.get("MemTotal"), sizes.get("MemAvailable")
    limits = [
        _text(f"/sys/fs/cgroup/{name}").strip() for name in ("memory.max", "memory/memory.limit_in_bytes")
    ]
    limit = min((int(text) for text in limits if text.isdecimal()), default=None)
    if total and free is not None:
        text = f"{_size(total)}, {_size(free)} available"
        if limit is not None and limit < total:
            text += f", limit of the container {_size(limit)}"
            free = min(free, limit)
        little = free < _LITTLE_MEMORY
        yield Finding("memory", "memory", text, "note" if little else "ok",
                      "large models need more: close other programs" if little else "")  # fmt: skip
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder):
            room = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("memory", "temporary files", f"{folder}: {error.strerror}", "broken",
                      "set TMPDIR to a folder that can be written")  # fmt: skip
        return
    little = room < _LITTLE_DISK
    yield Finding("memory", "temporary files", f"{folder}, {_size(room)} free", "note" if little else "ok",
                  "set TMPDIR to a folder with more room" if little else "")  # fmt: skip


def _environment() -> Iterator[Finding]:
    for name in _VARIABLES:
        if name in os.environ:
            yield Finding("environment", name, os.environ[name])
    found = shutil.which("model_transform") or shutil.which("model_transform.py")
    if found is None:
        yield Finding("environment", "model_transform", "not on PATH", "note",
                      f"add {Path(sys.executable).parent} to PATH, or use tpumlir COMMAND")  # fmt: skip
    elif Path(found).parent != Path(sys.executable).parent:
        yield Finding("environment", "model_transform", found, "note",
                      "the command of another installation comes first on PATH")  # fmt: skip


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


# --- what must be tried ------------------------------------------------------------


def _self_test() -> Iterator[Finding]:
    """The steps of ``_child``, run in a process that may die."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": ""}
    command = [sys.executable, "-c", f"from {__name__} import _child; _child()"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=_PATIENCE,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as expired:
        code, err = 0, ""
        out = (expired.stdout or b"").decode(errors="replace")
        out += f"\n{json.dumps({'late': _PATIENCE})}\n"
    step = "start"
    ended = False
    for line in out.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if "finding" in said:
            yield Finding(**said["finding"])
        elif "late" in said:
            yield Finding("self-test", step, f"not done after {said['late']} s", "broken",
                          "try OMP_NUM_THREADS=1; if that does not help, please report it")  # fmt: skip
            ended = True
        else:
            step, ended = said["step"], said["step"] == "end"
    if not ended:
        yield Finding("self-test", step, _death(code, err), "broken", _remedy(code, step))


def _death(code: int, err: str) -> str:
    if code < 0:
        try:
            return f"died of {signal.Signals(-code).name}"
        except ValueError:
            return f"died of signal {-code}"
    last = err.strip().splitlines()
    return f"ended with exit code {code}{': ' + last[-1] if last else ''}"


def _remedy(code: int, step: str) -> str:
    if code == -signal.SIGILL:
        return (
            "the processor lacks an instruction (SSE4.1 is needed): let a virtual machine see the host's CPU"
        )
    if code == -signal.SIGKILL:
        return "the system ended it, mostly for want of memory: give it more"
    return _REINSTALL if step in {"start", "core"} else "please report it with this output"


def _child() -> None:
    """Say what is tried before it is tried, and what came of it, one document a line."""
    for name in ("numpy", "onnx", "onnxruntime", "flatbuffers"):
        _say({"step": name})
        try:
            importlib.import_module(name)
        except Exception as error:
            _report("versions", name, _words(error), "broken", f"pip install --force-reinstall {name}")
            return _say({"step": "end"})
    _say({"step": "core"})
    try:
        _core()
    except Exception as error:
        _report("versions", "core", _words(error), "broken", _REINSTALL)
        return _say({"step": "end"})
    for precision in ("F32", "F16", "BF16"):
        _say({"step": precision})
        try:
            value, fine = _compile(precision)
        except Exception as error:
            value, fine = _words(error), False
        remedy = "" if fine else "please report it with this output"
        _report("self-test", precision, value, "ok" if fine else "broken", remedy)
    return _say({"step": "end"})


def _say(document: dict[str, object]) -> None:
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


def _report(section: str, name: str, value: str, state: State = "ok", remedy: str = "") -> None:
    _say({"finding": asdict(Finding(section, name, value, state, remedy))})


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _core() -> None:
    """What the core is made of, and what its libraries make of this processor."""
    import ctypes

    from tpumlir._core import ir

    class _Version(ctypes.Structure):
        _fields_ = (
            ("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int),
            ("hash", ctypes.c_char_p), ("cpu_runtime", ctypes.c_uint), ("gpu_runtime", ctypes.c_uint),
        )  # fmt: skip

    _report("versions", "MLIR", ir.MLIR_VERSION)
    # The core has loaded both; the loader knows them by these names.
    onednn = ctypes.CDLL("libdnnl.so.3")
    onednn.dnnl_version.restype = ctypes.POINTER(_Version)
    version = onednn.dnnl_version().contents
    _report("versions", "oneDNN", f"{version.major}.{version.minor}.{version.patch}")
    isa = onednn.dnnl_get_effective_cpu_isa()
    _report("processor", "oneDNN uses", _ISAS.get(isa, f"ISA {isa:#x}"))
    _report("processor", "threads", str(ctypes.CDLL("libgomp.so.1").omp_get_max_threads()))


def _compile(precision: str) -> tuple[str, bool]:
    """One convolution through every stage and through a file; what was seen, and whether it is right."""
    import numpy as np

    from tpumlir import bmodel
    from tpumlir.road.compile import compile_onnx

    x = {"x": np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)}
    done = compile_onnx(_model(), quantize=precision, name="self_test", test_input=x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "self_test.bmodel"
        bmodel.write(path, done.bmodel)
        read = bmodel.read(path).run(x)
    ran = done.bmodel.run(x)
    same = ran.keys() == read.keys() and all(np.array_equal(ran[name], read[name]) for name in ran)
    lines = [one.summary() for one in done.validations if not one.passed]
    if not same:
        lines.append("the bmodel computes something else when it is read from a file")
    fine = not lines and len(done.validations) == 3
    return "; ".join(lines) or f"{len(done.validations)} validations passed", fine


def _model() -> object:
    import numpy as np

    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    constants = [
        numpy_helper.from_array(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), "filter"),
        numpy_helper.from_array(rng.standard_normal(4).astype(np.float32), "bias"),
    ]
    node = helper.make_node("Conv", ["x", "filter", "bias"], ["y"], name="conv", pads=[1, 1, 1, 1])
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 8, 8])
        for name, channels in (("x", 3), ("y", 4))
    ]
    graph = helper.make_graph([node], "self_test", value[:1], value[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def lines_of(findings: Sequence[Finding]) -> Iterator[tuple[str, str, str]]:
    """Rows of a table: name, value, and what to do."""
    for one in findings:
        mark = "" if one.state == "ok" else f"{one.state}: {one.remedy}" if one.remedy else one.state
        yield one.name, one.value, mark
