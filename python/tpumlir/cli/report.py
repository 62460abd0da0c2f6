"""The summary at the end of a command: one row per validation, as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, print_json, print_table
from tpumlir.compare import Comparison


def report(
    title: str,
    validations: Sequence[Comparison],
    outputs: Mapping[str, object],
    seconds: Mapping[str, float],
    *,
    as_json: bool,
) -> int:
    """Print what was written and how each validation went; returns the exit code."""
    passed = all(v.passed for v in validations)
    if as_json:
        print_json({
            "passed": passed,
            "outputs": dict(outputs),
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "validations": [v.to_json() for v in validations],
        })  # fmt: skip
        return EXIT_OK if passed else EXIT_FAILED
    if sys.stdout.isatty():
        _pretty(title, validations)
    else:
        print_table([_COLUMNS, *_rows(validations)])
    for verdict in validations:
        if not verdict.passed:
            print(verdict.summary(), file=sys.stderr)
    total = sum(seconds.values())
    print("wrote " + ", ".join(f"{value}" for value in outputs.values()) + f" in {total:.2f} s")
    if not validations:
        print("nothing was validated")
    return EXIT_OK if passed else EXIT_FAILED


_COLUMNS = ("validation", "verdict", "tensors", "worst tensor", "cosine", "euclid", "max abs")


def _rows(validations: Sequence[Comparison]) -> list[tuple[str, ...]]:
    rows = []
    for v in validations:
        worst = v.worst
        numbers = [_number(getattr(worst, key, None)) for key in ("cosine", "euclid", "max_abs")]
        name = "" if worst is None or worst.status == "equal" else worst.name
        rows.append(
            (v.label, "passed" if v.passed else "FAILED", str(v.compared), name or "all equal", *numbers)
        )
    return rows


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.7g}"


def _pretty(title: str, validations: Sequence[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row in _rows(validations):
        style = "green" if row[1] == "passed" else "bold red"
        table.add_row(*(Text(cell, style=style if i == 1 else "") for i, cell in enumerate(row)))
    console = Console()
    console.print(table)
    for verdict in validations:
        if not verdict.passed:
            console.print(verdict.table())
