"""Time and peak memory of one command of tpumlir in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

RUN = "from tpumlir.cli.main import main; raise SystemExit(main())"


def measure(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds, and peak memory in GiB, of ``tpumlir ARGUMENTS`` in ``folder``; leaves if it fails.

    The caller must not have grown itself: a process that is started begins with its parent's peak.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    text = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)}\n{text}")
    return time.perf_counter() - start, usage.ru_maxrss / (1 << 20)
