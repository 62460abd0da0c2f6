"""Cases in processes of this machine: one that dies or hangs is an outcome, and the others go on.

The processes are pebble's, forked from a server that has loaded the compiler. They end when this process
does, however it ends.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import multiprocessing.forkserver
import os
import select
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as Expired
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.errors import TpumlirError
from tpumlir.regress.execute import PRELOAD, Job, Result, run

if TYPE_CHECKING:
    import pebble

_TASKS = 400
"""Cases after which a worker makes place for a new one: what leaks in native code stays bounded."""
_START = 300.0
"""Seconds for the first process, which reads the whole compiler from the disk."""
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
        self.jobs, self.threads = jobs, threads
        self._logs = tempfile.TemporaryDirectory(prefix="tpumlir-regress-")
        self._pool: pebble.ProcessPool | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None
        self._logs.cleanup()

    def submit(self, job: Job, timeout: float) -> Future[Result]:
        """Start a case as soon as a process is free; ``outcome_of`` says what became of it."""
        future: Future[Result] = self._running().schedule(_run, args=[job], timeout=timeout)
        return future

    def outcome_of(self, future: Future[Result], timeout: float) -> Result | None:
        """The result of a future that is done; None if it has to be submitted again."""
        import pebble

        try:
            return future.result()
        except Expired:
            return Result({"status": "timeout", "message": f"took more than {timeout:g} s"})
        except pebble.ProcessExpired as death:
            return Result(
                {"status": "crashed", "message": _cause(death.exitcode)},
                {},
                self._log(getattr(death, "pid", None)),
            )
        except BrokenProcessPool:  # a process died that had no case; those of the others are lost with it
            self._pool = None
            return None

    def run(self, jobs: Iterable[tuple[int, Job, float]]) -> Iterator[tuple[int, Result]]:
        """Run (number, case, timeout) in order, as many at once as there are processes; yield as they end."""
        pending = iter(jobs)
        running: dict[Future[Result], tuple[int, Job, float]] = {}
        again: list[tuple[int, Job, float]] = []
        while True:
            # One more than processes, so that none waits for us.
            while len(running) <= self.jobs:
                entry = again.pop() if again else next(pending, None)
                if entry is None:
                    break
                running[self.submit(entry[1], entry[2])] = entry
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                entry = running.pop(future)
                result = self.outcome_of(future, entry[2])
                if result is None:
                    again.append(entry)
                else:
                    yield entry[0], result

    def _running(self) -> pebble.ProcessPool:
        if self._pool is None:
            import pebble

            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(PRELOAD)
            with _environment(self.threads):
                multiprocessing.forkserver.ensure_running()
            self._pool = pebble.ProcessPool(
                self.jobs, _TASKS, _start, [self.threads, self._logs.name], context
            )
            self._check_start(self._pool)
        return self._pool

    def _check_start(self, pool: pebble.ProcessPool) -> None:
        """A process that cannot start would be made again for ever. Raises: TpumlirError."""
        try:
            pool.schedule(os.getpid).result(_START)
        except Exception as error:
            logs = sorted(Path(self._logs.name).iterdir())
            told = self._log(int(logs[-1].name)) if logs else ""
            reason = " ".join((told or str(error) or type(error).__name__).split())
            raise TpumlirError(f"no process for cases starts within {_START:g} s: {reason}") from None

    def _log(self, pid: int | None) -> str:
        try:
            text = Path(self._logs.name, str(pid)).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[:_LINES])


def _thread_settings(threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What the fork server gets: its libraries read the number of threads when they are loaded."""
    paths = [path for path in sys.path if path]
    wanted = {**_thread_settings(threads), "PYTHONPATH": os.pathsep.join(paths)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(threads: int, logs: str) -> None:
    """Make a new process a worker. What it prints goes to a file, of which a crash tells the end."""
    import faulthandler

    os.environ.update(_thread_settings(threads))
    _end_with_parent()
    log = os.open(Path(logs, str(os.getpid())), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(2)
    import onnxruntime  # noqa: F401 - now, and not in the time of the first case


def _run(job: Job) -> Result:
    """Run a case in a worker whose log has only what it says of this one."""
    os.ftruncate(2, 0)
    return run(job)


def _end_with_parent() -> None:
    """Have the kernel kill this process when the one that wants its results ends, whatever it does then.

    That is not the fork server, which lives as long as its children. A thread that waits for the end would
    not do: native code that hangs may hold the lock of the interpreter.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    pipe = int(parent.sentinel)  # nobody writes into it; the end of the other process closes it
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it was closed before
        os._exit(0)


def _cause(code: Any) -> str:
    """How a process ended, in words."""
    if isinstance(code, int) and code < 0:
        try:
            return f"the worker died of {signal.Signals(-code).name}"
        except ValueError:
            return f"the worker died of signal {-code}"
    return f"the worker ended with exit code {code}"
