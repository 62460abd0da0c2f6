"""Processes that do what may kill them or keep them busy for ever: both are answers like others.

Each worker is watched by a thread that waits for its answer and for its end alike. Pools of libraries have
one queue for all workers and learn of a task's worker by a message; a worker that dies at once can be
faster than that, and its task is lost (seen with pebble 5.2). Here it is known who has which task.

Workers are forked from a server that has loaded what they need. They end when the process that wants their
answers does, however it ends.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import multiprocessing.forkserver
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from tpumlir.errors import TpumlirError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

START = 300.0
"""Seconds for a worker to start; the first reads the whole compiler from the disk."""
_TASKS = 500
_END = 10.0  # seconds between the end of a worker's pipe and its own
_lock = Lock()
"""To start a process asks all others for their exit codes, of which there is one to be had."""


class Died(NamedTuple):
    """In the place of an answer: the exit code of a worker; None if it was killed for taking too long."""

    code: int | None
    pid: int


class WorkerStartError(TpumlirError):
    """A worker died, or failed, before its first task."""

    def __init__(self, reason: str, pid: int | None) -> None:
        super().__init__(f"no worker process starts within {START:g} s: {reason}")
        self.reason, self.pid = reason, pid


def how_it_ended(code: int) -> str:
    """An exit code in words: ``SIGABRT``, ``exit code 3``."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}" if code < 0 else f"exit code {code}"


@dataclass
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    tasks: int = 0

    @property
    def pid(self) -> int:
        pid = self.process.pid
        assert pid is not None
        return pid

    def end(self) -> int | None:
        """Kill it, or nothing if it has ended; returns its exit code."""
        self.process.kill()
        wait_for([self.process.sentinel])
        with _lock:
            self.process.join()
            code = self.process.exitcode
        self.pipe.close()
        return code


@dataclass
class _Task:
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    limit: float | None


class Pool:
    """``jobs`` workers, each started when there is a task for it; a context manager.

    ``preload``: modules that the server loads, if it does not run yet. ``threads``: of the libraries in each
    worker; 0: theirs to choose. ``setup`` is called in a new worker; its time counts for no task. After
    ``tasks`` tasks a worker is replaced: what models leave behind in native code must not add up.
    """

    def __init__(
        self,
        jobs: int,
        preload: Sequence[str] = (),
        *,
        threads: int = 0,
        setup: tuple[Callable[..., object], tuple[Any, ...]] | None = None,
        tasks: int = _TASKS,
    ) -> None:
        self.jobs, self.preload, self.threads, self.setup, self.tasks = jobs, preload, threads, setup, tasks
        self._context = multiprocessing.get_context("forkserver")
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._state = Lock()
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []
        self._closed = False
        # Daemons: a process that ends does not wait for what its workers do.
        self._threads = [Thread(target=self._watch, name=f"worker-{n}", daemon=True) for n in range(jobs)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they do. What has not begun is cancelled."""
        with self._state:
            self._closed = True
            for worker in self._busy:
                worker.process.kill()  # its thread does the rest
        with suppress(Empty):
            while True:
                task = self._queue.get_nowait()
                if task is not None:
                    task.future.cancel()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        while self._idle:
            self._idle.pop().end()

    def submit(
        self, function: Callable[..., Any], *arguments: Any, limit: float | None = None
    ) -> Future[Any]:
        """Have ``function`` called in a worker: what it returns, or ``Died`` (also if it raises).

        ``limit``: seconds, after which the worker is killed. The future raises WorkerStartError.
        """
        task = _Task(Future(), function, arguments, limit)
        with self._state:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._queue.put(task)
        return task.future

    # --- in the threads --------------------------------------------------------------

    def _watch(self) -> None:
        while (task := self._queue.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                answer = self._run(task)
            except BaseException as error:  # it belongs to who waits for the answer
                task.future.set_exception(error)
            else:
                task.future.set_result(answer)
            del task  # a thread that waits keeps no answer

    def _run(self, task: _Task) -> Any:
        while True:
            worker = self._take()
            try:
                worker.pipe.send((task.function, task.arguments))
            except OSError:  # it has died of something else meanwhile
                self._drop(worker)
                continue
            except BaseException:  # what cannot be sent
                self._drop(worker)
                raise
            ready = wait_for([worker.pipe, worker.process.sentinel], task.limit)
            if worker.pipe in ready:
                with suppress(EOFError, OSError):
                    answer = worker.pipe.recv()
                    self._give_back(worker)
                    return answer
            if ready:  # the pipe may be closed a moment before the end
                wait_for([worker.process.sentinel], _END)
            code = self._drop(worker)
            return Died(code if ready else None, worker.pid)

    def _take(self) -> _Worker:
        """A worker that waits for a task. Raises: CancelledError: the pool is closed; WorkerStartError."""
        with self._state:
            if self._closed:
                raise CancelledError
            new = not self._idle
            worker = self._new() if new else self._idle.pop()
            self._busy.append(worker)
        if new:
            self._await_start(worker)
        worker.tasks += 1
        return worker

    def _new(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # The server's path is for itself: what workers start gets that of this process.
        path = os.environ.get("PYTHONPATH")
        given = (theirs, self.setup, _thread_settings(self.threads), path)
        process = self._context.Process(target=_serve, args=given, daemon=True)
        # Python runs the main module again in a new process, though nothing of it is needed here, and one
        # that does not ask for its __name__ would begin anew.
        with _lock:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                self._context.set_forkserver_preload([__name__, *self.preload])
                with _environment(self.threads):
                    multiprocessing.forkserver.ensure_running()
                process.start()
            except (OSError, EOFError) as error:
                ours.close()
                raise WorkerStartError(str(error) or type(error).__name__, None) from None
            finally:
                sys.modules["__main__"] = main
                theirs.close()
        return _Worker(process, ours)

    def _await_start(self, worker: _Worker) -> None:
        """Raises: WorkerStartError; CancelledError: the pool was closed meanwhile."""
        reason: str | None = "it takes longer"
        ready = wait_for([worker.pipe, worker.process.sentinel], START)
        if ready:
            reason = "it died"
            with suppress(EOFError, OSError):
                if worker.pipe.poll():
                    reason = worker.pipe.recv()
        if reason is None:
            return
        if ready:
            wait_for([worker.process.sentinel], _END)
        code = self._drop(worker)
        if self._closed:
            raise CancelledError
        raise WorkerStartError(f"{reason} ({how_it_ended(code or 0)})", worker.pid)

    def _give_back(self, worker: _Worker) -> None:
        if worker.tasks >= self.tasks:
            self._drop(worker)
            return
        with self._state:
            self._busy.remove(worker)
            self._idle.append(worker)

    def _drop(self, worker: _Worker) -> int | None:
        code = worker.end()
        with self._state:
            self._busy.remove(worker)
        return code


def _thread_settings(threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"} if threads else {}


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
            _set(name, value)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


# --- in the worker -----------------------------------------------------------------


def _serve(
    pipe: Connection,
    setup: tuple[Callable[..., object], tuple[Any, ...]] | None,
    settings: dict[str, str],
    path: str | None,
) -> None:
    """Do what is asked for, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started this
    _end_with_client()
    os.environ.update(settings)
    _set("PYTHONPATH", path)
    if setup is not None:
        try:
            setup[0](*setup[1])
        except Exception as error:
            pipe.send(" ".join(f"{type(error).__name__}: {error}".split()))
            raise
    pipe.send(None)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(function(*arguments))


def _end_with_client() -> None:
    """Have the kernel kill this process when the one that wants its answers ends, whatever it does then.

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
