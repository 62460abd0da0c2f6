"""Which operation and ONNX node each command came from, and where tensors are: a side file beside the bmodel.

``model.bmodel.json`` is bound to its bmodel by the digest, so that names of another build are never shown.
The bmodel runs without it; faults then name only the command.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tpumlir.bmodel.places import Home, Place, PlaceTables, Source
from tpumlir.files import atomic_write

_FORMAT = "tpumlir bmodel debug"
_VERSION = 2
_TYPES = re.compile(r" : \([^()]*\) -> ")
_DAMAGED = (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError)


class DebugEntry(NamedTuple):
    """The ``op`` and ONNX ``node`` behind a command; ``command`` is its cmd_id within group and engine.

    ``tensor`` is what the operation computes, ``line`` the one of the Tpu text that has it (0: not known).
    """

    engine: str
    command: int
    op: str
    node: str
    group: int = 0
    tensor: str = ""
    line: int = 0


class Commands(NamedTuple):
    """Commands of an engine that follow each other and come from one operation."""

    group: int
    engine: str
    first: int
    last: int
    source: int


class DebugInfo:
    """What is known of the commands of one bmodel, and of its tensors."""

    def __init__(self, entries: Iterable[DebugEntry] = ()) -> None:
        names: dict[Source, int] = {}
        # One entry for each command: the last one.
        latest = {(e.group, e.engine, e.command): e for e in entries}
        self._commands = _runs(
            (e.group, e.engine, e.command, names.setdefault(_source_of(e), len(names)))
            for e in latest.values()
        )
        self._sources = list(names)
        self._tables = PlaceTables()

    @staticmethod
    def of(sources: Sequence[Source], commands: Sequence[Commands], tables: PlaceTables) -> DebugInfo:
        """From tables, as a compiler or a file has them."""
        info = DebugInfo()
        info._sources, info._commands, info._tables = list(sources), list(commands), tables
        return info

    def __len__(self) -> int:
        return sum(run.last - run.first + 1 for run in self._commands)

    @cached_property
    def _by_engine(self) -> dict[tuple[int, str], tuple[list[int], list[Commands]]]:
        found: dict[tuple[int, str], list[Commands]] = {}
        for run in self._commands:
            found.setdefault((run.group, run.engine), []).append(run)
        for runs in found.values():
            runs.sort(key=lambda run: run.first)
        return {key: ([run.first for run in runs], runs) for key, runs in found.items()}

    def find(self, group: int, engine: str, command: int) -> DebugEntry | None:
        """Return the entry of a command, or None."""
        firsts, runs = self._by_engine.get((group, engine), ((), ()))
        place = bisect_right(firsts, command) - 1
        if place < 0 or runs[place].last < command:
            return None
        source = self._sources[runs[place].source]
        return DebugEntry(engine, command, source.op, source.node, group, source.tensor, source.line)

    def moved(self, place: Callable[[int], int]) -> DebugInfo:
        """The same of a bmodel that has each address of global memory where ``place`` says."""
        return DebugInfo.of(self._sources, self._commands, self._tables.moved(place))

    def entries(self) -> list[DebugEntry]:
        """Return all entries, by group, engine and command."""
        return sorted(
            (entry for key in self.order() if (entry := self.find(*key))),
            key=lambda entry: (entry.group, entry.engine, entry.command),
        )

    def order(self) -> Iterator[tuple[int, str, int]]:
        """Group, engine and id of the commands in the order in which they were made.

        They mean what they would mean one after another in that order.
        """
        for run in self._commands:
            for command in range(run.first, run.last + 1):
                yield run.group, run.engine, command

    @property
    def sources(self) -> Sequence[Source]:
        """The operations that the commands come from."""
        return self._sources

    @property
    def commands(self) -> Sequence[Commands]:
        """The commands in the order in which they were made."""
        return self._commands

    @property
    def tables(self) -> PlaceTables:
        """Places as they are written."""
        return self._tables

    @cached_property
    def places(self) -> Sequence[Place]:
        """Where pieces of tensors can be read, in the order in which they come; none if that is not known."""
        try:
            return self._tables.places(self._sources)
        except _DAMAGED:
            return []

    @cached_property
    def tensors(self) -> Mapping[str, Home]:
        """The tensors that have places, by name."""
        try:
            return {home.name: home for home in self._tables.homes}
        except _DAMAGED:
            return {}


def short_line(line: str) -> str:
    """A line of the Tpu text without its types and its location."""
    return _TYPES.split(line.strip(), maxsplit=1)[0]


def with_lines(sources: Iterable[Source], text: str) -> list[Source]:
    """Operations with their lines of the Tpu text, as it is written into a file."""
    lines = ["", *text.splitlines()]  # they count from 1, and 0 is not known
    return [
        source._replace(text=short_line(lines[source.line] if source.line < len(lines) else ""))
        for source in sources
    ]


def _source_of(entry: DebugEntry) -> Source:
    return Source(entry.op, entry.node, entry.tensor, entry.line)


def _runs(commands: Iterable[tuple[int, str, int, int]]) -> list[Commands]:
    """Commands that follow each other as one row."""
    runs: list[Commands] = []
    for group, engine, command, source in commands:
        last = runs[-1] if runs else None
        if last and (last.group, last.engine, last.last + 1, last.source) == (group, engine, command, source):
            runs[-1] = last._replace(last=command)
        else:
            runs.append(Commands(group, engine, command, command, source))
    return runs


def debug_path(path: str | Path) -> Path:
    """Return the name of the side file of a bmodel."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def write_debug(path: str | Path, digest: bytes, infos: Sequence[DebugInfo]) -> None:
    """Write the side file of the bmodel ``path``: one document, or one for each of several stages.

    Raises: OSError.
    """
    parts = [_document(info) for info in infos]
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "bmodel_sha256": digest.hex(),
        **(parts[0] if len(parts) == 1 else {"stages": parts}),
    }
    with atomic_write(debug_path(path)) as stream:
        stream.write(json.dumps(document, indent=None, separators=(",", ":")).encode() + b"\n")


