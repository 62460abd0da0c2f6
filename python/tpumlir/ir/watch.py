"""Integers that leave 32 bits in a run of a Top module: found, and told by node and value.

Top holds integers of every width in 32 bits. Every operation that computes int64, uint32 or uint64 for ONNX
(``tpumlir.onnx.wide`` recorded which) is computed once more from its operands, in 64 bits: the first one in
the order of the module whose result has no room in 32 bits is the cause of all that is wrong behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, OutOfRangeError

if TYPE_CHECKING:
    from tpumlir._core import ir
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]

WIDE_INTEGERS = "module.wide_integers"
"""The attribute that says what a run of the module must watch, as JSON: see ``tpumlir.onnx.wide``."""

_LOW, _HIGH = -(2**31), 2**31


class Watch:
    """The tensors of a Top module that must not leave 32 bits."""

    def __init__(self, module: Module) -> None:
        self._record = recorded(module) if _is_top(module) else {}
        if not self._record:
            return
        every = module.ops()
        self._ops = [op for op in every if any(r.name in self._record for r in op.results)]
        self._weights = module.weights
        known = {result.name for op in every for result in op.results}
        wanted: dict[str, None] = {}
        for op in self._ops:
            wanted.update(dict.fromkeys([*op.operands, *(result.name for result in op.results)]))
        for entry in self._record.values():
            names = [part for part in entry.get("product", ()) if isinstance(part, str)]
            wanted.update(dict.fromkeys([*names, *(name for name, _ in entry.get("if", ()))]))
        self.needed = [name for name in wanted if name in known and name not in self._weights]
        """What ``check`` reads, besides constants."""

    def __bool__(self) -> bool:
        return bool(self._record)

    def check(self, tensors: Mapping[str, Array]) -> None:
        """Raises: OutOfRangeError: the first tensor of a run that left 32 bits."""
        values = {**self._weights, **tensors}
        for op in self._ops:
            for result in op.results:
                entry = self._record.get(result.name)
                if entry is None or not _counts(entry, values):
                    continue
                found = self._finding(op, result.name, entry, values)
                if found is not None:
                    raise OutOfRangeError(found, tensors=(result.name,))

    def _finding(
        self, op: ir.OpInfo, name: str, entry: Mapping[str, Any], values: Mapping[str, Array]
    ) -> Diagnostic | None:
        kind = str(entry["type"])
        exact = _product(entry, values) if "product" in entry else _exact(op, values)
        # Of uint32 all 32 bits count, so sums and products are right as bits; a float is cut at 2^31.
        if exact is not None and (kind != "uint32" or op.kind == "top.Cast"):
            limits = (0 if kind == "uint64" else _LOW, _HIGH)
            place = _outside(exact, limits)
            if place is not None:
                return _told(op, str(entry.get("tensor", name)), kind, place, int(exact[place]))
        got = values.get(name)
        if "read_by" in entry and got is not None and got.dtype.kind == "i" and (got < 0).any():
            index = _first(got < 0)
            value = int(got[index]) % 2 ** (32 if kind == "uint32" else 64)
            reader = str(entry["read_by"])
            return _told(op, name, kind if kind.startswith("u") else "uint64", index, value, reader)
        return None


def recorded(module: Module) -> Mapping[str, Mapping[str, Any]]:
    """What the import found worth watching, by tensor."""
    text = module.attributes.get(WIDE_INTEGERS)
    return json.loads(text) if isinstance(text, str) else {}


def _is_top(module: Module) -> bool:
    return str(module.attributes.get("module.state", "")).startswith("TOP")


def _told(
    op: ir.OpInfo, name: str, kind: str, index: Sequence[int], value: int, reader: str | None = None
) -> Diagnostic:
    place = f"[{', '.join(map(str, index))}]"
    where = f"{name}{place if index else ''}"
    why = f"read as a number by {reader}, " if reader and reader != op.node else ""
    return Diagnostic(
        f"expected {kind} values of 32 bits with a sign, {why}got {value} in {where} (integers of every "
        "width have 32 bits here; compute it in float32, or with smaller numbers)",
        op.node,
    )


def _counts(entry: Mapping[str, Any], values: Mapping[str, Array]) -> bool:
    """False in a branch of an If that the condition of this run did not take."""
    for name, taken in entry.get("if", ()):
        condition = values.get(name)
        if condition is not None and condition.size and bool(condition.reshape(-1)[0]) != taken:
            return False
    return True


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _outside(exact: Array, limits: tuple[int, int]) -> tuple[int, ...] | None:
    """Where the first number is that is not within the limits; NaN and infinities are no numbers."""
    with np.errstate(invalid="ignore"):
        mask = (exact < limits[0]) | (exact >= limits[1])
    if exact.dtype.kind == "f":
        mask &= np.isfinite(exact)
    return _first(mask) if mask.any() else None


# --- what an operation computes, without a limit -------------------------------------------


def _exact(op: ir.OpInfo, values: Mapping[str, Array]) -> Array | None:
    """The result in 64 bits (or float64, where that does not do); None for what stays in range."""
    rule = _RULES.get(op.kind)
    operands = [values.get(name) for name in op.operands if name]
    if rule is None or not operands or any(value is None for value in operands):
        return None
    wide = [
        value.astype(np.int64) if value.dtype.kind in "iub" else value.astype(np.float64)
        for value in operands
        if value is not None
    ]
    if op.kind != "top.Cast" and any(value.dtype.kind == "f" for value in wide):
        return None  # truth values, which may be floats, have no place in arithmetic
    with np.errstate(all="ignore"):
        result = rule(op, wide)
    return None if result is None else np.asarray(result)


def _factors(op: ir.OpInfo, wide: Sequence[Array]) -> list[Array]:
    """The operands times their coefficients."""
    given = op.attrs.get("coeff") or [1.0] * len(wide)
    return [value * int(factor) for value, factor in zip(wide, given, strict=False)]


def _sum(op: ir.OpInfo, wide: Sequence[Array]) -> Array:
    parts = _factors(op, wide)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _difference(op: ir.OpInfo, wide: Sequence[Array]) -> Array:
    a, b = _factors(op, wide)
    return b - a if op.attrs.get("is_reverse") else a - b


def _multiplied(_op: ir.OpInfo, wide: Sequence[Array]) -> Array:
    result = wide[0]
    for factor in wide[1:]:
        # A third factor may be too much for 64 bits; a float says well enough how large it is.
        large = result.astype(np.float64) * factor
        result = large if np.abs(large).max(initial=0) >= 2.0**62 else result * factor
    return result


def _constant(op: ir.OpInfo) -> int | None:
    value = float(op.attrs["const_val"])
    return int(value) if value.is_integer() and abs(value) < 2**32 else None


def _with_constant(op: ir.OpInfo, wide: Sequence[Array]) -> Array | None:
    number, x = _constant(op), wide[0]
    if number is None:
        return None
    if op.kind == "top.AddConst":
        return x + number
    if op.kind == "top.MulConst":
        return x * number
    return number - x if op.attrs.get("is_reverse") else x - number


def _quotient(op: ir.OpInfo, wide: Sequence[Array]) -> Array | None:
    """Only the least number over -1 has no room."""
    if op.kind == "top.DivConst":
        number = _constant(op)
        if number is None:
            return None
        wide = [wide[0], np.array(number)]
    a, b = (wide[1], wide[0]) if op.attrs.get("is_reverse") else (wide[0], wide[1])
    return np.where((a == _LOW) & (b == -1), _HIGH, 0)


def _power(_op: ir.OpInfo, wide: Sequence[Array]) -> Array:
    base, exponent = np.broadcast_arrays(*wide)
    about = np.power(base.astype(np.float64), exponent.astype(np.float64))
    small = np.abs(about) < 2.0**53
    exact = np.power(np.where(small, base, 0), np.where(small & (exponent > 0), exponent, 1))
    return np.where(small & (exponent > 0), exact.astype(np.float64), about)


def _shifted(op: ir.OpInfo, wide: Sequence[Array]) -> Array | None:
    if op.attrs.get("mode") != "ShiftLeft":
        return None
    # In floats, for 64 bits are not enough; by 64 and more places nothing is left for ONNX either.
    a, places = np.broadcast_arrays(*wide)
    return np.where((places < 0) | (places > 63), 0.0, np.ldexp(a.astype(np.float64), np.minimum(places, 64)))


def _reduced(op: ir.OpInfo, wide: Sequence[Array]) -> Array | None:
    axes = tuple(int(axis) for axis in op.attrs["axes"])
    kept = bool(op.attrs.get("keepdims", True))
    mode, x = op.attrs.get("mode"), wide[0]
    if mode == "ReduceSum":
        return np.asarray(x.sum(axes, keepdims=kept))
    if mode == "ReduceL1":
        return np.asarray(np.abs(x).sum(axes, keepdims=kept))
    if mode == "ReduceProd":
        return np.asarray(x.astype(np.float64).prod(axes, keepdims=kept))
    return None


def _running(op: ir.OpInfo, wide: Sequence[Array]) -> Array:
    return np.cumsum(wide[0], int(op.attrs["axis"]))


def _scattered(op: ir.OpInfo, wide: Sequence[Array]) -> Array | None:
    """Updates that are added or multiplied, in floats: 53 bits of a product are enough to see its size."""
    combine = _COMBINED.get(int(op.attrs.get("reduction", 0)))
    if combine is None:
        return None
    data, indices, updates = wide
    result = data.astype(np.float64)
    if op.kind == "top.ScatterND":
        places = tuple(np.moveaxis(indices, -1, 0))
    else:
        grid: list[Array] = list(np.indices(indices.shape))
        grid[int(op.attrs.get("axis", 0))] = indices
        places = tuple(grid)
    combine.at(result, places, updates.astype(np.float64))
    return result


_COMBINED: dict[int, np.ufunc] = {1: np.add, 2: np.multiply}  # as Top numbers reductions


def _cast(op: ir.OpInfo, wide: Sequence[Array]) -> Array | None:
    return np.trunc(wide[0]) if wide[0].dtype.kind == "f" and op.results[0].dtype == "i32" else None


_RULES: dict[str, Any] = {
    "top.Add": _sum,
    "top.Sub": _difference,
    "top.Mul": _multiplied,
    **dict.fromkeys(("top.AddConst", "top.SubConst", "top.MulConst"), _with_constant),
    **dict.fromkeys(("top.Div", "top.DivConst"), _quotient),
    "top.Pow3": _power,
    "top.Abs": lambda _op, wide: np.abs(wide[0]),
    "top.Bitwise": _shifted,
    "top.Reduce": _reduced,
    "top.CumSum": _running,
    "top.Cast": _cast,
    **dict.fromkeys(("top.ScatterElements", "top.ScatterND"), _scattered),
}


def _product(entry: Mapping[str, Any], values: Mapping[str, Array]) -> Array | None:
    """The ``alpha A B + beta C`` of a product of matrices, which Top puts together of bytes."""
    parts = list(_parts(entry["product"], values))
    if len(parts) < 2 or parts[0] is None or parts[1] is None:
        return None
    a = parts[0].T if entry.get("transA") else parts[0]
    b = parts[1].T if entry.get("transB") else parts[1]
    reach = np.abs(a).max(initial=0).astype(np.float64) * np.abs(b).max(initial=0) * max(1, a.shape[-1])
    exact = np.asarray(np.matmul(a, b) if reach < 2.0**62 else np.matmul(a.astype(float), b.astype(float)))
    exact = exact * int(entry.get("alpha", 1))
    if len(parts) > 2 and parts[2] is not None:
        exact = exact + parts[2] * int(entry.get("beta", 1))
    return np.asarray(exact)


def _parts(names: Sequence[Any], values: Mapping[str, Array]) -> Iterator[Array | None]:
    for name in names:
        if isinstance(name, str):
            value = values.get(name)
            yield None if value is None else value.astype(np.int64)
        else:
            yield None if name is None else np.array(name, np.int64)
