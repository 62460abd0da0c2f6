"""Weights that a module has for INT8 only: how they are stored, and which of them a lowering takes.

A Top module stays the float model, for that is what everything is judged by. Rounding that was chosen and
biases that were corrected (``tpumlir.accuracy.tune``) lie beside its weights, under the names of those
with ``::int8`` behind, and take their place where the operation that reads them is in integers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy.typing as npt

from tpumlir.ir.names import part_of, whole_of

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

Array = npt.NDArray[Any]


class Module(Protocol):
    """What is read of a module here."""

    def ops(self) -> list[OpInfo]:
        """Every operation in order."""

    def tensor_names(self) -> list[str]:
        """The names of all computed tensors."""


class WithInt8(Module, Protocol):
    """A Top module."""

    int8: dict[str, Array]


Lowered = TypeVar("Lowered", bound=Module)

_PART = "int8"
_PRODUCTS = {"tpu.Conv2D", "tpu.Deconv", "tpu.MatMul"}


def stored(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The names that they have in a file."""
    return {part_of(name, _PART): value for name, value in weights.items()}


def split(arrays: Mapping[str, Array], known: Collection[str]) -> tuple[dict[str, Array], dict[str, Array]]:
    """The arrays of a file: those of the module, which has the weights ``known``, and those for INT8."""
    extra = {
        name: whole_of(name)
        for name in arrays
        if name not in known and whole_of(name) in known and name == part_of(whole_of(name), _PART)
    }
    return (
        {name: value for name, value in arrays.items() if name not in extra},
        {whole: arrays[name] for name, whole in extra.items()},
    )


def integer_products(lowered: Module, top: Module) -> set[str]:
    """The tensors of ``top`` that products with integer weights compute in ``lowered``."""
    names = set(top.tensor_names())
    ops = lowered.ops()
    integers = {op.name for op in ops if op.kind == "top.Weight" and op.results[0].scales}
    found = set()
    for op in ops:
        if op.kind in _PRODUCTS and not integers.isdisjoint(op.operands):
            name = op.name
            while name not in names and (whole := whole_of(name)):
                name = whole
            found.add(name)
    return found


def lower_tuned(
    top: WithInt8, floats: Collection[str], lower: Callable[[Mapping[str, Array]], Lowered]
) -> Lowered:
    """Lower with the weights of ``top.int8`` whose readers become integers; ``floats`` surely do not.

    ``lower`` is given the weights that take the place of those of the module.
    """
    readers = {name: op.name for op in top.ops() for name in op.operands if name in top.int8}
    chosen = {name for name, reader in readers.items() if reader not in floats}
    while True:
        lowered = lower({name: top.int8[name] for name in chosen})
        if not chosen:
            return lowered
        integers = integer_products(lowered, top)
        wrong = {name for name in chosen if readers[name] not in integers}
        if not wrong:
            return lowered
        chosen -= wrong
