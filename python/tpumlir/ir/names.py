"""The form of derived names, which the C++ core has too (dialect/top/TopUtils.h); only these two know it."""

from __future__ import annotations

_PART = "::"


def part_of(whole: str, part: str) -> str:
    """The name of what tensor ``whole`` is made of or becomes: ``y::sum``."""
    return f"{whole}{_PART}{part}"


def whole_of(name: str) -> str:
    """The tensor that a derived name belongs to: ``y`` of ``y::sum``; empty if the name is not derived."""
    return name.rpartition(_PART)[0]