def _document(info: DebugInfo) -> dict[str, Any]:
    """What is known of a stage as plain values."""
    return {
        "sources": [source[:4] for source in info.sources],
        "texts": [source.text for source in info.sources],
        "columns": ["group", "engine", "first command", "last command", "source"],
        "commands": info.commands,
        "tensors": info.tables.tensors,
        "layouts": info.tables.layouts,
        "places": info.tables.rows,
    }


def read_debug(path: str | Path, digest: bytes, commands: Sequence[int]) -> list[DebugInfo] | None:
    """Return the debug info beside the bmodel ``path`` by stages; None if there is none for this very file.

    ``commands`` is how many each stage can have: nothing that speaks of more is made for it. A file of
    version 1 has no places.
    """
    try:
        document = json.loads(debug_path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("bmodel_sha256") != digest.hex():
        return None
    try:
        parts = [document] if len(commands) == 1 else document["stages"]
        return [_info(part, most) for part, most in zip(parts, commands, strict=True)]
    except _DAMAGED:
        return None


def _info(document: Mapping[str, Any], commands: int) -> DebugInfo:
    sources = [_source(*row) for row in document["sources"]]
    texts = document.get("texts")  # of files that were written before they had any: none
    if texts is not None:
        sources = [s._replace(text=str(text)) for s, text in zip(sources, texts, strict=True)]
    runs = list(_commands(document, len(sources), commands))
    tables = PlaceTables(*(document.get(key, ()) for key in ("tensors", "layouts", "places")))
    return DebugInfo.of(sources, runs, tables)


def _source(op: object, node: object, tensor: object = "", line: object = 0) -> Source:
    return Source(str(op), str(node), str(tensor), line if type(line) is int else 0)


def _commands(document: Mapping[str, Any], sources: int, commands: int) -> Iterator[Commands]:
    total = 0
    for group, engine, first, last, source in document["commands"]:
        # cmd_id has 20 bits; a few damaged rows must not count for ever.
        total += last - first + 1
        if not 0 <= first <= last < 1 << 20 or total > commands:
            raise ValueError("expected command ids of 20 bits, and no more of them than commands")
        if not 0 <= source < sources:
            raise IndexError("expected a source")
        yield Commands(int(group), str(engine), int(first), int(last), int(source))
