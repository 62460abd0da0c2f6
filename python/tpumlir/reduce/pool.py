"""Workers that judge models. What kills one, or keeps it busy for too long, is an outcome like others.

Each worker is watched by a thread that waits for its answer and for its end alike. Pools of libraries have
one queue for all workers and learn of a task's worker by a message; a worker that dies at once can be
faster than that, and its task is lost (seen with pebble 5.2). Here it is known who has which task.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from threading import Lock
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from tpumlir.errors import Diagnostic, InputError, TpumlirError
from tpumlir.reduce.outcome import Kind, Outcome, first_lines
from tpumlir.reduce.processes import HUNG, death_of, die_with_parent, import_files, watched

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from tpumlir.data.inputs import TestInput
    from tpumlir.onnx.options import ImportOptions
    from tpumlir.reduce.request import Request, Task

_PRELOADED = ("tpumlir.reduce.warm",)
_TASKS = 500  # of a worker before it is replaced: memory that models leave behind must not add up
_GRACE = 10.0  # seconds in which a worker ends itself before it is killed


class TimeIsUpError(Exception):
    """The time of the whole reduction is over."""


class _Died(NamedTuple):
    """In the place of an answer: the exit code of a worker; None if it was killed for taking too long."""

    code: int | None


@dataclass
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    tasks: int = 0

    def end(self, lock: Lock) -> int | None:
        """Kill it, or nothing if it has ended; returns its exit code.

        ``lock``: to start a process asks all others for their exit codes, of which there is one to be had.
        """
        self.process.kill()
        wait_for([self.process.sentinel])
        with lock:
            self.process.join()
            code = self.process.exitcode
        self.pipe.close()
        return code


class Pool:
    """``jobs`` processes that judge models; a context manager."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        self._threads = ThreadPoolExecutor(jobs, "reduce")
        self._lock = Lock()
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []
        self._closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for worker in self._busy:
                worker.process.kill()  # its thread does the rest
        self._threads.shutdown()
        for worker in self._idle:
            worker.end(self._lock)

    def start(self, task: Task) -> Future[Any]:
        """Have a model judged."""
        limit = task.limit + (_GRACE / 2 if task.request.predicate == "script" else 0)
        return self._threads.submit(self._run, _judged, (task, limit), limit + _GRACE)

    def outcome(self, future: Future[Any], task: Task, left: Callable[[], float]) -> Outcome:
        """The outcome of ``start``. Raises: TimeIsUpError; TpumlirError: what is given does not fit."""
        found = self._wait(future, left)
        if isinstance(found, _Died):
            return _died(task, found.code)
        if isinstance(found, Outcome):
            return found
        raise InputError(*(Diagnostic(message, node) for message, node in found))

    def trace(
        self,
        model: str,
        options: ImportOptions,
        test_input: TestInput,
        folder: Path,
        left: Callable[[], float],
    ) -> None:
        """Write the tensors of a run of ``model`` into ``folder``. Raises: TpumlirError, TimeIsUpError."""
        self._do(_traced, (model, options, test_input, str(folder)), left, f"ONNX Runtime dies of {model}")

    def calibrate(self, arguments: tuple[Any, ...], left: Callable[[], float]) -> None:
        """Write the calibration table of the whole model. Raises: TpumlirError, TimeIsUpError."""
        self._do(_calibrated, arguments, left, "the calibration dies")

    def _do(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], left: Callable[[], float], died: str
    ) -> None:
        wrong = self._wait(self._threads.submit(self._run, function, arguments, None), left)
        if isinstance(wrong, _Died):
            raise TpumlirError(f"{died} (exit code {wrong.code})")
        if wrong:
            raise TpumlirError(*(Diagnostic(message, node) for message, node in wrong))

    def _wait(self, future: Future[Any], left: Callable[[], float]) -> Any:
        done, _ = wait([future], timeout=max(0.0, left()))
        if not done:
            raise TimeIsUpError
        return future.result()

    # --- in the threads --------------------------------------------------------------

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...], limit: float | None) -> Any:
        """What ``function`` returns in a worker, or how that ended."""
        while True:
            worker = self._take()
            try:
                worker.pipe.send((function, arguments))
            except OSError:  # it has died of something else meanwhile
                self._drop(worker)
                continue
            ready = wait_for([worker.pipe, worker.process.sentinel], limit)
            if worker.pipe in ready:
                with suppress(EOFError, OSError):
                    answer = worker.pipe.recv()
                    self._give_back(worker)
                    return answer
            if ready:  # the pipe may be closed a moment before the end
                wait_for([worker.process.sentinel], _GRACE)
            code = self._drop(worker)
            return _Died(code if ready else None)

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise CancelledError
            worker = self._idle.pop() if self._idle else self._new()
            self._busy.append(worker)
        worker.tasks += 1
        return worker

    def _new(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        # Python runs the main module again in a new process, though nothing of it is needed here, and one
        # that does not ask for its __name__ would begin anew.
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main
        theirs.close()
        return _Worker(process, ours)

    def _give_back(self, worker: _Worker) -> None:
        if worker.tasks >= _TASKS:
            self._drop(worker)
            return
        with self._lock:
            self._busy.remove(worker)
            self._idle.append(worker)

    def _drop(self, worker: _Worker) -> int | None:
        code = worker.end(self._lock)
        with self._lock:
            self._busy.remove(worker)
        return code


def _died(task: Task, code: int | None) -> Outcome:
    death = death_of(Path(task.folder), code or 0, timeout=code is None)
    place = f" in {death.place}" if death.place else ""
    limit = f" in {task.limit:g} s" if death.hung else ""
    said = f": {death.said}" if death.said else ""
    text = first_lines(f"{death.how}{limit}{place}{said}")
    if task.request.predicate == "crashes":
        return Outcome(
            (Kind("crashes", (death.how, death.place), text),), seconds=task.limit if death.hung else 0
        )
    return Outcome((), f"{HUNG}{limit}" if death.hung else f"it crashes: {text}")


# --- in the worker -----------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    """Do what is asked for, until nobody asks any more."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started this
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(function(*arguments))


def _judged(task: Task, limit: float) -> Any:
    with watched(Path(task.folder), limit):
        try:
            import_files(task.request.imports)
            from tpumlir.reduce.judge import judge

            return judge(task)
        except TpumlirError as error:
            return _told(error)


def _traced(model: str, options: ImportOptions, test_input: TestInput, folder: str) -> Any:
    from tpumlir.reduce.values import trace

    try:
        trace(model, options, test_input, False, folder)
    except TpumlirError as error:
        return _told(error)
    return None


def _calibrated(
    request: Request, model: str, options: ImportOptions, samples: tuple[Any, Any, int], path: str
) -> Any:
    """The table that ``tpumlir compile --dataset`` would make."""
    from tpumlir.calibration.calibrate import calibrate
    from tpumlir.road.options import JudgeOptions
    from tpumlir.road.transform import transform_model

    dataset, data_list, number = samples
    try:
        import_files(request.imports)
        module = transform_model(model, options, JudgeOptions(validate=False)).module
        table = calibrate(
            module, dataset, data_list=data_list, input_num=number, allow_nonfinite=request.allow_nonfinite
        )
        table.write(path)
    except TpumlirError as error:
        return _told(error)
    return None


def _told(error: TpumlirError) -> list[tuple[str, str | None]]:
    return [(d.message, d.node) for d in error.diagnostics]
