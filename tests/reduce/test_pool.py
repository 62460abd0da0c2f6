"""What is told of a worker that died."""

from __future__ import annotations

import signal
from pathlib import Path

from tpumlir.reduce.processes import death_of


def test_the_log_says_where_a_worker_was(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(
        "LLVM ERROR: out of numbers\nFatal Python error: Aborted\n\n"
        'Thread 0x1 (most recent call first):\n  File "/lib/python3/threading.py", line 1 in wait\n\n'
        'Current thread 0x2 (most recent call first):\n  File "/home/me/plant.py", line 5 in bad\n'
        '  File "/x/tpumlir/onnx/importer.py", line 9 in _call\n'
        '  File "/x/tpumlir/reduce/judge.py", line 1 in judge\n'
    )
    found = death_of(tmp_path, -signal.SIGABRT, timeout=False)
    assert found == ("SIGABRT", "plant.py:bad", "LLVM ERROR: out of numbers")
