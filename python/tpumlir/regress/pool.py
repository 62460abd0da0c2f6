"""Cases in worker processes of this machine: one that dies or hangs is an outcome, and the others go on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from tpumlir.errors import TpumlirError
from tpumlir.regress.execute import PRELOAD, Job, Result, run
from tpumlir.workers import Died, Pool, WorkerStartError, how_it_ended

_TASKS = 400
"""Cases after which a worker makes place for a new one: what leaks in native code stays bounded."""
_LINES = 30


def threads_of(jobs: int) -> int:
    """How many threads a worker gets so that all of them have the machine."""
    return max(1, cores() // jobs)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


class Workers:
    """A pool of ``jobs`` processes with ``threads`` threads each. Use it as a context manager."""

    def __init__(self, jobs: int, threads: int) -> None:
        self.jobs = jobs
        self._logs = tempfile.TemporaryDirectory(prefix="tpumlir-regress-")
        self._pool = Pool(jobs, PRELOAD, threads=threads, setup=(_start, (self._logs.name,)), tasks=_TASKS)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._pool.close()
        self._logs.cleanup()

    def submit(self, job: Job, timeout: float) -> Future[Any]:
        """Start a case as soon as a process is free; ``outcome_of`` says what became of it."""
        return self._pool.submit(_run, job, limit=timeout)

    def outcome_of(self, future: Future[Any], timeout: float) -> Result:
        """The result of ``submit``. Raises: TpumlirError: no process starts."""
        try:
            found = future.result()
        except WorkerStartError as error:
            told = " ".join(self._log(error.pid).split())
            raise TpumlirError(f"{error}: {told}" if told else str(error)) from None
        if not isinstance(found, Died):
            assert isinstance(found, Result)
            return found
        if found.code is None:
            return Result({"status": "timeout", "message": f"took more than {timeout:g} s"})
        return Result({"status": "crashed", "message": _cause(found.code)}, {}, self._log(found.pid))

    def run(self, jobs: Iterable[tuple[int, Job, float]]) -> Iterator[tuple[int, Result]]:
        """Run (number, case, timeout) in order, as many at once as there are processes; yield as they end."""
        pending = iter(jobs)
        running: dict[Future[Any], tuple[int, float]] = {}
        while True:
            # One more than processes, so that none waits for us.
            while len(running) <= self.jobs:
                entry = next(pending, None)
                if entry is None:
                    break
                number, job, timeout = entry
                running[self.submit(job, timeout)] = (number, timeout)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, timeout = running.pop(future)
                yield number, self.outcome_of(future, timeout)

    def _log(self, pid: int | None) -> str:
        try:
            text = Path(self._logs.name, str(pid)).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[:_LINES])


def _start(logs: str) -> None:
    """What a new worker prints goes to a file, of which a crash tells the end."""
    import faulthandler

    log = os.open(Path(logs, str(os.getpid())), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(2)
    import onnxruntime  # noqa: F401 - now, and not in the time of the first case


def _run(job: Job) -> Result:
    """Run a case in a worker whose log has only what it says of this one."""
    os.ftruncate(2, 0)
    return run(job)


def _cause(code: int) -> str:
    how = how_it_ended(code)
    return f"the worker died of {how}" if code < 0 else f"the worker ended with {how}"
