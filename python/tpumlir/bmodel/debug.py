"""Which operation and ONNX node each command came from: a side file beside the bmodel.

``model.bmodel.json`` is bound to its bmodel by the digest, so that names of another build are never shown.
The bmodel runs without it; faults then name only the command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tpumlir.files import atomic_write

_FORMAT = "tpumlir bmodel debug"
_VERSION = 1


class DebugEntry(NamedTuple):
    """The ``op`` and ONNX ``node`` behind a command; ``command`` is its cmd_id within group and engine."""

    engine: str
    command: int
    op: str
    node: str
    group: int = 0


class DebugInfo:
    """Entries of one bmodel, by command."""

    def __init__(self, entries: Iterable[DebugEntry] = ()) -> None:
        self._entries = {(e.group, e.engine, e.command): e for e in entries}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, group: int, engine: str, command: int) -> DebugEntry | None:
        """Return the entry of a command, or None."""
        return self._entries.get((group, engine, command))

    def moved(self, place: Callable[[int], int]) -> DebugInfo:  # noqa: ARG002 - names no address
        """The same of a bmodel that has each address of global memory where ``place`` says."""
        return self

    def entries(self) -> list[DebugEntry]:
        """Return all entries, by group, engine and command."""
        return [self._entries[key] for key in sorted(self._entries)]


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
    """The entries of a stage as plain values. Commands that follow each other share a row."""
    names: dict[tuple[str, str], int] = {}
    rows: list[list[Any]] = []
    for entry in info.entries():
        source = names.setdefault((entry.op, entry.node), len(names))
        last = rows[-1] if rows else None
        place = [entry.group, entry.engine]
        if last and last[:2] == place and last[3] + 1 == entry.command and last[4] == source:
            last[3] = entry.command
            continue
        rows.append([entry.group, entry.engine, entry.command, entry.command, source])
    return {
        "sources": [list(name) for name in names],
        "columns": ["group", "engine", "first command", "last command", "source"],
        "commands": rows,
    }


def read_debug(path: str | Path, digest: bytes, commands: Sequence[int]) -> list[DebugInfo] | None:
    """Return the debug info beside the bmodel ``path`` by stages; None if there is none for this very file.

    ``commands`` is how many each stage can have: nothing that speaks of more is made for it.
    """
    try:
        document = json.loads(debug_path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("bmodel_sha256") != digest.hex():
        return None
    try:
        parts = [document] if len(commands) == 1 else document["stages"]
        return [DebugInfo(_entries(part, most)) for part, most in zip(parts, commands, strict=True)]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return None


def _entries(document: Mapping[str, Any], commands: int) -> Iterable[DebugEntry]:
    sources: Sequence[Sequence[str]] = document["sources"]
    total = 0
    for group, engine, first, last, source in document["commands"]:
        op, node = sources[source]
        # cmd_id has 20 bits; a few damaged rows must not count for ever.
        total += last - first + 1
        if not 0 <= first <= last < 1 << 20 or total > commands:
            raise ValueError("expected command ids of 20 bits, and no more of them than commands")
        for command in range(first, last + 1):
            yield DebugEntry(str(engine), command, str(op), str(node), int(group))
