"""Integers of more than 32 bits: which tensors a run watches, and where they are to be expected.

Top holds integers of every width in 32 bits with a sign. Arithmetic of int32 and less wraps around there as
ONNX has it; that of int64, uint32 and uint64 does not. So the module records what it must watch when it runs
(``tpumlir.ir.watch``), and intervals say before any run where numbers may leave 32 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.types import DType, is_float
from tpumlir.errors import Diagnostic
from tpumlir.ir.watch import WIDE_INTEGERS
from tpumlir.onnx.intervals import BITS, Interval, Operand, result_of, unknown
from tpumlir.onnx.load import NodeInfo
from tpumlir.onnx.types import is_whole

if TYPE_CHECKING:
    from tpumlir._core.ir import Module, Value

Array = npt.NDArray[Any]
Source = Any
"""A constant or a ``Value`` of the module."""

_WIDE = frozenset({"int64", "uint32", "uint64"})
_SMALL = 4096  # elements of a constant factor that the record holds
# Operations of Top that compute numbers; all others only move or compare them.
_ARITHMETIC = frozenset(
    "top." + kind
    for kind in (
        "Abs", "Add", "AddConst", "Bitwise", "Cast", "CumSum", "Div", "DivConst", "Mul", "MulConst", "Pow3",
        "Reduce", "Relu", "ScatterElements", "ScatterND", "Sub", "SubConst",
    )
)  # fmt: skip
# Operators that read the number, not only its bits: a uint32 of 2^31 and more is a negative one in Top.
_BY_NUMBER = frozenset(
    {
        "Abs", "ArgMax", "ArgMin", "Clip", "Div", "Gather", "GatherElements", "GatherND", "Greater",
        "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "OneHot", "Range", "ReduceL1",
        "ReduceMax", "ReduceMean", "ReduceMin", "Relu", "Sign", "TopK",
    }
)  # fmt: skip
_FEW = 5  # warnings of one model


class WideIntegers:
    """What the importer learns about integers of more than 32 bits, node by node."""

    def __init__(self) -> None:
        self._watched: dict[str, dict[str, Any]] = {}
        self._intervals: dict[str, Interval] = {}
        self._branches: list[tuple[str, bool]] = []
        self._type: DType | None = None
        self._warnings: dict[str, Diagnostic] = {}

    # --- what a run watches ---------------------------------------------------------

    @contextmanager
    def node(self, dtype: DType | None) -> Iterator[None]:
        """What is emitted meanwhile computes a tensor of this type."""
        outer, self._type = self._type, dtype
        try:
            yield
        finally:
            self._type = outer

    @contextmanager
    def branch(self, condition: Value | None, taken: bool) -> Iterator[None]:
        """What is emitted meanwhile counts only where the condition has this value."""
        if condition is not None:
            self._branches.append((condition.name, taken))
        try:
            yield
        finally:
            if condition is not None:
                self._branches.pop()

    def emitted(self, kind: str, results: Sequence[Value]) -> None:
        """An operation of Top was emitted."""
        if self._type is None or kind not in _ARITHMETIC or self._type.name not in _WIDE:
            return
        for result in results:
            if result.dtype == "i32":
                self._watch(result.name, self._type)

    def _watch(self, name: str, dtype: DType, **more: Any) -> None:
        entry = self._watched.setdefault(name, {"type": dtype.name})
        entry.update(more)
        if self._branches:
            entry["if"] = list(self._branches)

    def record(self, module: Module) -> None:
        """Let ``module`` remember the tensors to watch by name.

        Each has its ONNX ``type``. One that is put together of bytes has the ``product`` that it is; one that
        ``read_by`` names a node for must not be negative. ``if`` are the conditions under which it counts.
        """
        if self._watched:
            module.set_attribute(WIDE_INTEGERS, json.dumps(self._watched))

    # --- what is to be expected -------------------------------------------------------

    def converted(
        self,
        info: NodeInfo,
        inputs: Sequence[Source],
        operands: Sequence[DType | None],
        results: Sequence[Source],
        types: Sequence[DType | None],
    ) -> None:
        """A node became operations; ``results`` are constants or values of the module."""
        if info.domain:
            return
        runtime = [result for result in results if result is not None and not isinstance(result, np.ndarray)]
        if not runtime:
            return
        dtype = types[0] if types else None
        self._readers(info, inputs, operands, dtype)
        if dtype is not None and info.op_type in {"MatMul", "Gemm"} and dtype.name in _WIDE:
            self._product(info, inputs, runtime[0], dtype)
        for result, kind in zip(results, types, strict=False):
            if result is None or isinstance(result, np.ndarray) or kind is None or not is_whole(kind):
                continue
            known = [self._operand(s, t) for s, t in zip(inputs, operands, strict=False)]
            names = [None if source is None else getattr(source, "name", None) for source in inputs]
            if (
                result.name in names
            ):  # the same numbers, perhaps as another type: of the first one more is known
                same = known[names.index(result.name)]
                if same is not None and same.interval is not None:
                    self._intervals[result.name] = same.interval
                continue
            found = result_of(info, known)
            self._intervals[result.name] = self._held(info, found, kind, result)

    def _operand(self, source: Source, dtype: DType | None) -> Operand | None:
        if source is None:
            return None
        shape = tuple(source.shape)
        if isinstance(source, np.ndarray):
            if not is_whole(source.dtype):
                return Operand(shape, None, source if source.size == 1 else None)
            exact = source.astype(np.int64) if source.dtype.itemsize == 1 else source
            bounds = (int(exact.min()), int(exact.max())) if source.size else (0, 0)
            return Operand(shape, Interval(*bounds), source if source.size == 1 else None, constant=True)
        if dtype is None or not is_whole(dtype):
            return Operand(shape, None)
        return Operand(shape, self._intervals.get(source.name) or unknown(dtype, source.name))

    def _held(self, info: NodeInfo, found: Interval | None, dtype: DType, result: Source) -> Interval:
        """The interval as a tensor of this type holds it; a warning where 32 bits do not."""
        if found is None:
            return unknown(dtype, "")
        if dtype.name in _WIDE - {"uint32"}:
            low = 0 if dtype.kind == "u" and info.op_type != "Sub" else -(2 ** (BITS - 1))
            # What is subtracted from an unsigned number is taken to be the smaller one.
            if found.high >= 2 ** (BITS - 1) or (dtype.kind == "i" and found.low < low):
                self._warn(info, f"its {dtype} result", found, result)
                return unknown(dtype, "")
            return found if dtype.kind == "i" else Interval(max(0, found.low), found.high, found.guessed)
        limits = unknown(dtype, "") if dtype.kind == "b" else None
        if limits is None:
            types = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}
            bounds = types.get(dtype.name)
            if bounds is None:
                whole = np.iinfo(dtype)
                bounds = (int(whole.min), int(whole.max))
            limits = Interval(*bounds)
        # Arithmetic of these types wraps around in ONNX too.
        return found if limits.low <= found.low and found.high <= limits.high else limits

    def _readers(
        self, info: NodeInfo, inputs: Sequence[Source], operands: Sequence[DType | None], to: DType | None
    ) -> None:
        """Note unsigned numbers of which more than the low 32 bits count here."""
        casts = info.op_type in {"Cast", "CastLike"} and to is not None
        for source, dtype in zip(inputs, operands, strict=False):
            if source is None or isinstance(source, np.ndarray) or dtype is None or source.dtype != "i32":
                continue
            widens = casts and to is not None and (is_float(to) or to.name in {"int64", "uint64"})
            by_number = dtype.name == "uint32" and (info.op_type in _BY_NUMBER or widens)
            turned = casts and to is not None and to.name == "uint64" and dtype.kind == "i"
            if not by_number and not turned:
                continue
            self._watch(source.name, dtype, read_by=info.label)
            found = self._intervals.get(source.name)
            if by_number and found is not None and not found.guessed and found.high >= 2 ** (BITS - 1):
                self._warn(info, f"its {dtype} operand", found, source)
            if casts:
                return

    def _product(self, info: NodeInfo, inputs: Sequence[Source], result: Source, dtype: DType) -> None:
        """Remember what a product of matrices is; its operations of Top know bytes only."""
        factors: list[Any] = []
        for source in inputs:
            if isinstance(source, np.ndarray):
                if source.size > _SMALL:
                    return
                factors.append(source.tolist())
            else:
                factors.append(None if source is None else source.name)
        flags = {n: info.attributes[n] for n in ("transA", "transB", "alpha", "beta") if n in info.attributes}
        self._watch(result.name, dtype, product=factors, tensor=info.outputs[0], **flags)

    def _warn(self, info: NodeInfo, what: str, found: Interval, about: Source) -> None:
        far = found.high if abs(found.high) >= abs(found.low) else found.low
        reach = f"{far:.3g}" if abs(far) < 2**100 else "any number"
        self._warnings.setdefault(
            f"{info.op_type} {about.name}",
            Diagnostic(
                f"{info.op_type}: {what} may leave 32 bits, which are all that integers have here (it may "
                f"reach {reach}, if operands of which nothing is known hold numbers of up to 2^18; validate "
                "with the largest numbers in --test_input, and compute in float32 or with smaller numbers "
                "if they do not fit)",
                info.label,
            ),
        )

    @property
    def warnings(self) -> list[Diagnostic]:
        """Where integers may leave 32 bits, the first nodes of them."""
        found = list(self._warnings.values())
        if len(found) <= _FEW:
            return found
        rest = len(found) - _FEW
        return [*found[:_FEW], Diagnostic(f"{rest} more nodes have integers that may leave 32 bits")]
