"""Workers that judge models. What kills one, or keeps it busy for too long, is an outcome like others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir import workers
from tpumlir.errors import Diagnostic, InputError, TpumlirError
from tpumlir.reduce.outcome import Kind, Outcome, first_lines
from tpumlir.reduce.processes import HUNG, death_of, import_files, watched
from tpumlir.workers import Died

if TYPE_CHECKING:
    from tpumlir.data.inputs import TestInput
    from tpumlir.onnx.options import ImportOptions
    from tpumlir.reduce.request import Request, Task

_PRELOADED = ("tpumlir.reduce.warm",)
_GRACE = 10.0  # seconds in which a worker ends itself before it is killed


class TimeIsUpError(Exception):
    """The time of the whole reduction is over."""


class Pool:
    """``jobs`` processes that judge models; a context manager."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._workers = workers.Pool(jobs, _PRELOADED)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()

    def start(self, task: Task) -> Future[Any]:
        """Have a model judged."""
        limit = task.limit + (_GRACE / 2 if task.request.predicate == "script" else 0)
        return self._workers.submit(_judged, task, limit, limit=limit + _GRACE)

    def outcome(self, future: Future[Any], task: Task, left: Callable[[], float]) -> Outcome:
        """The outcome of ``start``. Raises: TimeIsUpError; TpumlirError: what is given does not fit."""
        found = self._wait(future, left)
        if isinstance(found, Died):
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
        wrong = self._wait(self._workers.submit(function, *arguments), left)
        if isinstance(wrong, Died):
            raise TpumlirError(f"{died} (exit code {wrong.code})")
        if wrong:
            raise TpumlirError(*(Diagnostic(message, node) for message, node in wrong))

    def _wait(self, future: Future[Any], left: Callable[[], float]) -> Any:
        done, _ = wait([future], timeout=max(0.0, left()))
        if not done:
            raise TimeIsUpError
        return future.result()


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
