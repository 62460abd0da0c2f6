"""The same cases on a Dask cluster, whose workers need no file of this machine.

Files travel by content: each is a task of its own that the cases of a model depend on, so that it is sent
once, handed on between workers, and made again if the worker that had it dies. A case runs in a process of
its own on the worker, as it would here.
"""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.util
import queue
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.errors import TpumlirError
from tpumlir.regress.contents import Digests, compiler, differing
from tpumlir.regress.execute import Job, Result
from tpumlir.regress.pool import Workers
from tpumlir.regress.suite import split_input

if TYPE_CHECKING:
    import distributed

_CONNECT = 10.0
_ALONE = 120.0
"""Seconds for which the cluster may be without a worker."""
_ASK = 1.0
"""Seconds after which the scheduler is asked again for its workers."""
_AHEAD = 2
"""Cases that each thread of a worker has, itself or waiting: no more of them lie in the scheduler."""


@dataclass(frozen=True)
class Parcel:
    """A job whose files are named by their place in a folder that the worker makes."""

    job: Job
    paths: tuple[str, ...]
    timeout: float
    compiler: Mapping[str, str]
    threads: int


class DifferentCompilerError(Exception):
    """A worker has another version than the client."""


# --- on the worker ---------------------------------------------------------------------------

_lock = threading.Lock()
_workers: list[Workers] = []


def file_content(data: bytes) -> bytes:
    """A file as a task: Dask keeps its result on the workers, and calls this again when it is lost."""
    return data


def run_parcel(parcel: Parcel, contents: list[bytes]) -> dict[str, Any]:
    """Run a case on a worker. Raises: DifferentCompilerError."""
    wrong = differing(dict(parcel.compiler), compiler())
    if wrong:
        raise DifferentCompilerError(_differs(_address(), wrong))
    with tempfile.TemporaryDirectory(prefix="tpumlir-case-") as folder:
        for path, data in zip(parcel.paths, contents, strict=True):
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        pool = _pool(parcel.threads)
        job = _placed(parcel.job, Path(folder))
        return pool.outcome_of(pool.submit(job, parcel.timeout), parcel.timeout).to_json()


def _pool(threads: int) -> Workers:
    """The processes of this worker, made with its first case."""
    with _lock:
        if not _workers:
            import distributed

            # Workers of a nanny are daemons, which may have no children; ours end with them in any case.
            multiprocessing.current_process().daemon = False
            pool = Workers(distributed.get_worker().state.nthreads, threads)
            # Before the end of this process waits for its children.
            multiprocessing.util.Finalize(None, pool.close, exitpriority=10)
            _workers.append(pool)
        return _workers[0]


def _placed(job: Job, folder: Path) -> Job:
    """The job with its files in ``folder``."""
    files = {}
    for option, given in job.case.files.items():
        pairs = [split_input(text) for text in given]
        files[option] = tuple(
            f"{name}={folder / file}" if name else str(folder / file) for name, file in pairs
        )
    case = replace(job.case, model=folder / job.case.model, files=files)
    return replace(job, case=case, plugin=str(folder / job.plugin) if job.plugin else None)


def _address() -> str:
    import distributed

    return str(distributed.get_worker().address)


def _differs(worker: str, wrong: list[str]) -> str:
    return f"worker {worker} has another compiler: {', '.join(wrong)}; install the same version there"


# --- here ------------------------------------------------------------------------------------


def run_on_cluster(
    address: str, jobs: Iterable[tuple[int, Job, float]], digests: Digests, threads: int
) -> Iterator[tuple[int, Result]]:
    """Run (number, case, timeout) on the cluster at ``address``; yields as they end.

    Raises: TpumlirError: no cluster there, no worker for too long, or one with another compiler.
    """
    with _client(address) as client:
        _check_workers(client)
        yield from _Cluster(client, digests, threads).run(jobs)


@contextmanager
def _client(address: str) -> Iterator[distributed.Client]:
    try:
        import distributed
    except ImportError:
        raise TpumlirError("--dask needs the package distributed: pip install 'tpumlir[cluster]'") from None
    try:
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise TpumlirError(f"{address}: expected the address of a Dask scheduler: {reason}") from None
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]


def ours() -> dict[str, str]:
    """What every worker must have."""
    return compiler()


