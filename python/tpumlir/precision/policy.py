"""What a deploy does about ranges; by itself, since a deploy in F32 needs no more of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MARGIN = 2.0
"""The automatic table counts a tensor as out of range at the largest number of F16 divided by this: other
inputs reach other values."""


class RangePolicy(NamedTuple):
    """What a deploy in half precision does about values that leave its range.

    ``auto_mixed`` keeps in F32 what must be (``margin`` as in ``auto_table``), ``ignore`` goes on regardless;
    otherwise it is an error. ``cali_data``: a folder or npz file of further inputs to measure with.
    ``plain_half`` switches off the rules that look at the graph, before any value is measured.
    """

    auto_mixed: bool = False
    ignore: bool = False
    margin: float = MARGIN
    cali_data: Path | None = None
    plain_half: bool = False
