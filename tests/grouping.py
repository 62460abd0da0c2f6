"""Groups as a test wants them: written into the text of a final module, in any cut.

What the search would never choose is legal nevertheless, and shows a halo that is a row short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import tpumlir
from tpumlir._core import ir

_GROUP = re.compile(r"#tpu\.group<id = (\d+), n = (\d+), h = (\d+), image = (\d+)>")
_TPU_OP = re.compile(r'^\s*%\S+ = "tpu\.(\w+)"\([^)]*\) \{', re.MULTILINE)
_REFUSALS = re.compile("to fit into local memory|to have a local form|whole operands are not sliced")
_IMAGE = re.compile(r"expected image = (\d+), the bytes of the constants of group (\d+),")


@dataclass(frozen=True)
class Span:
    """Tpu operations [begin, end) of a module as a group, cut into ``n`` x ``h`` slices.

    ``image`` are the bytes of its constants, a guess for a group that a test makes.
    """

    begin: int
    end: int
    n: int = 1
    h: int = 1
    image: int = 0


def kinds(final: tpumlir.Module) -> list[str]:
    """The Tpu operations in order, by the names of their kinds."""
    return _TPU_OP.findall(final.print())


def spans(final: tpumlir.Module) -> list[Span]:
    """The groups of a module, those of one operation included."""
    found: dict[str, tuple[int, int]] = {}
    for index, op in enumerate(_TPU_OP.finditer(text := final.print())):
        line = text[op.start() : text.find("\n", op.end())]
        if attribute := _GROUP.search(line):
            begin, _ = found.get(attribute[0], (index, index))
            found[attribute[0]] = begin, index + 1
    return [
        Span(begin, end, *(int(number) for number in match.groups()[1:]))
        for text, (begin, end) in found.items()
        if (match := _GROUP.fullmatch(text))
    ]


def groups(final: tpumlir.Module) -> list[list[str]]:
    """The operations of each group."""
    names = kinds(final)
    return [names[span.begin : span.end] for span in spans(final)]


def forced(ungrouped: tpumlir.Module, wanted: Sequence[Span]) -> tpumlir.Module | None:
    """The module that ``finalize(opt=0)`` made, with groups as ``wanted``. None if they cannot be.

    The bytes of constants are those that code generation asks for.
    """
    images = [span.image for span in wanted]
    for _ in range(2):
        module = _with_groups(ungrouped, zip(wanted, images, strict=True))
        try:
            module.compile()
        except tpumlir.TpumlirError as error:
            messages = [d.message for d in error.diagnostics]
            asked = [match for message in messages if (match := _IMAGE.search(message))]
            if len(asked) < len(messages):
                refusals = [m for m in messages if not _IMAGE.search(m)]
                assert all(_REFUSALS.search(m) for m in refusals), refusals
                return None
            for match in asked:
                images[int(match[2])] = int(match[1])
        else:
            return module
    raise AssertionError("code generation asked for other constants twice")


def _with_groups(ungrouped: tpumlir.Module, wanted: Iterable[tuple[Span, int]]) -> tpumlir.Module:
    attribute: dict[int, str] = {}
    for number, (span, image) in enumerate(wanted):
        text = f"tpu.group = #tpu.group<id = {number}, n = {span.n}, h = {span.h}, image = {image}>, "
        attribute |= dict.fromkeys(range(span.begin, span.end), text)
    counter = iter(range(1 << 30))
    text = _TPU_OP.sub(lambda op: op[0] + attribute.get(next(counter), ""), ungrouped.print())
    core = ir.Module.parse(text, ungrouped.weights)
    core.run_pipeline("address-assign,tpu-check-placed")
    return tpumlir.Module(core)