def _check_workers(client: distributed.Client) -> None:
    """Refuse workers that would compile something else. Raises: TpumlirError."""
    expected = ours()
    try:
        client.wait_for_workers(1, timeout=_ALONE)
        found = client.run(compiler, on_error="return")
    except (TimeoutError, OSError) as error:
        raise TpumlirError(f"the Dask cluster has no worker: {' '.join(str(error).split())}") from None
    for worker, theirs in sorted(found.items()):
        if isinstance(theirs, BaseException):
            reason = " ".join(str(theirs).split())
            raise TpumlirError(f"worker {worker} cannot run tpumlir (is it installed there?): {reason}")
        wrong = differing(expected, theirs)
        if wrong:
            raise TpumlirError(_differs(worker, wrong))


class _Cluster:
    """Keeps the workers busy, and no more in the scheduler than that takes."""

    def __init__(self, client: distributed.Client, digests: Digests, threads: int) -> None:
        self.client, self.digests, self.threads = client, digests, threads
        self.files: dict[str, distributed.Future[Any]] = {}
        self.uses: dict[str, int] = {}
        self.seen = time.monotonic()
        self.asked, self.slots = -math.inf, 0

    def run(self, jobs: Iterable[tuple[int, Job, float]]) -> Iterator[tuple[int, Result]]:
        """As ``run_on_cluster``."""
        done: queue.SimpleQueue[distributed.Future[Any]] = queue.SimpleQueue()
        pending = iter(jobs)
        running: dict[distributed.Future[Any], tuple[int, list[str]]] = {}
        ended = False
        while True:
            while not ended and len(running) < self._room():
                entry = next(pending, None)
                if entry is None:
                    ended = True
                    break
                future, keys = self._submit(*entry)
                running[future] = (entry[0], keys)
                future.add_done_callback(done.put)  # type: ignore[no-untyped-call]
            if not running:
                if ended:
                    return
                time.sleep(0.2)
                continue
            try:
                future = done.get(timeout=1)
            except queue.Empty:
                self._room()
                continue
            number, keys = running.pop(future)
            yield number, self._result(future)
            self._release(keys)

    def _room(self) -> int:
        """How many cases may be out. Raises: TpumlirError: no worker for too long."""
        now = time.monotonic()
        if now - self.asked > _ASK:
            self.asked = now
            self.slots = sum(self.client.nthreads().values())  # type: ignore[no-untyped-call]
        if self.slots:
            self.seen = now
        elif now - self.seen > _ALONE:
            raise TpumlirError(f"the Dask cluster has had no worker for {_ALONE:g} s; --resume goes on")
        return _AHEAD * self.slots

    def _submit(self, number: int, job: Job, timeout: float) -> tuple[distributed.Future[Any], list[str]]:
        packed, paths = _packed(job, self.digests)
        keys = [self._file(path) for path in paths.values()]
        parcel = Parcel(packed, tuple(paths), timeout, ours(), self.threads)
        future = self.client.submit(
            run_parcel, parcel, [self.files[key] for key in keys], key=f"tpumlir-case-{number}-{id(self)}",
            priority=-number, retries=0,
        )  # fmt: skip
        return future, keys

    def _file(self, path: Path) -> str:
        key = f"tpumlir-file-{self.digests.of(path)}"
        self.uses[key] = self.uses.get(key, 0) + 1
        if key not in self.files:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a model is a large argument, and means to be one
                self.files[key] = self.client.submit(file_content, path.read_bytes(), key=key)
        return key

    def _release(self, keys: list[str]) -> None:
        """Forget the files that no case out there needs."""
        for key in keys:
            self.uses[key] -= 1
            if not self.uses[key]:
                del self.files[key], self.uses[key]

    def _result(self, future: distributed.Future[Any]) -> Result:
        import distributed

        try:
            return Result.of(future.result())
        except DifferentCompilerError as error:
            raise TpumlirError(str(error)) from None
        except distributed.KilledWorker:
            return Result({"status": "crashed", "message": "every Dask worker that had it died"})


def _packed(job: Job, digests: Digests) -> tuple[Job, dict[str, Path]]:
    """The job with its files by name, and where they lie here: the model's beside it, others by content."""
    case = job.case
    folder = case.model.parent
    paths = {case.model.name: case.model}
    for name in digests.external(case.model):
        if (folder / name).is_file():
            paths[name] = folder / name

    def place(text: str) -> str:
        path = Path(text)
        name = path.name if path.parent == folder else f".{digests.of(path)}/{path.name}"
        paths[name] = path
        return name

    files = {}
    for option, given in case.files.items():
        pairs = [split_input(text) for text in given]
        files[option] = tuple(f"{name}={place(file)}" if name else place(file) for name, file in pairs)
    plugin = place(job.plugin) if job.plugin else None
    return replace(job, case=replace(case, model=Path(case.model.name), files=files), plugin=plugin), paths
