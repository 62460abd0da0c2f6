"""Values for the inputs of models: arrays, files, folders of files, or random numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tpumlir.data import record
from tpumlir.data.preprocess import Pictures, is_image
from tpumlir.data.sources import Named, Source, parts_of, read_by_position, read_named, read_pictures
from tpumlir.errors import Diagnostic, InputError, unknown_name
from tpumlir.tensors import TensorSpec, check_inputs, random_inputs

Array = npt.NDArray[Any]
TestInput = str | Path | Sequence[str | Path] | Mapping[str, Array] | None


class Module(record.Module, Protocol):
    """What is read of a module here."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """The inputs, in order."""


def check_names(given: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError for the names that no input has."""
    wrong = [unknown_name("model input", name, known) for name in given if name not in known]
    if wrong:
        raise InputError(*wrong)


def load_inputs(
    source: Source,
    specs: Sequence[TensorSpec],
    pictures: Pictures | None = None,
    *,
    allow_nan: bool = False,
    declared: Mapping[str, Sequence[int | None] | None] | None = None,
) -> dict[str, Array]:
    """Inputs from files; see ``tpumlir.data.sources`` for whose a file is, ``check_inputs`` for ``declared``.

    Raises: InputError: a file that is missing or does not fit the inputs.
    """
    pictures = pictures or Pictures()
    named = read_named(source)
    if named is None:
        arrays = read_by_position(source, specs, pictures)
    else:
        check_names([*named.arrays, *named.pictures], [spec.name for spec in specs])
        arrays = named.arrays | read_pictures(named.pictures, specs, pictures)
    check_frames(arrays, pictures)
    return check_inputs(arrays, specs, allow_nan=allow_nan, declared=declared)


def check_frames(arrays: Mapping[str, Array], pictures: Pictures) -> None:
    """Raise InputError for values that are no bytes, for inputs that are frames.

    Whole floats would fit: those of a picture that was preprocessed already must not pass.
    """
    kinds = {name: how.customization_format for name, how in pictures.recorded.items()}
    wrong = [
        Diagnostic(
            f"expected a frame of bytes, {kinds[name]}, for this model preprocesses by itself, got "
            f"{np.asarray(value).dtype} (give a picture, or its pixels as uint8)",
            name,
        )
        for name, value in arrays.items()
        if kinds.get(name) is not None and np.asarray(value).dtype.kind not in "iu"
    ]
    if wrong:
        raise InputError(*wrong)


def random_values(specs: Sequence[TensorSpec], pictures: Pictures) -> dict[str, Array]:
    """``random_inputs``, with any bytes in frames."""
    values = random_inputs(specs)
    rng = np.random.default_rng(1)
    for name, how in pictures.recorded.items():
        if how.customization_format is not None and name in values:
            values[name] = rng.integers(0, 256, values[name].shape, dtype=np.uint8)
    return values


def read_inputs(
    test_input: TestInput,
    module: Module,
    pictures: Pictures | None = None,
    *,
    allow_nonfinite: bool = False,
    fixed_wins: bool = False,
) -> dict[str, Array]:
    """Checked inputs of ``module`` from arrays or files; random ones for None.

    Pictures become tensors as ``pictures`` say, by default as ``module`` records.

    What the file knew of its inputs holds for the module too: those that are constants now may be given the
    same value. With ``fixed_wins`` those that ``--fix_input`` made so may be given another one, which a Note
    tells is not used. Raises: InputError.
    """
    specs = module.inputs
    pictures = pictures or record.recorded_pictures(module)
    if test_input is None:
        return random_values(specs, pictures)
    named = named_of(test_input)
    if named is None:
        assert not isinstance(test_input, Mapping)
        return load_inputs(test_input, specs, pictures, allow_nan=allow_nonfinite)
    check_frames(named.arrays, pictures)
    known = record.recorded(module)
    if fixed_wins:
        known = record.record_without_fixed(known, named.arrays)
    arrays = record.recorded_inputs(known, [spec.name for spec in specs], named.arrays)
    arrays |= read_pictures(named.pictures, specs, pictures)
    return check_inputs(arrays, specs, allow_nan=allow_nonfinite)


def read_samples(
    module: Module,
    test_input: TestInput,
    cali_data: Path | None = None,
    *,
    allow_nonfinite: bool = False,
) -> Iterator[dict[str, Array]]:
    """The test input, then every file of a folder (or the one file) ``cali_data``, in the order of names.

    Raises: InputError: a file that does not fit, an empty folder.
    """
    pictures = record.recorded_pictures(module)
    yield read_inputs(test_input, module, pictures, allow_nonfinite=allow_nonfinite, fixed_wins=True)
    if cali_data is None:
        return
    files = (
        sorted(path for path in cali_data.iterdir() if path.is_file()) if cali_data.is_dir() else [cali_data]
    )
    if not files:
        raise InputError(f"{cali_data}: expected files with inputs in this folder, got none")
    for path in files:
        yield read_inputs(path, module, pictures, allow_nonfinite=allow_nonfinite, fixed_wins=True)


def module_inputs(
    module: Module, feeds: Mapping[str, Array], *, allow_nonfinite: bool = False
) -> dict[str, Array]:
    """What ``module`` reads of values for the inputs of the file. Raises: InputError: what it cannot hold."""
    plain = {
        name: value if value.dtype.kind in "fiub" else value.astype(np.float32)
        for name, value in feeds.items()
    }
    return check_inputs(plain, module.inputs, allow_nan=allow_nonfinite)


def named_of(test_input: TestInput) -> Named | None:
    """What a test input holds that has names: a mapping, an npz file, files with names."""
    if test_input is None:
        return None
    return Named(dict(test_input)) if isinstance(test_input, Mapping) else read_named(test_input)


def holds_picture(test_input: TestInput) -> bool:
    """Whether a file of a test input is a picture."""
    if test_input is None or isinstance(test_input, Mapping):
        return False
    return any(map(is_image, parts_of(test_input)))
