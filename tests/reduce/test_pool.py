"""Workers that die as fast as they can: none of their tasks is lost, each has its own exit code."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tpumlir.reduce.pool import Pool
from tpumlir.reduce.processes import death_of

ENDS: list[tuple[Any, tuple[int, ...], int | None]] = [
    (os.abort, (), -signal.SIGABRT),
    (os._exit, (3,), 3),
    (os._exit, (0,), 0),
    (abs, (-7,), None),
]


def test_every_task_has_an_outcome() -> None:
    rounds = 4
    with Pool(4) as pool:
        futures = [pool._threads.submit(pool._run, f, given, None) for f, given, _ in ENDS * rounds]
        answers = Counter(getattr(future.result(30), "code", None) for future in futures)
    assert answers == {code: rounds for _, _, code in ENDS}


def test_what_is_busy_ends_with_the_pool() -> None:
    with Pool(1) as pool:
        future = pool._threads.submit(pool._run, signal.pause, (), None)
        answer = pool._threads.submit(abs, -1)  # behind it
        while not pool._busy:
            time.sleep(0.01)
    assert future.result(30).code == -signal.SIGKILL
    assert answer.cancelled()


def test_what_takes_too_long_is_killed() -> None:
    with Pool(1) as pool:
        assert pool._run(signal.pause, (), 0.2).code is None


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
