"""Wide tables: whole in a file, and as many columns as there is room for where somebody looks at them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from tpumlir.cli.common import print_table

_NARROW, _WIDE = 28, 64  # characters of names: what they get at least, and what they get in a file


def print_fitting(
    table: Sequence[tuple[str, ...]],
    *,
    words: Collection[str],
    expendable: Sequence[str],
    styles: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Print a table whose first row has the titles and whose first column has the names.

    ``words`` are the columns without numbers; ``expendable`` go first where a terminal is too narrow, the
    first of them first, until names have room. ``styles`` are for cells with just this text.
    """
    if not sys.stdout.isatty():
        print_table([(_short(row[0], _WIDE), *row[1:]) for row in table])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown, room = _fitting(table, console.width, expendable)
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for place in shown:
        left = place == 0 or table[0][place] in words
        drawn.add_column(table[0][place], justify="left" if left else "right", no_wrap=True)
    for row in table[1:]:
        cells = [_short(row[place], room) if place == 0 else row[place] for place in shown]
        drawn.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in cells))
    console.print(drawn)


def _fitting(
    table: Sequence[tuple[str, ...]], width: int, expendable: Sequence[str]
) -> tuple[list[int], int]:
    """Which columns to show in ``width`` characters, and how much of it the names of rows have."""
    widths = [max(map(len, column)) + 3 for column in zip(*table, strict=True)]
    shown = list(range(len(widths)))
    for name in (*expendable, ""):
        room = width - sum(widths[place] for place in shown[1:]) - 3
        if room >= min(widths[0] - 3, _NARROW) or not name:
            break
        shown = [place for place in shown if table[0][place] != name]
    return shown, max(room, 8)


def _short(label: str, room: int) -> str:
    """A long name by its beginning and end, which tell it apart; --json has the whole."""
    return label if len(label) <= room else f"{label[: room // 2 - 1]}...{label[-(room // 2 - 2) :]}"
