"""What to do about a tensor of another shape: which extents are fixed, where, and what takes them along."""

from __future__ import annotations

from collections.abc import Sequence


def advice_on_file(declared: Sequence[int | None] | None, got: Sequence[int]) -> str:
    """In parentheses, for an input of a model file; "" if the extents that it declares are not the matter."""
    axes = _other(declared, got)
    if declared is None or not axes:
        return ""
    fixed = ", ".join(str(declared[axis]) for axis in axes)
    if axes == [0] and len(got) > 1:
        return (
            f" (its batch is fixed at {fixed} in the file: give {fixed} and run {fixed} at a time, or export "
            "the model again with a dynamic batch axis)"
        )
    if len(axes) == 1:
        return (
            f" (axis {axes[0]} is fixed at {fixed} in the file: give {fixed} there, or export the model "
            "again with this axis dynamic)"
        )
    names = ", ".join(map(str, axes))
    return (
        f" (axes {names} are fixed at {fixed} in the file: give these, or export the model again with these "
        "axes dynamic)"
    )


def advice_on_program(want: Sequence[int], got: Sequence[int]) -> str:
    """In parentheses, for an input of a module or bmodel with another batch; "" for any other shape."""
    if _other(want, got) != [0] or len(got) < 2:
        return ""
    return (
        f" (its batch is fixed at {want[0]}: run {want[0]} at a time, or import the model again with "
        f"--input_shapes for a batch of {got[0]})"
    )


def _other(want: Sequence[int | None] | None, got: Sequence[int]) -> list[int]:
    """The axes whose extents are known and others; none if the ranks differ."""
    if want is None or len(want) != len(got):
        return []
    return [axis for axis, extent in enumerate(want) if extent is not None and extent != got[axis]]
