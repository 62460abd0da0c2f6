"""Which tensors failed, out of what other commands print with ``--json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tpumlir.errors import InputError

STATES = ("failed", "affected", "passed")
"""What a tensor can be, the worst first; affected: only by what arrives at it."""

_WORDS = {
    "failed": (
        "failed", "wrong", "off", "not run", "unlike", "element", "nonfinite", "shape", "dtype", "missing",
        "unexpected",
    ),
    "affected": ("accumulated", "by its inputs", "consequence"),
    "passed": ("passed", "ok", "right", "equal", "similar"),
}  # fmt: skip
"""How commands call it."""


class Verdict(NamedTuple):
    """One of ``STATES``, and what is said of it."""

    state: str
    message: str = ""


def read(path: Path) -> dict[str, Verdict]:
    """The verdicts of a document of ``npz_tool compare``, ``isolate``, ``verify``, ``model_deploy`` ...

    Whatever the document is, an object in it that names a tensor and has a verdict counts; of several on one
    tensor the worst. Raises: InputError: no JSON, or no verdict on any tensor in it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "something else"
        raise InputError(
            f"{path}: expected JSON, as npz_tool compare, isolate and verify print it with --json, got "
            f"{reason}"
        ) from None
    found: dict[str, Verdict] = {}
    for name, verdict in _walk(document):
        known = found.get(name)
        if known is None or STATES.index(verdict.state) < STATES.index(known.state):
            found[name] = verdict
    if not found:
        raise InputError(f"{path}: expected verdicts on tensors, got none (is it what --json printed?)")
    return found


def _walk(value: Any) -> Iterator[tuple[str, Verdict]]:
    if isinstance(value, Mapping):
        own = _own(value)
        if own:
            yield own
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _own(entry: Mapping[str, Any]) -> tuple[str, Verdict] | None:
    """What an object says of one tensor, if it does."""
    name = next((entry[key] for key in ("tensor", "name") if isinstance(entry.get(key), str)), None)
    if not name:
        return None
    words = [entry[key] for key in ("verdict", "status") if isinstance(entry.get(key), str)]
    state = next((s for s, known in _WORDS.items() if words and words[0].lower() in known), None)
    if isinstance(entry.get("passed"), bool) and state != "affected":
        state = "passed" if entry["passed"] else "failed"
    if state is None:
        return None
    parts = [*words, entry.get("message")]
    return name, Verdict(state, ": ".join(part for part in parts if isinstance(part, str) and part))
