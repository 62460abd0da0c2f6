"""Damaged Top text is refused with an error of ours, or read; it never brings the process down."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tpumlir._core import ir
from tpumlir.errors import ParseError, TpumlirError, VerifyError

TEXTS = [
    text
    for path in sorted((Path(__file__).parents[1] / "lit").rglob("*.mlir"))
    for text in path.read_text(encoding="utf-8").split("// -----")
]
NUMBERS = ("0", "-1", "1", "3", "65536", "-5", "4294967296", "9223372036854775807", "-9223372036854775808")
EXTENTS = ("0x", "1x", "?x", "3x", "4096x", "1000000000000x")


def damage(text: str, rng: random.Random) -> str:
    """Another number, extent or operation, a piece missing, or the end cut off."""
    kind = rng.random()
    pattern, words = r"(?<![\w.%#])-?\d+(?![\w.])", list(NUMBERS)
    if kind < 0.1:
        return text[: rng.randrange(len(text))]
    if kind < 0.2:
        start = rng.randrange(len(text))
        return text[:start] + text[start + rng.randint(1, 5) :]
    if kind < 0.35:
        pattern, words = r"\d+x", list(EXTENTS)
    elif kind < 0.5:
        pattern, words = r'"top\.\w+"', re.findall(r'"top\.\w+"', text) or [""]
    places = list(re.finditer(pattern, text))
    if not places:
        return text
    place = rng.choice(places)
    return text[: place.start()] + rng.choice(words) + text[place.end() :]


def test_what_stands_in_strings_and_comments_is_no_bracket_and_no_result() -> None:
    text = (
        "// "
        + "(" * 2000
        + " %x#99999999\n"
        + 'module attributes {module.a = "'
        + r"\""
        + "[" * 2000
        + ' %x#99999999"} {}'
    )
    assert ir.Module.parse(text).attributes["module.a"].endswith("[ %x#99999999")


@pytest.mark.parametrize("seed", range(0, 1000, 100))
def test_damaged_text_is_refused_or_read(seed: int) -> None:
    refused = 0
    for one in range(seed, seed + 100):
        rng = random.Random(one)
        text = rng.choice(TEXTS)
        for _ in range(rng.randint(1, 4)):
            text = damage(text, rng)
        try:
            module = ir.Module.parse(text)
            module.run_pipeline("shape-infer,canonicalize,extra-optimize")
            module.clone()
        except TpumlirError:
            refused += 1
    assert refused > 10


WRONG = [
    ("bare_dialect", ParseError, 'expected an operation such as "top.Conv", got "top"', '"top"() : () -> ()'),
    (
        "no_mnemonic",
        ParseError,
        'expected an operation such as "top.Conv", got "top."',
        '"top."() : () -> ()',
    ),
    *(
        (
            f"result_{number}",
            ParseError,
            f"expected at most 65536 results of an operation, got {number}",
            text,
        )
        for number in ("4294967295", "2147483648", "99999999999999999999")
        for text in [
            f"func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {{ return %x#{number} : tensor<4xf32> }}"
        ]
    ),
    (
        "results",
        ParseError,
        "expected at most 65536 results of an operation, got 4294967295",
        '%y:4294967295 = "top.None"() : () -> none',
    ),
    (
        "deep_attribute",
        ParseError,
        "expected brackets in at most 1000 brackets, got more",
        '"top.None"() {a = ' + "[" * 200_000 + "]" * 200_000 + "} : () -> none",
    ),
    (
        "deep_type",
        ParseError,
        "expected brackets in at most 1000 brackets, got more",
        '"top.None"() : () -> ' + "tuple<" * 200_000 + "none" + ">" * 200_000,
    ),
    ("unknown_operation", VerifyError, "unregistered operation 'top.Foo'", '"top.Foo"() : () -> ()'),
    (
        "huge_attribute",
        VerifyError,
        r"expected attribute 'axis' within -2\^30 to 2\^30, got 9223372036854775807",
        'func.func @f(%x: tensor<4xf32>) { %y = "top.Reverse"(%x) {axis = 9223372036854775807 : i64}'
        " : (tensor<4xf32>) -> tensor<4xf32> return }",
    ),
    (
        "no_elements",
        VerifyError,
        r"expected operands of 1 to 2\^40 elements, got 'tensor<4x0xf32>'",
        'func.func @f(%x: tensor<4x0xf32>) {%y = "top.Exp"(%x) : (tensor<4x0xf32>) -> tensor<*xf32> return }',
    ),
    (
        "too_many_elements",
        VerifyError,
        r"expected operands of 1 to 2\^40 elements",
        'func.func @f(%x: tensor<1000000x1000000x1000000xf32>) { %y = "top.Exp"(%x)'
        " : (tensor<1000000x1000000x1000000xf32>) -> tensor<*xf32> return }",
    ),
]


@pytest.mark.parametrize(("kind", "message", "text"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_would_upset_mlir_has_a_message(kind: type[TpumlirError], message: str, text: str) -> None:
    with pytest.raises(kind, match=message):
        ir.Module.parse(text)


def test_a_tensor_may_have_the_name_of_a_dialect() -> None:
    g = ir.GraphBuilder("net")
    x = g.input("top", [2])
    (y,) = g.op("top.Exp", [x], {}, names=["tpu"], node="func")
    module = g.finish([y])
    assert ir.Module.parse(module.print()).outputs[0].name == "tpu"
