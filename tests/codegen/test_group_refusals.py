"""Groups that cannot be are refused by code generation: which operation, why."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import tpumlir
from tpumlir._core import ir

HEAD = 'module attributes {module.chip = "bm1684x", module.mode = "F32", module.state = "TPU_LOWERED"} {'


def group(*, n: int = 1, h: int = 1, image: int = 0, number: int = 0) -> str:
    return f"tpu.group = #tpu.group<id = {number}, n = {n}, h = {h}, image = {image}>"


def type_of(*shape: int) -> str:
    return f"tensor<{'x'.join(map(str, shape))}xf32>"


def module(inputs: dict[str, str], lines: list[str], result: str, kind: str) -> tpumlir.Module:
    """A module with places, of inputs by name and operations as text."""
    arguments = ", ".join(f"%arg{i}: {k}" for i, k in enumerate(inputs.values()))
    body = ['%none = "top.None"() : () -> none']
    body += [
        f'%{name} = "top.Input"(%arg{i}) : ({k}) -> {k} loc("{name}")'
        for i, (name, k) in enumerate(inputs.items())
    ]
    text = "\n".join([HEAD, f"func.func @main({arguments}) -> {kind} {{", *body, *lines])
    core = ir.Module.parse(f"{text}\nreturn %{result} : {kind}\n}}\n}}\n", {})
    core.run_pipeline("weight-reorder,address-assign")
    return tpumlir.Module(core)


def unary(name: str, source: str, kind: str, attributes: str, op: str = "Relu") -> str:
    return f'%{name} = "tpu.{op}"(%{source}) {{{attributes}}} : ({kind}) -> {kind} loc("{name}")'


def conv(name: str, source: str, filter_: str, kinds: tuple[str, str, str], attributes: str) -> str:
    return (
        f'%{name} = "tpu.Conv2D"(%{source}, %{filter_}, %none) {{kernel_shape = [3, 3], strides = [1, 1], '
        f"pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false, {attributes}}} : "
        f'({kinds[0]}, {kinds[1]}, none) -> {kinds[2]} loc("{name}")'
    )


SMALL, LARGE = type_of(1, 8, 12, 10), type_of(1, 64, 256, 256)
FILTER = type_of(8, 8, 3, 3)


def computed_filter(inside: bool, *, n: int = 1, h: int = 1) -> tpumlir.Module:
    """A convolution and a Relu with the result of an operation as their filter."""
    attributes = group(n=n, h=h)
    lines = [
        unary("f", "k", FILTER, attributes if inside else ""),
        conv("a", "x", "f", (SMALL, FILTER, SMALL), attributes),
        unary("b", "a", SMALL, attributes),
    ]
    return module({"x": SMALL, "k": FILTER}, lines, "b", SMALL)


def too_large(h: int) -> tpumlir.Module:
    lines = [unary("a", "x", LARGE, group(h=h)), unary("b", "a", LARGE, group(h=h))]
    return module({"x": LARGE}, lines, "b", LARGE)


def relus(*attributes: str, op: str = "Relu", more: str = "") -> tpumlir.Module:
    """A chain of Relu, the second one another operation perhaps."""
    lines, source = [], "x"
    for i, attribute in enumerate(attributes):
        both = ", ".join(filter(None, [attribute, more if i == 1 else ""]))
        lines.append(unary(f"t{i}", source, SMALL, both, op if i == 1 else "Relu"))
        source = f"t{i}"
    return module({"x": SMALL}, lines, source, SMALL)


def beside() -> tpumlir.Module:
    """An operation that has nothing to do with the group stands among its own."""
    lines = [
        unary("t0", "x", SMALL, group()),
        unary("other", "x", SMALL, ""),
        unary("t1", "t0", SMALL, group()),
        f'%sum = "tpu.Add"(%other, %t1) {{}} : ({SMALL}, {SMALL}) -> {SMALL} loc("sum")',
    ]
    return module({"x": SMALL}, lines, "sum", SMALL)


def shifted() -> tuple[tpumlir.Module, dict[str, np.ndarray]]:
    """sigmoid(x + b) + b, the second b through a Reshape: a constant that is read in two ways."""
    x, b = type_of(1, 8, 4, 4), type_of(1, 8, 1, 1)
    lines = [
        f'%b = "top.Weight"() : () -> {b} loc("b")',
        f'%sum = "tpu.Add"(%x, %b) {{}} : ({x}, {b}) -> {x} loc("sum")',
        f'%active = "tpu.Active"(%sum) {{mode = #tpu<active_mode SIGMOID>}} : ({x}) -> {x} loc("active")',
        f'%again = "tpu.Reshape"(%b) {{}} : ({b}) -> {b} loc("again")',
        f'%y = "tpu.Add"(%active, %again) {{}} : ({x}, {b}) -> {x} loc("y")',
    ]
    text = "\n".join(
        [
            HEAD,
            f"func.func @main(%arg0: {x}) -> {x} {{",
            f'%x = "top.Input"(%arg0) : ({x}) -> {x} loc("x")',
            *lines,
        ]
    )
    weights = {"b": np.linspace(-2, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1)}
    return tpumlir.Module.parse(f"{text}\nreturn %y : {x}\n}}\n}}\n", weights), weights


def test_a_filter_that_two_operations_pack_differently() -> None:
    """The taps of a transposed convolution lie by its phases, and those hang on its pads."""
    x, k, y = type_of(1, 16, 5, 6), type_of(6, 16, 4, 4), type_of(1, 6, 10, 12)
    window = "kernel_shape = [4, 4], strides = [2, 2], dilations = [1, 1], output_padding = [0, 0]"
    lines = [
        f'%{name} = "tpu.Deconv"(%x, %k, %none) {{{window}, with_bias = false, pads = {pads}, {group()}}} : '
        f'({x}, {k}, none) -> {y} loc("{name}")'
        for name, pads in (("a", [1, 1, 1, 1]), ("b", [0, 0, 2, 2]))
    ]
    lines.append(f'%sum = "tpu.Add"(%a, %b) {{{group()}}} : ({y}, {y}) -> {y} loc("sum")')
    made = module({"x": x, "k": k}, lines, "sum", y)
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.standard_normal((1, 16, 5, 6)).astype(np.float32),
        "k": rng.standard_normal((6, 16, 4, 4)).astype(np.float32),
    }
    together = made.compile().run(inputs)["sum"]
    alone = made.finalize(opt=0).compile().run(inputs)["sum"]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-4)


def test_a_constant_that_is_read_in_two_ways() -> None:
    made, _ = shifted()
    x = np.random.default_rng(0).standard_normal((1, 8, 4, 4)).astype(np.float32)
    alone = made.finalize(opt=0).compile().run({"x": x})["y"]
    grouped = made.finalize()
    assert "tpu.group" in grouped.print()
    assert np.array_equal(grouped.compile().run({"x": x})["y"], alone)


def test_a_group_without_the_place_of_its_constants_is_refused() -> None:
    made, weights = shifted()
    text, count = re.subn(r", tpu\.image = #tpu\.gmem<[^>]*>", "", made.finalize().print())
    assert count == 1
    with pytest.raises(tpumlir.TpumlirError, match=r"expected tpu\.image, the place of \d+ bytes"):
        tpumlir.Module.parse(text, weights).compile()


REFUSED: dict[str, tuple[Callable[[], tpumlir.Module], str, str]] = {
    "filter_inside": (
        lambda: computed_filter(True),
        "a",
        "filters and other whole operands of group 0 to be computed before it, "
        "whole operands are not sliced, got tpu.Relu in the group",
    ),
    "filter_sliced": (lambda: computed_filter(True, h=2), "a", "whole operands are not sliced, got tpu.Relu"),
    "too_large": (
        lambda: too_large(1),
        "a",
        "expected group 0 of 2 operations to fit into local memory in 1 x 1 slices (run tpu-group again)",
    ),
    "more_slices_than_rows": (lambda: relus(group(h=13), group(h=13)), "t0", "in 1 x 13 slices"),
    "more_slices_than_batches": (lambda: relus(group(n=2), group(n=2)), "t0", "in 2 x 1 slices"),
    "image": (
        lambda: relus(group(image=64), group(image=64)),
        "t0",
        "expected image = 0, the bytes of the constants of group 0, got 64 (run tpu-group again)",
    ),
    "interrupted": (
        lambda: relus(group(), "", group()),
        "t2",
        "expected operands of group 0 to be computed before it, got tpu.Relu",
    ),
    "beside": (
        beside,
        "other",
        "expected the operations of group 0 to follow each other, got tpu.Relu between them",
    ),
    "interrupted_by_a_group": (
        lambda: relus(group(), group(number=1), group()),
        "t2",
        "expected operands of group 0 to be computed before it, got tpu.Relu",
    ),
    "no_local_form": (
        lambda: relus(group(), group(), op="CumSum", more="axis = 3 : i64"),
        "t1",
        "expected operations of group 0 to have a local form, got tpu.CumSum",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_forged_group_is_refused(name: str) -> None:
    make, node, message = REFUSED[name]
    with pytest.raises(tpumlir.TpumlirError, match=re.escape(message)) as caught:
        make().compile()
    assert node in {d.node for d in caught.value.diagnostics}


@pytest.mark.parametrize(
    "make", [lambda: computed_filter(False), lambda: computed_filter(False, h=3), lambda: too_large(16)]
)
def test_its_neighbour_is_not(make: Callable[[], tpumlir.Module]) -> None:
    assert make().compile().groups
