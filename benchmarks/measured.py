"""Time and peak memory of one command of tpumlir in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

RUN = "from tpumlir.cli.main import main; raise SystemExit(main())"


class Run(NamedTuple):
    """What a command took and said."""

    status: int
    seconds: float
    """By the clock."""
    cpu_s: float
    """Of all its threads."""
    peak_gib: float
    out: str
    err: str


def run(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Run:
    """Run ``tpumlir ARGUMENTS`` in ``folder``, with more variables in its environment.

    The caller must not have grown itself: a process that is started begins with its parent's peak.
    """
    variables = os.environ | dict(environment or {})
    # The command runs elsewhere.
    if paths := variables.get("PYTHONPATH"):
        variables["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            cwd=folder,
            env=variables,
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Run(
        process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1 << 20), *texts
    )


def measure(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds, and peak memory in GiB, of ``tpumlir ARGUMENTS`` in ``folder``; leaves if it fails."""
    done = run(folder, *arguments)
    if done.status:
        sys.exit(f"{' '.join(arguments)}\n{done.out}{done.err}")
    return done.seconds, done.peak_gib
