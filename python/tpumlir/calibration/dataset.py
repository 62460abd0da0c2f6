"""The samples of a calibration: a folder, a list of files, one file, or arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir.data.inputs import read_inputs
from tpumlir.data.preprocess import Pictures, is_image
from tpumlir.errors import Diagnostic, InputError, Note, TpumlirError

if TYPE_CHECKING:
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
Source = str | Path | Sequence[str | Path] | Mapping[str, Array]
Given = str | Path | Iterable[Mapping[str, Array]]

_KINDS = "npz, npy, jpg, jpeg, png, bmp or yuv files"


@dataclass(frozen=True)
class Sample:
    """Values for all inputs of one run, and what messages call it."""

    where: str
    source: Source

    def read(self, module: Module, pictures: Pictures, *, allow_nonfinite: bool) -> dict[str, Array]:
        """The checked inputs. Raises: InputError: what does not fit, with the file."""
        try:
            return read_inputs(
                self.source, module, pictures, allow_nonfinite=allow_nonfinite, fixed_wins=True
            )
        except TpumlirError as error:
            named = (
                d
                if d.message.startswith(f"{self.where}:")
                else Diagnostic(f"{self.where}: {d}", None, d.notes)
                for d in error.diagnostics
            )
            raise InputError(*named, tensor=error.node) from None


def samples_of(
    module: Module, dataset: Given | None, data_list: str | Path | None = None, count: int = 0
) -> list[Sample]:
    """The samples of ``dataset`` or ``data_list``, at most ``count`` (0: all) of them, spread over the whole.

    Raises: InputError: neither or nothing there, files of two kinds in one folder.
    """
    if data_list is not None:
        if dataset is not None and not isinstance(dataset, (str, Path)):
            raise InputError("expected arrays or a list of files, got both")
        found = _of_list(Path(data_list), None if dataset is None else Path(dataset))
    elif dataset is None:
        raise InputError("expected a dataset: --dataset DIR or --data_list FILE")
    elif isinstance(dataset, (str, Path)):
        found = _of_path(Path(dataset), module)
    else:
        found = [Sample(f"sample {i}", dict(values)) for i, values in enumerate(dataset)]
        if not found:
            raise InputError("expected a dataset of samples, got none")
    if count > len(found):
        warnings.warn(f"{count} samples are asked for, there are {len(found)}", Note, stacklevel=2)
    chosen = spread(found, count)
    if len(chosen) == 1:
        warnings.warn(
            "one sample only: other inputs will reach other values (some 10 to 100 samples are usual)",
            Note,
            stacklevel=2,
        )
    return chosen


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most ``count`` (0: all) of the samples, from all over them.

    Files of one class often stand together: the first ones would be all of one kind.
    """
    if not count or count >= len(samples):
        return list(samples)
    return [samples[i * len(samples) // count] for i in range(count)]


def _of_path(path: Path, module: Module) -> list[Sample]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        if not _kind(path):
            raise InputError(f"{path}: expected a folder of samples, or one of {_KINDS}")
        return [Sample(str(path), path)]
    files = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path)))
    if not files:
        raise InputError(f"{path}: expected {_KINDS} in this folder, got none")
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kinds.setdefault(_kind(file), []).append(file)
    others = kinds.pop("", [])
    if not kinds:
        raise InputError(f"{path}: expected {_KINDS} in this folder, got {_listed(others)}")
    if len(kinds) > 1:
        listed = " and ".join(f"{len(v)} {k} ({v[0].relative_to(path)} ...)" for k, v in kinds.items())
        raise InputError(
            f"{path}: expected samples of one kind in a folder, got {listed} (--data_list says which to take)"
        )
    if others:
        warnings.warn(
            f"{path}: files that are no samples are left out: {_listed(others)}", Note, stacklevel=3
        )
    ((kind, chosen),) = kinds.items()
    if kind != "npz" and len(module.inputs) != 1:
        names = ", ".join(spec.name for spec in module.inputs)
        raise InputError(
            f"{path}: expected npz files with all of the inputs {names}, got {kind} (or a --data_list whose "
            "lines have a file for each input: a.npy,b.npy)"
        )
    if kind != "pictures":
        return [Sample(str(file), file) for file in chosen]
    shape = module.inputs[0].shape
    batch = shape[0] if len(shape) == 4 else 1
    # The last batch is filled up from the front.
    return [
        Sample(str(chosen[i]), [chosen[(i + j) % len(chosen)] for j in range(batch)])
        for i in range(0, len(chosen), max(batch, 1))
    ]


def _of_list(path: Path, folder: Path | None) -> list[Sample]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected lines of text with files, got a binary file") from None
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: {reason}") from None
    found: list[Sample] = []
    faults: list[Diagnostic] = []
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        roots = [Path(), path.parent, *([folder] if folder else [])]
        # A comma may be a part of a name.
        files = [line] if any((root / line).is_file() for root in roots) else line.split(",")
        parts = [_placed(part.strip(), roots) for part in files]
        lost = [file for file, there in parts if not there]
        faults += [Diagnostic(f"{path}:{number}: {file}: no such file") for file in lost]
        found.append(Sample(f"{path}:{number}", [file for file, _ in parts]))
    if faults:
        raise InputError(*faults[:5])
    if not found:
        raise InputError(f"{path}: expected a line for each sample, such as a.npz or a.jpg,b.npy, got none")
    return found


def _placed(part: str, roots: Sequence[Path]) -> tuple[str, bool]:
    """``FILE`` or ``NAME=FILE`` with the file in the first of ``roots`` that has it, and whether one has."""
    cuts = [0, *(i + 1 for i, c in enumerate(part) if c == "=")]
    for root in roots:
        for cut in cuts:
            if part[cut:] and (root / part[cut:]).is_file():
                return f"{part[:cut]}{root / part[cut:]}", True
    return part, False


def _kind(path: Path) -> str:
    if is_image(path):
        return "pictures"
    return path.suffix.lower().lstrip(".") if path.suffix.lower() in {".npz", ".npy"} else ""


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _listed(files: Sequence[Path]) -> str:
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(file.name for file in files[:3]) + more
