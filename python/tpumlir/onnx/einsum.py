"""Einsum, every equation: diagonals, early sums, then pairs of operands by one MatMul or one Mul each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tpumlir.onnx.registry import InvalidNodeError, Node, Result, converts


class _Term(NamedTuple):
    """A tensor and the label of each axis; those of an ellipsis are "0", "1", ... from the right."""

    tensor: str
    labels: tuple[str, ...]


@converts("Einsum", since=12)
def einsum(node: Node) -> Result:
    """Transposes, reshapes, sums and products; the usual matrix products become one MatMul.

    Source: ONNX Einsum, opset 12: numpy.einsum without its spaces and paths.
    """
    left, arrow, right = node.str("equation", "").replace(" ", "").partition("->")
    words = left.split(",")
    if len(words) != len(node.inputs):
        raise InvalidNodeError(f"expected an equation for {len(node.inputs)} operands, got {left!r}")
    terms = [
        _Term(name, _labels(word, len(node.shape(i))))
        for i, (word, name) in enumerate(zip(words, node.input_names, strict=True))
    ]
    wanted = _result_labels(terms, right if arrow else None)
    known = {label for term in terms for label in term.labels}
    if len(set(wanted)) != len(wanted) or not known.issuperset(wanted):
        raise InvalidNodeError(f"expected a result of different labels of the operands, got {right!r}")
    graph = _Builder(node)
    terms = [graph.diagonal(term) for term in terms]
    result = graph.reduced(terms[0], {*wanted, *(label for term in terms[1:] for label in term.labels)})
    for i, term in enumerate(terms[1:], 1):
        later = {*wanted, *(label for other in terms[i + 1 :] for label in other.labels)}
        result = graph.product(result, graph.reduced(term, later | set(result.labels)), later)
    return node.tensor(graph.permuted(result, wanted).tensor)


def _labels(word: str, rank: int) -> tuple[str, ...]:
    head, dots, tail = word.partition("...")
    if not (head + tail).isalpha() and head + tail:
        raise InvalidNodeError(f"expected letters and one ellipsis, got {word!r}")
    hidden = rank - len(head) - len(tail)
    if hidden < 0 or (hidden and not dots):
        raise InvalidNodeError(f"expected a label for each of {rank} axes, got {word!r}")
    return (*head, *(str(i) for i in reversed(range(hidden))), *tail)


def _result_labels(terms: Sequence[_Term], right: str | None) -> tuple[str, ...]:
    """The labels of the result; without an arrow: the ellipsis, then what occurs once, by alphabet."""
    every = [label for term in terms for label in term.labels]
    dots = sorted({label for label in every if label.isdigit()}, key=int, reverse=True)
    if right is None:
        return (*dots, *sorted(label for label in set(every) if every.count(label) == 1 and label.isalpha()))
    head, _, tail = right.partition("...")
    return (*head, *(dots if "..." in right else ()), *tail)


class _Builder:
    """Steps on labelled tensors; each returns a new one."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def _shape(self, term: _Term) -> tuple[int, ...]:
        return tuple(self._node.tensor(term.tensor).shape)

    def _extents(self, term: _Term) -> dict[str, int]:
        return dict(zip(term.labels, self._shape(term), strict=True))

    def permuted(self, term: _Term, labels: Sequence[str]) -> _Term:
        """The axes in the order of ``labels``, which are all of the term's."""
        if tuple(labels) == term.labels:
            return term
        order = [term.labels.index(label) for label in labels]
        return _Term(self._node.onnx("Transpose", term.tensor, perm=order), tuple(labels))

    def reshaped(self, term: _Term, shape: Sequence[int]) -> str:
        """The tensor in another shape."""
        if tuple(shape) == self._shape(term):
            return term.tensor
        return self._node.onnx("Reshape", term.tensor, np.array(shape, np.int64))

    def diagonal(self, term: _Term) -> _Term:
        """Each label once: of two axes with the same label only where both indices agree is kept."""
        for label in dict.fromkeys(term.labels):
            while term.labels.count(label) > 1:
                axes = [i for i, other in enumerate(term.labels) if other == label][:2]
                rest = [i for i in range(len(term.labels)) if i not in axes]
                shape = self._shape(term)
                extent = shape[axes[0]]
                if shape[axes[1]] != extent:
                    raise InvalidNodeError(f"expected equal extents for {label}, got {list(shape)}")
                turned = self._node.onnx("Transpose", term.tensor, perm=[*rest, *axes])
                labels = tuple(term.labels[i] for i in rest)
                flat = self.reshaped(
                    _Term(turned, (*labels, label, label)), [*(shape[i] for i in rest), extent * extent]
                )
                starts, ends, places, steps = (
                    np.array([v]) for v in (0, extent * extent, len(rest), extent + 1)
                )
                term = _Term(self._node.onnx("Slice", flat, starts, ends, places, steps), (*labels, label))
        return term

    def reduced(self, term: _Term, kept: set[str]) -> _Term:
        """The sum over all labels but ``kept``."""
        axes = [i for i, label in enumerate(term.labels) if label not in kept]
        if not axes:
            return term
        total = self._node.onnx("ReduceSum", term.tensor, np.array(axes, np.int64), keepdims=0)
        return _Term(total, tuple(label for label in term.labels if label in kept))

    def product(self, a: _Term, b: _Term, later: set[str]) -> _Term:
        """The product of two terms, summed over the labels that nobody needs ``later``."""
        shared = [label for label in a.labels if label in b.labels]
        of_a, of_b = self._extents(a), self._extents(b)
        for label in shared:
            if of_a[label] != of_b[label] and 1 not in {of_a[label], of_b[label]}:
                raise InvalidNodeError(
                    f"expected equal extents for {label}, got {of_a[label]} and {of_b[label]}"
                )
        # What is the same for all indices of the other one need not be summed together with it.
        for label in [s for s in shared if s not in later and of_a[s] != of_b[s]]:
            a, b = (self.reduced(term, {*term.labels} - {label}) for term in (a, b))
            shared.remove(label)
        summed = [label for label in shared if label not in later]
        batch = [label for label in shared if label in later]
        only_a = [label for label in a.labels if label not in shared]
        only_b = [label for label in b.labels if label not in shared]
        labels = (*batch, *only_a, *only_b)
        if not summed:
            return self._elementwise(a, b, batch, only_a, only_b)
        of_a, of_b = self._extents(a), self._extents(b)
        inner = math.prod(of_a[label] for label in summed)
        rows, columns = (
            math.prod(extents[label] for label in own) for extents, own in ((of_a, only_a), (of_b, only_b))
        )
        same = all(of_a[label] == of_b[label] for label in batch)
        front_a, front_b = ([extents[label] for label in batch] for extents in (of_a, of_b))
        if same and len(batch) > 1:
            front_a = front_b = [math.prod(front_a)]
        left = self.reshaped(self.permuted(a, [*batch, *only_a, *summed]), [*front_a, rows, inner])
        right = self.reshaped(self.permuted(b, [*batch, *summed, *only_b]), [*front_b, inner, columns])
        matrix = self._node.onnx("MatMul", left, right)
        shape = [max(of_a[label], of_b[label]) for label in batch]
        shape += [*(of_a[label] for label in only_a), *(of_b[label] for label in only_b)]
        done = self.reshaped(_Term(matrix, ()), shape)
        return _Term(done, labels)

    def _elementwise(
        self, a: _Term, b: _Term, batch: Sequence[str], only_a: Sequence[str], only_b: Sequence[str]
    ) -> _Term:
        left, right = self.permuted(a, [*batch, *only_a]), self.permuted(b, [*batch, *only_b])
        shape_a, shape_b = self._shape(left), self._shape(right)
        cut = len(batch)
        operands = (
            self.reshaped(left, [*shape_a, *[1] * len(only_b)]),
            self.reshaped(right, [*shape_b[:cut], *[1] * len(only_a), *shape_b[cut:]]),
        )
        return _Term(self._node.onnx("Mul", *operands), (*batch, *only_a, *only_b))
