"""What a bmodel says of its inputs beside the vendor's tables: ONNX types, and how pictures become them.

It names the inputs of the ONNX file that it does not read, too: they may be given, with the value that the
bmodel was made with (a digest of it, or nothing where no value counts).

It is JSON at the end of the blob, so that it travels with the file. The vendor's runtime does not see it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import BModelError

_FORMAT = "tpumlir bmodel inputs"
_VERSION = 1
_VERSION_OF_STAGES = 2
"""Of a file whose stages say different things."""

Note = tuple[str, Preprocess | None]


@dataclass(frozen=True)
class Notes:
    """Of one stage: its inputs by name, and those of the ONNX file that are none of it."""

    inputs: Mapping[str, Note] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


def write_notes(stages: Sequence[Notes]) -> bytes:
    """The bytes that hold the notes of all stages; none if there is nothing to say."""
    documents = [_document(notes) for notes in stages]
    if not any(documents):
        return b""
    if all(document == documents[0] for document in documents):
        whole = {"format": _FORMAT, "version": _VERSION, "inputs": {}, **documents[0]}
    else:
        whole = {"format": _FORMAT, "version": _VERSION_OF_STAGES, "stages": documents}
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()


def _document(notes: Notes) -> dict[str, Any]:
    noted = {
        name: {
            "onnx_type": preprocess.onnx_type if preprocess else kind,
            "preprocess": preprocess.attributes() if preprocess else {},
        }
        for name, (kind, preprocess) in notes.inputs.items()
        if kind or preprocess
    }
    return {key: value for key, value in (("inputs", noted), ("others", dict(notes.others))) if value}


def read_notes(name: str, data: bytes, stages: int) -> list[Notes]:
    """What ``write_notes`` wrote, for each stage. Raises: BModelError: something else, a later version."""
    if not data:
        return [Notes()] * stages
    try:
        document: Any = json.loads(data)
        if document["format"] != _FORMAT or document["version"] not in {_VERSION, _VERSION_OF_STAGES}:
            raise BModelError(
                f"{name}: expected notes on the inputs of version {_VERSION} or {_VERSION_OF_STAGES}, got "
                f"{document['version']} (read the file with the tpumlir that wrote it)"
            )
        if document["version"] == _VERSION:
            return [_notes(document)] * stages
        if len(document["stages"]) != stages:
            raise BModelError(
                f"{name}: expected notes on the inputs of {stages} stages, got {len(document['stages'])}"
            )
        return [_notes(part) for part in document["stages"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise BModelError(f"{name}: expected notes on the inputs, got {what}") from None


def _notes(document: Any) -> Notes:
    inputs = {
        key: (
            str(note["onnx_type"]),
            Preprocess.from_attributes(note["preprocess"], str(note["onnx_type"])),
        )
        for key, note in document.get("inputs", {}).items()
    }
    return Notes(inputs, {key: str(value) for key, value in document.get("others", {}).items()})
