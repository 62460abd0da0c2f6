"""Which file is the value of which input: what ``--test_input`` and ``--input`` say.

A source is one npz file, or several files with commas between them: all by their position, or all by name
(``NAME=FILE``, and an npz file has names itself). What has names needs no model to be read; only pictures
wait for the shapes and the preprocessing of their inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir import npz
from tpumlir.data.preprocess import Pictures, is_image
from tpumlir.errors import Diagnostic, InputError, unknown_name

if TYPE_CHECKING:
    from tpumlir.tensors import TensorSpec

Array = npt.NDArray[Any]
Source = str | Path | Sequence[str | Path]


@dataclass
class Named:
    """Values that have names: arrays, and pictures by the input that they are for."""

    arrays: dict[str, Array] = field(default_factory=dict)
    pictures: dict[str, list[Path]] = field(default_factory=dict)


def parts_of(source: Source) -> list[str | Path]:
    """The files of ``source``; a comma in the name of a file that exists separates nothing."""
    if isinstance(source, str):
        return [source] if Path(source).exists() else [*source.split(",")]
    return [source] if isinstance(source, Path) else list(source)


def read_named(source: Source) -> Named | None:
    """The values of a source with names; None if files are there by their position.

    Raises: InputError: names for some of the files, two values for a name, a file that is none.
    """
    split = [_split(part) for part in parts_of(source)]
    plain = [path for name, path in split if name is None and path.suffix != ".npz"]
    if len(plain) == len(split):
        return None
    if plain:
        raise InputError(f"{plain[0]}: expected NAME=FILE beside named files and npz files")
    archives = [path for name, path in split if name is None]
    if len(archives) > 1:
        raise InputError(f"expected one npz file, got {', '.join(map(str, archives))}")
    result = Named(dict(npz.load(archives[0])) if archives else {})
    for name in dict.fromkeys(name for name, _ in split if name is not None):
        paths = [path for other, path in split if other == name]
        if name in result.arrays:
            raise InputError(Diagnostic(f"expected one value, got {paths[0]} and {archives[0]}", name))
        if all(map(is_image, paths)):
            result.pictures[name] = paths
        else:
            result.arrays[name] = _array(name, paths)
    return result


def read_pictures(
    files: Mapping[str, Sequence[Path]], specs: Sequence[TensorSpec], pictures: Pictures
) -> dict[str, Array]:
    """The tensors of pictures. Raises: InputError: a name that no input has, a picture that does not fit."""
    by_name = {spec.name: spec for spec in specs}
    unknown = [unknown_name("model input", name, by_name) for name in files if name not in by_name]
    if unknown:
        raise InputError(*unknown)
    return {name: _picture(paths, by_name[name], pictures) for name, paths in files.items()}


def read_by_position(source: Source, specs: Sequence[TensorSpec], pictures: Pictures) -> dict[str, Array]:
    """One file for each input, or several pictures for the only one. Raises: InputError."""
    paths = [Path(part) for part in parts_of(source)]
    if len(specs) == 1:
        (spec,) = specs
        if all(map(is_image, paths)):
            return {spec.name: _picture(paths, spec, pictures)}
        return {spec.name: _array(spec.name, paths)}
    if len(paths) != len(specs):
        raise InputError(
            f"expected one npz file or a file for each of {len(specs)} inputs, got {len(paths)} "
            f"file{'s' * (len(paths) != 1)} (the inputs: {', '.join(spec.name for spec in specs)}; "
            "NAME=FILE says whose a file is)"
        )
    return {
        spec.name: _picture([path], spec, pictures) if is_image(path) else _array(spec.name, [path])
        for path, spec in zip(paths, specs, strict=True)
    }


def load_npy(path: Path) -> Array:
    """The array of an npy file. Raises: InputError: missing, truncated or another format."""
    try:
        with path.open("rb") as stream:
            return npz.read_array(stream)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValueError as error:
        raise InputError(f"{path}: expected an npy file, got {' '.join(str(error).split())}") from None


def _split(part: str | Path) -> tuple[str | None, Path]:
    """The name and the file of ``NAME=FILE``; both may hold an equals sign, so the file is looked for."""
    cuts = [i for i, c in enumerate(part) if c == "=" and i] if isinstance(part, str) else []
    if not cuts or Path(part).exists():
        return None, Path(part)
    text = str(part)
    cut = next((i for i in cuts if Path(text[i + 1 :]).is_file()), cuts[0])
    return text[:cut], Path(text[cut + 1 :])


def _picture(paths: Sequence[Path], spec: TensorSpec, pictures: Pictures) -> Array:
    try:
        value = pictures.of(spec.name).run(paths, spec.shape)
    except InputError as error:
        named = (Diagnostic(d.message, d.node or spec.name, d.notes) for d in error.diagnostics)
        raise InputError(*named, tensor=spec.name) from None
    pictures.tell_defaults(spec.name)
    return value


def _array(name: str, paths: Sequence[Path]) -> Array:
    if len(paths) > 1:
        listed = ", ".join(map(str, paths))
        raise InputError(Diagnostic(f"expected one npy file, or pictures alone, got {listed}", name))
    if paths[0].suffix != ".npy":
        raise InputError(f"{paths[0]}: expected an npz, npy, jpg, png, bmp or yuv file")
    return load_npy(paths[0])
