"""What is computed on halves without F32: the bits of the F32 result, rounded once; a NaN is some NaN.

The reference is the same operation with an F32 result on the simulated chip. Operands are halves of every
exponent and sign, denormals, infinities and NaN. ``native`` says whether F32 is not needed, for F16 and BF16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from cmodel import chip
from tpumlir import npz
from tpumlir._core import ir, isa
from tpumlir.bmodel import BModel

Bits = npt.NDArray[np.uint16]
MANTISSA = {"f16": 10, "bf16": 7}
A, B, RES = 0x0, 0x8000, 0x10000
BOTH, NONE, ONLY_BF16 = ("f16", "bf16"), (), ("bf16",)


def specials(half: str) -> Bits:
    """Bits around every power of two, of both signs: zeros, denormals, infinities, NaN included."""
    digits = MANTISSA[half]
    lows = (0, 1, (1 << (digits - 1)) - 1, 1 << (digits - 1), (1 << digits) - 1)
    return np.array(
        [sign | e << digits | m for sign in (0, 0x8000) for e in range(1 << (15 - digits)) for m in lows],
        np.uint16,
    )


def every() -> Bits:
    return np.arange(1 << 16, dtype=np.uint16).reshape(64, 1024)


def pairs(half: str) -> tuple[Bits, Bits]:
    """Each special half beside a choice of others, and halves beside those next to them."""
    rng = np.random.default_rng(4)
    one = specials(half)
    other = rng.choice(one, 120)
    a, b = np.repeat(one, len(other)), np.tile(other, len(one))
    near = rng.integers(0, 1 << 16, 20000).astype(np.uint16)
    steps = rng.integers(-2, 3, near.shape).astype(np.uint16)
    a, b = np.concatenate([a, near, near]), np.concatenate([b, near + steps, (near + steps) ^ 0x8000])
    count = len(a) // 64 * 64
    return a[:count].reshape(64, -1), b[:count].reshape(64, -1)


def widen(bits: Bits, half: str) -> npt.NDArray[np.float32]:
    if half == "f16":
        return bits.view(np.float16).astype(np.float32)
    return npz.to_f32_from_bf16_bits(bits)


def narrow(values: npt.NDArray[np.float32], half: str) -> Bits:
    if half == "bf16":
        return npz.to_bf16_bits(values)
    with np.errstate(over="ignore"):
        return values.astype(np.float16).view(np.uint16)


def compiled(
    op: str,
    inputs: dict[str, tuple[Any, str]],
    result: tuple[tuple[int, ...], str],
    attributes: str,
    *,
    alone: bool = False,
) -> BModel:
    """One op; ``inputs`` and ``result`` with their element types; ``alone``: not even a group of one."""

    def kind(shape: tuple[int, ...], element: str) -> str:
        return f"tensor<{''.join(f'{d}x' for d in shape)}{element}>"

    kinds = {name: kind(value.shape, element) for name, (value, element) in inputs.items()}
    arguments = ", ".join(f"%arg{i}: {k}" for i, k in enumerate(kinds.values()))
    lines = ['%none = "top.None"() : () -> none']
    for i, (name, k) in enumerate(kinds.items()):
        lines.append(f'%{name} = "top.Input"(%arg{i}) : ({k}) -> {k} loc("{name}")')
    name, rest = op.rstrip(")").split("(")
    operands = rest.split(", ")
    out = kind(*result)
    lines.append(
        f'%y = "tpu.{name}"({", ".join("%" + o for o in operands)}) {{{attributes}}} : '
        f'({", ".join(kinds.get(o, "none") for o in operands)}) -> {out} loc("y")'
    )
    text = (
        'module @m attributes {module.name = "m", module.chip = "bm1684x", module.mode = "F16", '
        'module.state = "TPU_LOWERED", module.platform = "ONNX", module.weight_file = "w.npz"} {\n'
        f"  func.func @main({arguments}) -> {out} {{\n    " + "\n    ".join(lines)
        + f"\n    return %y : {out}\n  }}\n}}\n"
    )  # fmt: skip
    core = ir.Module.parse(text, {})
    if alone:
        core.run_pipeline("weight-reorder,address-assign")
    return tpumlir.Module(core).compile()


def run(model: BModel, inputs: dict[str, tuple[Any, str]]) -> Any:
    given = {name: v.view(np.float16) if element == "f16" else v for name, (v, element) in inputs.items()}
    return np.asarray(model.run(given, allow_nan=True, detect_races=True)["y"])


def uses_f32(model: BModel) -> bool:
    """Whether a command of the compute engine has an F32 result."""
    results = [
        command.fields["res0_prec"]
        for group in model.groups
        for command in isa.decode("tiu", group.tiu)
        if "res0_prec" in command.fields
    ]
    return 2 in results


def same_bits(got: Bits, want: Bits, half: str) -> None:
    infinity = ((1 << (15 - MANTISSA[half])) - 1) << MANTISSA[half]
    nan = (want & 0x7FFF) > infinity
    np.testing.assert_array_equal((got & 0x7FFF) > infinity, nan)
    np.testing.assert_array_equal(np.where(nan, 0, got), np.where(nan, 0, want))


@dataclass(frozen=True)
class Row:
    """An elementwise op and for which types it needs no F32."""

    op: str
    attributes: str = ""
    native: tuple[str, ...] = BOTH

    def __str__(self) -> str:
        return f"{self.op.split('(')[0]}-{self.attributes}"


RELU, RELU6 = "do_relu = true", "do_relu = true, relu_limit = 6.0 : f64"
INEXACT = "do_relu = true, relu_limit = 0.1 : f64"
ROWS = [
    *(
        Row(f"{op}(a, b)", attributes)
        for op in ("Add", "Sub", "Max", "Min")
        for attributes in ("", RELU, RELU6)
    ),
    *(Row(f"{op}(a, b)", INEXACT, NONE) for op in ("Add", "Sub", "Mul", "Max", "Min")),
    Row("Mul(a, b)"),
    Row("Mul(a, b)", RELU, ONLY_BF16),
    Row("Mul(a, b)", RELU6, ONLY_BF16),
    Row("Sub(a, b)", "is_reverse = true"),
    Row("Max(a, b, a)"),
    Row("Add(a, b, a)", "", NONE),
    Row("Mul(a, b, b)", "", NONE),
    *(
        Row(f"{op}Const(a)", f"const_val = {number} : f64")
        for op in ("Add", "Sub", "Mul", "Max", "Min")
        for number in ("0.0", "-0.0", "1.0", "-3.0", "0.5", "0x7FF0000000000000")
    ),
    *(Row(f"{op}Const(a)", "const_val = 0.1 : f64", NONE) for op in ("Add", "Sub", "Mul", "Max", "Min")),
    # The least denormal of F16; half of it; more than F16 holds.
    Row("AddConst(a)", "const_val = 5.9604644775390625e-08 : f64"),
    Row("AddConst(a)", "const_val = 2.98023223876953125e-08 : f64", ONLY_BF16),
    Row("MulConst(a)", "const_val = 131072.0 : f64", ONLY_BF16),
    Row("AddConst(a)", f"const_val = 0.5 : f64, {RELU}"),
    Row("MulConst(a)", f"const_val = 0.5 : f64, {RELU}", ONLY_BF16),
    Row("MulConst(a)", f"const_val = -0.0078125 : f64, {RELU6}", ONLY_BF16),
    Row("SubConst(a)", f"const_val = 2.0 : f64, is_reverse = true, {RELU6}"),
    Row("Relu(a)"),
    Row("Relu(a)", "relu_limit = 6.0 : f64"),
    Row("Relu(a)", "relu_limit = 0.1 : f64", NONE),
    *(Row("LeakyRelu(a)", f"alpha = {a} : f64") for a in ("0.25", "0.0078125", "0.0", "1.0", "2.0", "-0.5")),
    Row("LeakyRelu(a)", "alpha = 0.1 : f64", NONE),
    Row("Clip(a)", "min = -1.0 : f64, max = 6.0 : f64"),
    Row("Clip(a)", "min = 0.0 : f64, max = 0.1 : f64", NONE),
    Row("Clip(a)", "min = -0.1 : f64, max = 1.0 : f64", NONE),
    Row("Reciprocal(a)", "const_val = 1.0 : f64", NONE),
]


@pytest.mark.parametrize("half", BOTH)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_elementwise(row: Row, half: str) -> None:
    a, b = pairs(half) if "b" in row.op.split("(")[1] else (every(), None)
    values = {"a": a} if b is None else {"a": a, "b": b}
    halves = {name: (bits, half) for name, bits in values.items()}
    wide = {name: (widen(bits, half), "f32") for name, bits in values.items()}
    want = run(compiled(row.op, wide, (a.shape, "f32"), row.attributes), wide)
    for alone in (False, True):
        model = compiled(row.op, halves, (a.shape, half), row.attributes, alone=alone)
        same_bits(run(model, halves).view(np.uint16), narrow(want, half), half)
        assert uses_f32(model) == (half not in row.native)


@pytest.mark.parametrize("half", BOTH)
@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Max", "Min"])
@pytest.mark.parametrize("shape", [(33,), (70, 1), (4, 1, 1), (1, 1, 1), (4, 1, 33)], ids=str)
def test_broadcast_operands(op: str, half: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    values = {
        "a": rng.choice(specials(half), (4, 70, 33)),
        "b": rng.choice(specials(half), shape),
    }
    for order in ("a, b", "b, a"):
        halves = {name: (bits, half) for name, bits in values.items()}
        wide = {name: (widen(bits, half), "f32") for name, bits in values.items()}
        model = compiled(f"{op}({order})", halves, ((4, 70, 33), half), "")
        want = run(compiled(f"{op}({order})", wide, ((4, 70, 33), "f32"), ""), wide)
        same_bits(run(model, halves).view(np.uint16), narrow(want, half), half)
        assert not uses_f32(model)


# --- sums of products -----------------------------------------------------------


def conv(kernel: int, more: str = "") -> str:
    return (
        f"kernel_shape = [{kernel}, {kernel}], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], "
        f"group = 1 : i64, with_bias = false{more}"
    )


def drawn(rng: np.random.Generator, shape: tuple[int, ...], how: str, half: str) -> Bits:
    """Operands: ordinary ones, such whose products fall below or rise above the half's range, or any bits."""
    if how == "bits":
        return rng.integers(0, 1 << 16, shape).astype(np.uint16)
    ordinary = rng.standard_normal(shape).astype(np.float32)
    if how == "specials":
        bits = narrow(ordinary, half)
        bits.flat[rng.integers(0, bits.size, 10)] = rng.choice(specials(half), 10)
        return bits
    scale = {
        "plain": 1.0,
        "tiny": 2.0**-14 if half == "f16" else 2.0**-63,
        "huge": 2.0**7 if half == "f16" else 2.0**63,
    }
    return narrow(ordinary * np.float32(scale[how]), half)


