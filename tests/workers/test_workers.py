"""Workers that die as fast as they can: none of their tasks is lost, each has its own exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from tpumlir.errors import TpumlirError
from tpumlir.workers import Died, Pool, how_it_ended

ENDS: list[tuple[Any, tuple[Any, ...], int | None]] = [
    (os.abort, (), -signal.SIGABRT),
    (signal.raise_signal, (signal.SIGKILL,), -signal.SIGKILL),
    (os._exit, (3,), 3),
    (os._exit, (0,), 0),
    (sys.exit, (4,), 4),
    (abs, (-7,), None),
]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_task_has_an_outcome() -> None:
    rounds = 3
    with Pool(4) as pool:
        futures = [pool.submit(function, *given) for function, given, _ in ENDS * rounds]
        answers = Counter(getattr(future.result(60), "code", None) for future in futures)
    assert answers == {code: rounds for _, _, code in ENDS}


@pytest.mark.parametrize(("function", "given", "code"), [ENDS[1], ENDS[3]])
def test_fifty_deaths_in_a_row(function: Any, given: tuple[Any, ...], code: int) -> None:
    """Death at the very beginning of a task, between tasks of others that live."""
    with Pool(3) as pool:
        futures = []
        for number in range(50):
            futures += [pool.submit(function, *given), pool.submit(abs, -number)]
        assert not wait(futures, timeout=60).not_done
        answers = [future.result() for future in futures]
    assert [answer.code for answer in answers[::2]] == [code] * 50
    assert answers[1::2] == list(range(50))


def test_what_is_busy_ends_with_the_pool() -> None:
    with Pool(1) as pool:
        future = pool.submit(signal.pause)
        behind = pool.submit(abs, -1)
        until(lambda: pool._busy and pool._busy[0].tasks)
    assert future.result(30).code == -signal.SIGKILL
    assert behind.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(abs, -1)


def test_what_takes_too_long_is_killed() -> None:
    with Pool(1) as pool:
        found = pool.submit(signal.pause, limit=0.2).result(60)
        assert isinstance(found, Died)
        assert found.code is None
        assert not is_alive(found.pid)
        assert pool.submit(abs, -1, limit=60.0).result(60) == 1


def test_a_worker_that_died_idle_takes_no_task_with_it() -> None:
    with Pool(1) as pool:
        pid = pool.submit(os.getpid).result(60)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid))
        assert pool.submit(abs, -1).result(60) == 1


def test_a_worker_is_replaced_after_its_tasks() -> None:
    with Pool(1, tasks=2) as pool:
        pids = [pool.submit(os.getpid).result(60) for _ in range(6)]
    assert pids[::2] == pids[1::2]
    assert len(set(pids)) == 3


def test_what_workers_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of threads, and the environment of who started them, which keeps its own."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    before = dict(os.environ)
    with Pool(1, threads=3, setup=(os.putenv, ("UNUSED", ""))) as pool:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONPATH")
        assert [pool.submit(os.getenv, name).result(60) for name in names] == ["3", "1", "/somewhere"]
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("setup", "message"),
    [((int, ("x",)), "ValueError: invalid literal"), ((os._exit, (7,)), "it died .exit code 7.")],
)
def test_a_worker_that_does_not_start(setup: Any, message: str) -> None:
    with Pool(2, setup=setup) as pool:
        futures = [pool.submit(abs, -1) for _ in range(3)]
        for future in futures:
            with pytest.raises(TpumlirError, match=message):
                future.result(60)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_workers_end_with_their_client(how: signal.Signals | None) -> None:
    """Also busy ones, and a client that ends by itself does not wait for them."""
    code = (
        "import os, signal, time\nfrom tpumlir.workers import Pool\n"
        "pool = Pool(2)\nprint(pool.submit(os.getpid).result(60), flush=True)\n"
        "pool.submit(signal.pause)\n"
        "while not (pool._busy and pool._busy[0].tasks == 2): time.sleep(0.01)\n"
        f"print('busy', flush=True)\n{'signal.pause()' if how else ''}\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        try:
            worker = int(client.stdout.readline())
            assert client.stdout.readline() == "busy\n"
            if how:
                client.send_signal(how)
            assert client.wait(30) == (-how if how else 0)
            until(lambda: not is_alive(worker))
        finally:
            client.kill()


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (0, "exit code 0"), (-11, "SIGSEGV"), (-200, "signal 200")]
)
def test_how_it_ended(code: int, words: str) -> None:
    assert how_it_ended(code) == words
