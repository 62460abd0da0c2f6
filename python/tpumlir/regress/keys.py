"""The keys of a suite, and how the value of each is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tpumlir.compare import ElementBound, Tolerance
from tpumlir.onnx.shapes import parse_input_shapes
from tpumlir.precision.formats import MODES, listed
from tpumlir.road.deploy import CHIPS

EXPECTATIONS = {
    "pass": "passed", "fail": "failed", "refused": "refused", "error": "error", "crash": "crashed",
    "timeout": "timeout",
}  # fmt: skip
"""What a suite may expect, and the status of a case that fulfils it."""

Check = Callable[[Any], Any]


class Keys(NamedTuple):
    """Keys with their checks; ``compiler`` change what is computed, ``expected`` how it is judged."""

    checks: Mapping[str, Check]
    compiler: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) and item for item in values):
        raise ValueError(f"expected a text or a list of texts, got {value!r}")
    return values


def _one(value: Any) -> list[str]:
    return [_text(value)]


def _choices(known: tuple[str, ...], change: Callable[[str], str]) -> Check:
    def check(value: Any) -> list[str]:
        names = [change(name) for name in _texts(value)]
        wrong = [name for name in names if name not in known]
        if wrong:
            import difflib

            close = difflib.get_close_matches(wrong[0], known, 1, 0.5)
            meant = f", did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"expected {listed(known) if len(known) > 1 else known[0]}, got {wrong[0]}{meant}"
            )
        return list(dict.fromkeys(names))

    return check


def _choice(known: tuple[str, ...]) -> Check:
    def check(value: Any) -> str:
        name: str = _choices(known, str)(_text(value))[0]
        return name

    return check


def _yes(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _number(least: float, most: float = math.inf) -> Check:
    def check(value: Any) -> float:
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (ok and least < value <= most):
            raise ValueError(f"expected a number above {least:g}, got {value!r}")
        return float(value)

    return check


def _whole(least: int, most: float = math.inf) -> Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            upper = f" to {most:g}" if most < math.inf else " on"
            raise ValueError(f"expected a whole number from {least}{upper}, got {value!r}")
        return value

    return check


def share(value: Any) -> float:
    """A part: 0.05 or "5%". Raises: ValueError."""
    text = value.strip() if isinstance(value, str) else None
    try:
        number = float(text.rstrip("%")) / (100 if text.endswith("%") else 1) if text else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not number >= 0:
        raise ValueError(f'expected a part such as 0.05 or "5%", got {value!r}')
    return float(number)


def _joined(parse: Callable[[str], Any]) -> Check:
    """Numbers as a list or as the text that the commands take; kept as text, which a worker reads again."""

    def check(value: Any) -> str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = [value]
        text = ",".join(map(str, value)) if isinstance(value, list) else _text(value)
        parse(text)
        return text

    return check


def _shapes(value: Any) -> Any:
    """``[[1, 3, 224, 224]]``, the same as a text, or a table by name."""
    if isinstance(value, str):
        return parse_input_shapes(value)
    if isinstance(value, dict):
        return {name: parse_input_shapes(str(shape))[0] for name, shape in value.items()}
    return parse_input_shapes(str(value))


_COMPILER: dict[str, Check] = {
    "input_shapes": _shapes,
    "output_names": _texts,
    "fixed_inputs": _texts,
    "runtime_inputs": _texts,
    "opt": _whole(0, 3),
    "auto_mixed": _yes,
    "ignore_f16_overflow": _yes,
    "plain_half": _yes,
    "allow_nonfinite": _yes,
    "tolerance": _joined(Tolerance.parse),
    "element_tolerance": _joined(ElementBound.parse),
    "excepts": _texts,
}
_EXPECTED: dict[str, Check] = {
    "expect": _choice(tuple(EXPECTATIONS)),
    "reason": _text,
    "max_cycles": _whole(0),
    "max_ddr": _whole(0),
    "min_similarity": _joined(Tolerance.parse),
}
_OTHERS: dict[str, Check] = {
    "quantize": _choices(MODES, str.upper),
    "chip": _choices(CHIPS, str.lower),
    "input": _texts,
    "calibration_table": _one,
    "quantize_table": _one,
    "timeout": _number(0),
}
CASE_KEYS = Keys(_COMPILER | _EXPECTED | _OTHERS, tuple(_COMPILER), tuple(_EXPECTED))
MODEL_KEYS = CASE_KEYS._replace(checks={"path": _texts, **CASE_KEYS.checks})
SUITE_KEYS = Keys({"name": _text, "plugin": _text})
THRESHOLD_KEYS = Keys(dict.fromkeys(("cycles", "ddr", "compile", "run", "similarity"), share))