def command(kind: str, result: str, half: str) -> bytes:
    """A convolution of 32 channels with 40 filters of one tap, or the product of a row with 40 columns."""
    codes = {"f16": 1, "f32": 2, "bf16": 5}
    types = {"res0_prec": codes[result], "opd0_prec": codes[half]}
    if kind == "MM2":
        return chip.tiu(
            "MM2", tsk_eu_typ=4, res0_c=64, res0_w=40, opd1_c=32, opd1_w=40, res0_addr=RES, opd0_addr=A,
            opd1_addr=B, opd2_const=1, **types,
        )  # fmt: skip
    return chip.tiu(
        "CONV", **chip.shape_fields("res0", (1, 40, 1, 64)), opd0_c=32, opd0_h=1, opd0_w=64, opd1_h=1,
        opd1_w=1, res_op_x_str=1, res_op_y_str=1, res0_addr=RES, opd0_addr=A, opd1_addr=B, opd2_const=1,
        opd3_const=1, **types,
    )  # fmt: skip


@pytest.mark.parametrize("half", BOTH)
@pytest.mark.parametrize("how", ["plain", "tiny", "huge", "specials", "bits"])
@pytest.mark.parametrize("kind", ["CONV", "MM2"])
def test_a_command_rounds_its_f32_sums_once(kind: str, how: str, half: str) -> None:
    rng = np.random.default_rng(8)
    results = {}
    x, w = drawn(rng, (64, 32), how, half), drawn(rng, (32, 40), how, half)
    for result, dtype in ((half, "u2"), ("f32", "f4")):
        m = chip.machine()
        if kind == "MM2":
            chip.put(m, A, x.reshape(1, 64, 1, 32))
            chip.put(m, B, w.reshape(1, 32, 1, 40))
            shape = (1, 64, 1, 40)
        else:
            chip.put(m, A, np.ascontiguousarray(x.T).reshape(1, 32, 1, 64))
            chip.put(m, B, np.ascontiguousarray(w.T).reshape(1, 40, 1, 32), aligned=False)
            shape = (1, 40, 1, 64)
        m.execute("tiu", command(kind, result, half))
        results[result] = chip.get(m, RES, shape, dtype)
    assert len(np.unique(results["f32"])) > 10
    same_bits(results[half], narrow(results["f32"], half), half)


