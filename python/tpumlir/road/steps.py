"""What the stages of the road share: how they tell of their steps, which tensors nobody judges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt

from tpumlir.errors import Diagnostic, InputError

Array = npt.NDArray[Any]
Step = Callable[[str], AbstractContextManager[None]]
"""Called with the name of a step, around it."""


def silent(_name: str) -> AbstractContextManager[None]:
    """A ``Step`` that tells nobody."""
    return nullcontext()


def known_excepts(excepts: Collection[str], *sides: Mapping[str, Array]) -> list[str]:
    """``excepts``, each of which must name a tensor. Raises: InputError: a name that nothing has."""
    unknown = [name for name in excepts if not any(name in side for side in sides)]
    if unknown:
        raise InputError(*(Diagnostic("expected the name of a tensor to except", name) for name in unknown))
    return list(excepts)
