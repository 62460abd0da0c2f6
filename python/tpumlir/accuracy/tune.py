"""Weights and biases for the integers: rounding that minds what else it rounds, and means that are kept.

Both look at one product at a time, on its float input rounded to its own grid: what is off before it is not
its business, so all products are treated in one pass over the samples. The results are float weights whose
nearest integers are the ones that were chosen; they count in INT8 only (``Module.int8``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.accuracy.noise import rounded
from tpumlir.accuracy.products import Product, products_of, single_readers
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module
from tpumlir.ir.tuned import integer_products

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

PLACES = 6144
"""Columns of a product over all samples: enough for its second moments."""
DEEPEST = 1152
"""Products of a sum: the work grows with its cube. Deeper ones are rounded to the nearest."""
_DAMP = 0.01
_BLOCK = 64  # weights of a row that are rounded before the rest of it hears of them
_NOTHING = 2.0**-100  # as the lowering: what has no scale


@dataclass
class Tuned:
    """What INT8 computes with instead, by weight and bias, and why some products have nothing."""

    weights: dict[str, Array] = field(default_factory=dict)
    rounded: int = 0  # products whose weights were
    corrected: int = 0  # products whose biases were
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass
class _Moments:
    """Sums over columns: of the float input, of the rounded one and of its squares."""

    count: int
    exact: F64  # [groups, depth]
    stored: F64
    squares: F64 | None  # [groups, depth, depth]


def tuned(
    module: Module,
    lowered: Module,
    samples: Sequence[Mapping[str, Array]],
    *,
    bias: bool = True,
    rounding: bool = True,
) -> Tuned:
    """What ``bias`` correction and optimised ``rounding`` make of the integer products of ``lowered``.

    What ``module.int8`` has already is kept, and biases are corrected for it; ``weights`` has all together.
    """
    products, skipped = products_of(module)
    result = Tuned(dict(module.int8), skipped=skipped)
    integers, once = integer_products(lowered, module), single_readers(module)
    chosen: list[Product] = []
    for product in products:
        if product.name not in integers:
            skipped[product.name] = "it is a float"
        elif product.weight not in once:
            skipped[product.name] = "its weights are read twice"
        else:
            chosen.append(product)
    moments = _moments(module, lowered, chosen, samples, squares=rounding)
    weights = module.weights
    for product in chosen:
        seen = moments.get(product.name)
        if seen is None:
            skipped[product.name] = "its input is a float"
            continue
        exact = product.rows(weights[product.weight]).astype(np.float64)
        corrects = bias and bool(product.bias) and product.bias in once
        if seen.squares is not None:
            stored = _rounded_rows(exact, seen.squares / seen.count)
            result.weights[product.weight] = product.weight_of(stored)
            result.rounded += 1
        else:
            stored = _nearest(product.rows(result.weights.get(product.weight, weights[product.weight])))
            if rounding:
                skipped[product.name] = f"{product.depth} products in a sum are too many to choose roundings"
        if corrects:
            wanted = np.einsum("gok,gk->go", exact, seen.exact)
            shift = (wanted - np.einsum("gok,gk->go", stored, seen.stored)) / seen.count
            old = weights[product.bias]
            result.weights[product.bias] = (old + shift.reshape(old.shape)).astype(np.float32)
            result.corrected += 1
        elif bias:
            skipped.setdefault(
                product.name, "its bias is read twice" if product.bias else "it has no bias to correct"
            )
    return result


def _moments(
    module: Module,
    lowered: Module,
    products: Sequence[Product],
    samples: Sequence[Mapping[str, Array]],
    *,
    squares: bool,
) -> dict[str, _Moments]:
    infos = {result.name: result for op in lowered.ops() for result in op.results}
    interpreter = ModuleInterpreter(module)
    inputs = {spec.name for spec in module.inputs}
    names = [name for name in dict.fromkeys(product.source for product in products) if name not in inputs]
    found: dict[str, _Moments] = {}
    for sample in samples:
        values = dict(sample) | interpreter.run(sample, tensors=names, allow_nan=True)
        for product in products:
            info = infos.get(f"{product.source}::int8", infos.get(product.source))
            if info is None or not info.scales:
                continue
            exact = product.columns(values[product.source], max(1, PLACES // len(samples)))
            exact = exact[np.isfinite(exact).all(axis=(1, 2))]
            # Pads are no numbers of the tensor.
            stored = np.where(exact != 0, rounded(exact, info, axis=1), 0)
            seen = found.get(product.name)
            if seen is None:
                depth = exact.shape[1:]
                whole = np.zeros((*depth, depth[1])) if squares and depth[1] <= DEEPEST else None
                seen = found[product.name] = _Moments(0, np.zeros(depth), np.zeros(depth), whole)
            seen.count += len(exact)
            seen.exact += exact.sum(axis=0, dtype=np.float64)
            seen.stored += stored.sum(axis=0, dtype=np.float64)
            if seen.squares is not None:
                of_groups = np.ascontiguousarray(stored.transpose(1, 0, 2))
                seen.squares += of_groups.transpose(0, 2, 1) @ of_groups
    return {name: seen for name, seen in found.items() if seen.count}


def _scales(rows: F64) -> F64:
    """Of each row, as the lowering chooses it."""
    scales = (np.abs(rows).max(axis=2) / 127).astype(np.float32).astype(np.float64)
    return np.where(scales > _NOTHING, scales, 1.0)


def _nearest(rows: Array) -> F64:
    rows = rows.astype(np.float64)
    scales = _scales(rows)[:, :, np.newaxis]
    nearest: F64 = np.clip(np.rint(rows / scales), -127, 127) * scales
    return nearest


def _rounded_rows(rows: F64, squares: F64) -> F64:
    """Rows on the grid of their scales whose sums are nearest to those of ``rows``.

    ``squares`` are the mean products of each two inputs.

    One weight of a row after the other is rounded, and what that adds is made good by those that are left,
    as far as inputs that go together allow it. The greatest keeps its 127, so that the scale is the same.
    """
    depth = rows.shape[2]
    ridge = _DAMP * np.trace(squares, axis1=1, axis2=2) / depth
    ridge = np.where(ridge > 0, ridge, 1.0)
    inverse = np.linalg.inv(squares + ridge[:, np.newaxis, np.newaxis] * np.eye(depth))
    upper = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1)
    scales = _scales(rows)
    greatest = np.abs(rows).argmax(axis=2)
    # A weight of all rows together, [depth, groups, outputs].
    exact = np.ascontiguousarray(rows.transpose(2, 0, 1))
    left, stored, errors = exact.copy(), np.empty_like(exact), np.empty_like(exact)
    for begin in range(0, depth, _BLOCK):
        end = min(begin + _BLOCK, depth)
        for k in range(begin, end):
            whole = np.clip(np.rint(left[k] / scales), -127, 127)
            whole = np.where(greatest == k, np.sign(exact[k]) * 127, whole)
            whole = np.where((greatest == k) & (scales == 1.0), np.rint(exact[k]), whole)
            stored[k] = whole * scales
            errors[k] = (left[k] - stored[k]) / upper[:, k, k, np.newaxis]
            left[k + 1 : end] -= errors[k] * upper[:, k, k + 1 : end].T[:, :, np.newaxis]
        # Those behind the block are told of all its errors at once, in one product of matrices.
        made_good = upper[:, begin:end, end:].transpose(0, 2, 1) @ errors[begin:end].transpose(1, 0, 2)
        left[end:] -= made_good.transpose(1, 0, 2)
    chosen: F64 = stored.transpose(1, 2, 0)
    return chosen
