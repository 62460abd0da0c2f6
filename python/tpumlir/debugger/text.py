"""The Tpu text that a bmodel was made of: the file, and the layer groups that its lines name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.bmodel.debug import short_line
from tpumlir.errors import InputError

if TYPE_CHECKING:
    from tpumlir.bmodel.places import Source

_GROUP = re.compile(r"#tpu\.group<id = (\d+)")
_FINAL = 'module.state = "TPU_ADDRESSED"'


class TpuText:
    """The lines of a final module."""

    def __init__(self, path: Path, lines: Sequence[str]) -> None:
        self.path = path
        self._lines = lines

    @staticmethod
    def beside(bmodel: Path, stage: int | None = None) -> Path | None:
        """The final module that lies beside a bmodel, or that of a stage, as the commands write it."""
        if not bmodel.name:  # it has not been written
            return None
        own = () if stage is None else (f"stage{stage}_final",)
        paths = (bmodel.with_name(f"{bmodel.stem}_{name}.mlir") for name in (*own, "final"))
        return next((path for path in paths if path.is_file()), None)

    @staticmethod
    def read(path: Path, sources: Sequence[Source]) -> TpuText | None:
        """The text of the very build that the debug info is of; None of a module that is not final.

        Raises: OSError. InputError: another text.
        """
        text = path.read_text(encoding="utf-8", errors="replace")
        if _FINAL not in text:  # a module before addresses has other lines
            return None
        lines = text.splitlines()
        for source in sources:
            found = lines[source.line - 1] if 0 < source.line <= len(lines) else ""
            if source.line and f'"{source.op}"' not in found:
                raise InputError(
                    f"{path}: expected {source.op} {source.node} in line {source.line}, got something else "
                    "(it is not the text that this bmodel was made of)"
                )
        return TpuText(path, lines)

    def line(self, number: int) -> str:
        """A line, without its types and location."""
        return short_line(self._lines[number - 1]) if 0 < number <= len(self._lines) else ""


def groups_of(sources: Sequence[Source], text: TpuText | None) -> dict[str, int]:
    """The layer groups of operations, by the tensor that each computes; without a text by debug info."""
    found = {}
    for source in sources:
        group = _GROUP.search(text.line(source.line) if text else source.text)
        if group:
            found[source.tensor] = int(group[1])
    return found
