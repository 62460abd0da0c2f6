"""What a bmodel says of its inputs beside the vendor's tables: ONNX types, and how pictures become them.

It names the inputs of the ONNX file that it does not read, too: they may be given, with the value that the
bmodel was made with (a digest of it, or nothing where no value counts).

It is JSON at the end of the blob, so that it travels with the file. The vendor's runtime does not see it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import BModelError

_FORMAT = "tpumlir bmodel inputs"
_VERSION = 1

Note = tuple[str, Preprocess | None]


def write_notes(inputs: Mapping[str, Note], others: Mapping[str, str] | None = None) -> bytes:
    """The bytes that hold ``inputs`` and ``others``, by name; none if there is nothing to say."""
    noted = {
        name: {
            "onnx_type": preprocess.onnx_type if preprocess else kind,
            "preprocess": preprocess.attributes() if preprocess else {},
        }
        for name, (kind, preprocess) in inputs.items()
        if kind or preprocess
    }
    if not noted and not others:
        return b""
    document: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "inputs": noted}
    if others:
        document["others"] = dict(others)
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read_notes(name: str, data: bytes) -> tuple[dict[str, Note], dict[str, str]]:
    """What ``write_notes`` wrote. Raises: BModelError: something else, or of a later version."""
    if not data:
        return {}, {}
    try:
        document: Any = json.loads(data)
        if (document["format"], document["version"]) != (_FORMAT, _VERSION):
            raise BModelError(
                f"{name}: expected notes on the inputs of version {_VERSION}, got {document['version']} "
                "(read the file with the tpumlir that wrote it)"
            )
        inputs = {
            key: (
                str(note["onnx_type"]),
                Preprocess.from_attributes(note["preprocess"], str(note["onnx_type"])),
            )
            for key, note in document["inputs"].items()
        }
        return inputs, {key: str(value) for key, value in document.get("others", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise BModelError(f"{name}: expected notes on the inputs, got {what}") from None
