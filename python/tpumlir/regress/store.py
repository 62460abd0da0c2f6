"""The folder of results: outcomes by content, runs one after the other, what the files were.

    cache/ab/KEY.json    one outcome, whoever made it
    runs/STAMP-PID/      a run: what it is, a journal while it goes on, its results and times
    results.json, results.times.json    those of the last run that reached its end
    digests.json         the digests of files

Every file appears whole or not at all, and each run has a folder of its own, so several may go on at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tpumlir.files import all_or_none, atomic_write
from tpumlir.regress.contents import Digests
from tpumlir.regress.execute import Result

_KEPT = 100
"""Runs that are kept."""
_SAMPLES = 9
"""Repetitions that are kept of a case: the last ones."""
_LASTING = {"passed", "failed", "refused"}
"""What the same content gives again; a crash, a timeout or an error may be the machine's."""


def write_json(path: Path, document: object) -> None:
    """Raises: OSError."""
    with atomic_write(path) as stream:
        stream.write(json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A document, or None if there is none that can be read."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def times_beside(results: Path) -> Path:
    """The file with the times of a results file."""
    return results.with_name(f"{results.name.removesuffix('.json')}.times.json")


@dataclass
class Run:
    """A run that goes on. Its journal has every case that is done, one line each."""

    folder: Path
    lock: TextIO
    journal: TextIO
    done: dict[str, Result] = field(default_factory=dict)
    """By key: what the run that is resumed has done."""
    resumed: bool = False

    def record(self, key: str, case: str, result: Result) -> None:
        """Note a case that is done; a process that is killed after this has not lost it. Raises: OSError."""
        line = json.dumps({"key": key, "case": case, **result.to_json()}, separators=(",", ":"))
        self.journal.write(f"{line}\n")
        self.journal.flush()

    def close(self) -> None:
        """Leave the run as it is."""
        self.journal.close()
        self.lock.close()


@dataclass(frozen=True)
class Past:
    """A run that reached its end."""

    name: str
    summary: dict[str, Any]
    folder: Path

    def cases(self) -> dict[str, Any]:
        """Its results."""
        return read_json(self.folder / "results.json") or {}


class Store:
    """A folder of results. Raises: OSError, also from its methods."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("cache", "runs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.digests = Digests(folder / "digests.json")

    # --- outcomes -----------------------------------------------------------------------

    def cached(self, key: str, repeat: int = 1) -> Result | None:
        """The outcome of a content, if it was measured ``repeat`` times."""
        document = read_json(self._cached(key))
        if document is None:
            return None
        try:
            result = Result.of(document)
        except (KeyError, TypeError):
            return None
        return result if len(result.samples.get("wall", ())) >= repeat else None

    def keep(self, key: str, result: Result) -> str:
        """Keep an outcome, with the times of earlier ones; returns how it differs from those, if it does."""
        if result.outcome["status"] not in _LASTING:
            return ""
        before = self.cached(key, 0)
        changed = ""
        if before is not None:
            for name, values in before.samples.items():
                result.samples[name] = [*values, *result.samples.get(name, ())][-_SAMPLES:]
            changed = _changed(before.outcome, result.outcome)
        place = self._cached(key)
        place.parent.mkdir(exist_ok=True)
        with atomic_write(place) as stream:
            stream.write(json.dumps(result.to_json(), separators=(",", ":")).encode())
        return changed

    def _cached(self, key: str) -> Path:
        return self.folder / "cache" / key[:2] / f"{key}.json"

    # --- runs ---------------------------------------------------------------------------

    def begin(self, suite: str, about: Mapping[str, Any], *, resume: bool = False) -> Run:
        """A new run, or with ``resume`` the last one of the suite that was interrupted, if there is one."""
        if resume:
            for folder in self._folders():
                run = self._resumed(folder, suite)
                if run:
                    return run
        now = time.time_ns()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(now // 10**9))
        folder = self.folder / "runs" / f"{stamp}.{now % 10**9:09}-{os.getpid()}"
        folder.mkdir()
        lock = _locked(folder / "lock")
        assert lock is not None, folder  # nobody else knows the folder yet
        write_json(folder / "run.json", {"suite": suite, "started": time.time(), **about})
        return Run(folder, lock, (folder / "journal.jsonl").open("a", encoding="utf-8"))

    def _resumed(self, folder: Path, suite: str) -> Run | None:
        about = read_json(folder / "run.json")
        if about is None or about.get("suite") != suite or (folder / "summary.json").exists():
            return None
        lock = _locked(folder / "lock")
        if lock is None:  # it goes on
            return None
        done = {str(entry["key"]): Result.of(entry) for entry in _entries(folder / "journal.jsonl")}
        journal = (folder / "journal.jsonl").open("a", encoding="utf-8")
        journal.write("\n")  # the last line may be torn
        return Run(folder, lock, journal, done, resumed=True)

    def finish(
        self, run: Run, results: Mapping[str, Any], times: Mapping[str, Any], summary: Mapping[str, Any]
    ) -> None:
        """Write the documents of a run that reached its end."""
        with all_or_none():
            for folder, name in ((run.folder, "results"), (self.folder, "results")):
                write_json(folder / f"{name}.json", results)
                write_json(folder / f"{name}.times.json", times)
            write_json(run.folder / "summary.json", summary)
        (run.folder / "journal.jsonl").unlink(missing_ok=True)
        run.close()
        for folder in self._folders()[_KEPT:]:
            lock = _locked(folder / "lock")
            if lock is not None:  # it does not go on
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()

    def history(self, suite: str) -> list[Past]:
        """The runs of the suite that reached their end, the oldest first."""
        found = []
        for folder in reversed(self._folders()):
            summary = read_json(folder / "summary.json")
            if summary and summary.get("suite") == suite:
                found.append(Past(folder.name, summary, folder))
        return found

    def seconds(self) -> dict[str, float]:
        """What each case took when it last ran, by its id."""
        times = read_json(times_beside(self.folder / "results.json")) or {}
        found = {}
        for case, samples in times.get("cases", {}).items():
            if samples.get("wall"):
                found[str(case)] = float(samples["wall"][-1])
        return found

    def _folders(self) -> list[Path]:
        """The runs, the newest first."""
        return sorted((self.folder / "runs").iterdir(), reverse=True)


def _locked(path: Path) -> TextIO | None:
    """A file that is locked as long as this process lives; None if another one has it."""
    stream = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        return None
    return stream


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; one that the end of a process has torn is not there."""
    try:
        text = journal.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "key" in entry and "outcome" in entry:
            yield entry


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """In which fields two outcomes of one content differ, in words."""
    fields = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {before.get(name)} then {after.get(name)}" for name in fields)
