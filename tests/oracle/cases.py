"""All random legal commands, by family; importing the modules registers them."""

from __future__ import annotations

from oracle import cases_arithmetic, cases_gdma, cases_lanes, cases_products, cases_windows
from oracle.case import DDR, FAMILIES, SMEM, Case, Fill, Generator

__all__ = ["DDR", "FAMILIES", "SMEM", "Case", "Fill", "Generator"]

_REGISTERED = (cases_arithmetic, cases_windows, cases_products, cases_lanes, cases_gdma)
