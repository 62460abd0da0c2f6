"""The folder that is handed on: the model, its input, how to see the fault, what was done."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from tpumlir.files import all_or_none, atomic_write
from tpumlir.onnx.load import reads
from tpumlir.reduce.case import INPUT, MODEL, Case
from tpumlir.reduce.outcome import Kind

_SCRIPT = """#!/bin/sh
# Ends with 0 if the model still shows it, with 1 if it does not.
cd "$(dirname "$0")" || exit 2
exec {command}
"""

_README = """# {title}

{shown}

- `{model}`: {size}
{input}- `run.sh`: judges the model again and ends with 0 if it still shows this
{files}
{nodes}

The same by hand:

    {command}
{compile}
{progress}. It was made of `{source}` ({before}) by tpumlir {version}
with onnx {onnx} and onnxruntime {runtime}.
"""


@dataclass(frozen=True)
class Report:
    """What stays the same while cases get smaller; ``flags`` are the command's, for files of the folder."""

    folder: Path
    source: Path
    predicate: str
    flags: Sequence[str]
    compile_flags: Sequence[str] | None
    files: Sequence[Path]
    """Files of the user that the flags name: they are copied into the folder."""
    before: tuple[int, int]

    def write(self, case: Case, kind: Kind, steps: Sequence[str], *, progress: str) -> None:
        """Write the folder for ``case``. Raises: OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = [*self.flags, *(["--test_input", INPUT] if case.inputs else [])]
        command = shlex.join(["tpumlir", "reduce", MODEL, "--check", *flags])
        by_compile = ""
        if self.compile_flags is not None:
            given = [*self.compile_flags, *(["--test_input", INPUT] if case.inputs else [])]
            floats = [value for value in case.inputs.values() if value.dtype.kind == "f"]
            if not all(np.isfinite(value).all() for value in floats) and "--allow_nonfinite" not in given:
                given.append("--allow_nonfinite")
            by_compile = f"    {shlex.join(['tpumlir', 'compile', MODEL, *given])}\n"
        text = _README.format(
            title=f"{self.source.name}: {self.predicate}", shown=kind.text, model=MODEL,
            size=_size(case.size), command=command, compile=by_compile,
            input=f"- `{INPUT}`: {_inputs(case)}\n" if case.inputs else "",
            files="".join(f"- `{path.name}`: as it was given\n" for path in self.files),
            nodes="\n".join(f"    {line}" for line in lines_of(case)), progress=progress,
            source=self.source.name, before=_size(self.before), version=_version("tpumlir"),
            onnx=_version("onnx"), runtime=_version("onnxruntime"),
        )  # fmt: skip
        if steps:
            text += "\n## What was done\n\n" + "".join(f"{i}. {step}\n" for i, step in enumerate(steps, 1))
        with all_or_none():
            case.save(self.folder)
            for name, content in (("README.md", text), ("run.sh", _SCRIPT.format(command=command))):
                with atomic_write(self.folder / name) as stream:
                    stream.write(content.encode())
        (self.folder / "run.sh").chmod(0o755)

    def copy_files(self) -> None:
        """Copy the files of the user. Raises: OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.files:
            if path.resolve() != (self.folder / path.name).resolve():
                shutil.copy(path, self.folder / path.name)


def lines_of(case: Case, most: int = 40) -> list[str]:
    """The nodes in words: ``Conv(x, w) -> y``."""
    lines = []
    for node in case.proto.graph.node:
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        outer = [name for name in dict.fromkeys(reads(node)) if name not in node.input]
        inside = f" with {', '.join(outer)} in its bodies" if outer else ""
        operands = ", ".join(name or "-" for name in node.input)
        lines.append(f"{operator}({operands}){inside} -> {', '.join(name for name in node.output if name)}")
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most} more"]


def _size(size: tuple[int, int]) -> str:
    nodes, elements = size
    return f"{counted(nodes, 'node')}, {counted(elements, 'element')} of inputs and constants"


def counted(number: int, what: str) -> str:
    """``number`` of ``what``, in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _inputs(case: Case) -> str:
    return ", ".join(
        f"{name} {'x'.join(map(str, value.shape)) or 'scalar'} {value.dtype}"
        for name, value in list(case.inputs.items())[:6]
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of a source tree"