@pytest.mark.parametrize("half", BOTH)
@pytest.mark.parametrize("how", ["plain", "tiny", "huge", "specials", "bits"])
@pytest.mark.parametrize(
    ("relu", "limit", "native"),
    [(RELU, np.inf, True), (RELU6, 6.0, True), (INEXACT, 0.1, False)],
    ids=["relu", "6", "0.1"],
)
def test_relu_of_sums(how: str, relu: str, limit: float, native: bool, half: str) -> None:
    rng = np.random.default_rng(8)
    deconv = ", output_padding = [0, 0]"
    cases = [
        ("Conv2D(x, w, none)", (2, 37, 6, 7), (70, 37, 3, 3), (2, 70, 4, 5), conv(3)),
        ("Conv2D(x, w, none)", (1, 5, 6, 7), (7, 5, 1, 1), (1, 7, 6, 7), conv(1)),
        ("Deconv(x, w, none)", (1, 5, 6, 7), (7, 5, 2, 2), (1, 7, 7, 8), conv(2) + deconv),
        ("MatMul(x, w, none, none, none)", (70, 130), (130, 65), (70, 65), ""),
        ("MatMul(x, w, none, none, none)", (3, 7, 33), (3, 33, 66), (3, 7, 66), ""),
    ]
    for op, x, w, y, attributes in cases:
        inputs = {"x": (drawn(rng, x, how, half), half), "w": (drawn(rng, w, how, half), half)}
        plain = compiled(op, inputs, (y, half), attributes)
        assert not uses_f32(plain)
        sums = run(plain, inputs).view(np.uint16)
        values = widen(sums, half)
        want = np.where(values < 0, 0, sums)
        if half == "f16":  # the sum was below 0 before it was rounded
            want = np.where(values == 0, 0, want)
        with np.errstate(invalid="ignore"):
            want = np.where(values > limit, narrow(np.array([limit], np.float32), half), want)
        for alone in (False, True):
            model = compiled(op, inputs, (y, half), ", ".join(filter(None, (attributes, relu))), alone=alone)
            same_bits(run(model, inputs).view(np.uint16), want.astype(np.uint16), half)
            assert uses_f32(model) != native, op


@pytest.mark.parametrize("half", BOTH)
def test_what_is_added_to_a_command_is_added_in_f32(half: str) -> None:
    """Tiles of channels or depth, and a bias behind MM2."""
    rng = np.random.default_rng(9)
    cases: list[tuple[str, dict[str, tuple[int, ...]], tuple[int, ...], str]] = [
        ("Conv2D(x, w, none)", {"x": (1, 2048, 9, 9), "w": (300, 2048, 3, 3)}, (1, 300, 7, 7), conv(3)),
        ("MatMul(x, w, none, none, none)", {"x": (3, 1100), "w": (1100, 65)}, (3, 65), ""),
        ("MatMul(x, w, b, none, none)", {"x": (3, 11), "w": (11, 65), "b": (65,)}, (3, 65), ""),
    ]
    for op, operands, y, attributes in cases:
        inputs: dict[str, tuple[Any, str]] = {}
        for name, shape in operands.items():
            bits = drawn(rng, shape, "plain", half)
            inputs[name] = (widen(bits, half), "f32") if name == "b" else (bits, half)
        assert uses_f32(compiled(op, inputs, (y, half), attributes, alone=True)), op
