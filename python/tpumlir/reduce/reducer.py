"""Candidates in order, judged by several workers at once: the first that shows the fault is taken.

Which one that is does not depend on the number of workers: what a later candidate showed counts only when all
before it did not. Every verdict goes into a journal, so a reduction that was killed goes through its
candidates again without judging them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tpumlir.reduce.case import INPUT, MODEL, Case
from tpumlir.reduce.outcome import Kind, Outcome
from tpumlir.reduce.pool import Pool, TimeIsUpError
from tpumlir.reduce.request import Request, Task


class Candidate(NamedTuple):
    """A model to be judged, what was done to get it, and what its maker wants to know of it."""

    case: Case
    step: str
    data: Any = None


@dataclass
class Journal:
    """The verdicts by the digests of models, in a file to which they are added one by one."""

    path: Path
    verdicts: dict[str, Outcome] = field(default_factory=dict)

    def read(self) -> None:
        """Take in what an earlier run wrote; a line that was being written when it ended is left out."""
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                document = json.loads(line)
            except ValueError:
                continue
            self.verdicts[document["model"]] = Outcome.of_json(document)

    def add(self, digest: str, outcome: Outcome) -> None:
        """Note a verdict."""
        self.verdicts[digest] = outcome
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"model": digest, **outcome.to_json()}) + "\n")


@dataclass
class Reducer:
    """The smallest case so far, and how smaller ones are judged.

    ``taken`` is called with every case that becomes the smallest.
    """

    pool: Pool
    request: Request
    state: Path
    journal: Journal
    deadline: float
    limit: float
    wanted: Kind | None = None
    outputs: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    any_kind: bool = False
    best: Case | None = None
    seen: Kind | None = None
    judged: int = 0
    steps: list[str] = field(default_factory=list)
    taken: Callable[[Case, Kind], None] = lambda _case, _kind: None
    _running: dict[str, tuple[Future[Any], Task]] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until the time is over."""
        return self.deadline - time.monotonic()

    def first(self, candidates: Iterable[Candidate | None]) -> Candidate | None:
        """The first of the candidates that shows the fault, which becomes the smallest case so far.

        Raises: TimeIsUpError.
        """
        for candidate, outcome in self._outcomes(c for c in candidates if c is not None):
            shown = outcome.shown(None if self.any_kind else self.wanted)
            if shown is None:
                continue
            if self.wanted is not None and not self.any_kind:
                self.wanted = self.wanted.narrowed(shown)
            self.best, self.seen = candidate.case, shown
            self.steps.append(candidate.step)
            self.taken(candidate.case, shown)
            return candidate
        return None

    def exhaust(self, candidates: Callable[[Case], Iterator[Candidate | None]]) -> None:
        """Take what ``candidates`` makes of the smallest case until none of it shows the fault.

        The ``data`` of a candidate is a name for what was done. What did not help is tried again when nothing
        else does any more: the case is another one then. Raises: TimeIsUpError.
        """
        failed: set[Any] = set()
        while self.best is not None:
            tried: list[Any] = []
            found = self.first(_numbered(candidates(self.best), failed, tried))
            if found is not None:
                # Not those that were made ahead: how many that are depends on the number of workers.
                failed.update(tried[: found.data])
            elif failed:
                failed = set()
            else:
                return

    def judge(self, case: Case) -> Outcome:
        """The verdict on one case. Raises: TimeIsUpError."""
        return self._finish(case.digest(), case)

    def _outcomes(self, candidates: Iterator[Candidate]) -> Iterator[tuple[Candidate, Outcome]]:
        """The verdicts in order, of which as many are worked on ahead as there are workers."""
        window: deque[tuple[Candidate, str]] = deque()
        more = True
        try:
            while more or window:
                while more and len(window) < self.pool.jobs:
                    candidate = next(candidates, None)
                    more = candidate is not None
                    if candidate is not None:
                        digest = candidate.case.digest()
                        self._start(digest, candidate.case)
                        window.append((candidate, digest))
                if window:
                    candidate, digest = window.popleft()
                    yield candidate, self._finish(digest, candidate.case)
        finally:
            self._collect()

    def _start(self, digest: str, case: Case) -> None:
        if digest in self.journal.verdicts or digest in self._running:
            return
        if self.left() <= 0:
            raise TimeIsUpError
        folder = self.state / "tasks" / digest
        case.save(folder)
        task = Task(
            self.request, str(folder), str(folder / MODEL), str(folder / INPUT) if case.inputs else None,
            wanted=None if self.any_kind else self.wanted, outputs=self.outputs, limit=self.limit,
            judges=self.judges, part=True,
        )  # fmt: skip
        self._running[digest] = (self.pool.start(task), task)

    def _finish(self, digest: str, case: Case) -> Outcome:
        if digest not in self.journal.verdicts:
            self._start(digest, case)
            future, task = self._running[digest]
            outcome = self.pool.outcome(future, task, self.left)
            self._note(digest, outcome)
        return self.journal.verdicts[digest]

    def _note(self, digest: str, outcome: Outcome) -> None:
        _, task = self._running.pop(digest)
        self.judged += 1
        self.journal.add(digest, outcome)
        shutil.rmtree(task.folder, ignore_errors=True)

    def _collect(self) -> None:
        """Note the verdicts on what was started ahead and is done, and drop what was not begun."""
        for digest, (future, task) in list(self._running.items()):
            if future.done():
                self._note(digest, self.pool.outcome(future, task, self.left))
            elif not future.running():
                future.cancel()
                del self._running[digest]
                shutil.rmtree(task.folder, ignore_errors=True)


def _numbered(
    candidates: Iterator[Candidate | None], failed: set[Any], tried: list[Any]
) -> Iterator[Candidate]:
    """The candidates that have not failed, each with its number; ``tried`` gets their names."""
    for candidate in candidates:
        if candidate is None or candidate.data in failed:
            continue
        tried.append(candidate.data)
        yield candidate._replace(data=len(tried) - 1)
