"""What holds for every program: the same bytes twice, names behind commands, memory shared rightly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from tpumlir._core import codegen, ir, isa

Array = npt.NDArray[np.float32]


def chain(blocks: int = 3) -> tuple[ir.Module, dict[str, Array]]:
    """x -> (Conv + Relu, Add of the block's input) repeated -> y, with a second output from the middle."""
    rng = np.random.default_rng(5)
    g = ir.GraphBuilder("chain")
    value = g.input("x", (1, 8, 10, 12))
    middle = value
    for i in range(blocks):
        w = g.weight(f"w{i}", rng.standard_normal((8, 8, 3, 3)).astype(np.float32) / 8)
        b = g.weight(f"b{i}", rng.standard_normal(8).astype(np.float32))
        attrs: dict[str, list[int] | bool] = {
            "kernel_shape": [3, 3],
            "strides": [1, 1],
            "pads": [1, 1, 1, 1],
            "do_relu": True,
        }
        (conv,) = g.op("top.Conv", [value, w, b], attrs, names=[f"conv{i}"], node=f"Conv_{i}")
        (value,) = g.op("top.Add", [conv, value], {}, names=[f"add{i}"], node=f"Add_{i}")
        middle = conv
    module = g.finish([value, middle])
    return module, {"x": rng.standard_normal((1, 8, 10, 12)).astype(np.float32)}


@pytest.fixture(scope="module")
def placed() -> ir.Module:
    return codegen.finalize(codegen.lower(chain()[0]))


def test_the_same_module_gives_the_same_bytes(placed: ir.Module) -> None:
    once, again = codegen.compile(placed), codegen.compile(codegen.finalize(codegen.lower(chain()[0])))
    assert once.coeff == again.coeff
    assert [(g.tiu, g.gdma) for g in once.segments] == [(g.tiu, g.gdma) for g in again.segments]


def test_every_command_knows_its_op_and_node(placed: ir.Module) -> None:
    program = codegen.compile(placed)
    commands = sum(g.tiu_count + g.gdma_count for g in program.segments)
    ends = 2 * len(program.segments)
    assert len(program.debug) == commands - ends
    assert {(op, node) for _engine, _id, op, node, _group in program.debug} == {
        *(("tpu.Conv2D", f"Conv_{i}") for i in range(3)),
        *(("tpu.Add", f"Add_{i}") for i in range(3)),
    }


def test_tensors_that_live_together_lie_apart(placed: ir.Module) -> None:
    program = codegen.compile(placed)
    end = program.ctx_addr + program.ctx_size
    spans = sorted((t.address, t.address + t.size) for t in [*program.inputs, *program.outputs])
    assert spans[0][0] >= program.ctx_addr >= program.coeff_addr + len(program.coeff)
    assert spans[-1][1] <= end
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_memory_is_reused_when_a_tensor_is_dead() -> None:
    sizes = [codegen.compile(codegen.finalize(codegen.lower(chain(n)[0]))).ctx_size for n in (4, 12)]
    assert sizes[0] == sizes[1]


def test_long_chain_equals_the_interpreter_and_has_no_race() -> None:
    core, inputs = chain(6)
    tpu = tpumlir.Module(core).lower()
    want = tpumlir.ModuleInterpreter(tpu).run(inputs)
    got = tpu.compile().run(inputs, detect_races=True)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5)


def test_final_text_is_read_back_with_its_places(placed: ir.Module) -> None:
    text = placed.print()
    assert "tpu.place = [#tpu.gmem<region = io" in text
    again = ir.Module.parse(text, placed.weights())
    assert codegen.compile(again).segments[0].tiu == codegen.compile(placed).segments[0].tiu


def test_every_op_without_a_lowering_is_named_at_once() -> None:
    g = ir.GraphBuilder("unsupported")
    x = g.input("x", (1, 4))
    values = [g.op("top.Shape", [x], {}, names=[f"t{i}"], node=f"Shape_{i}")[0] for i in range(2)]
    with pytest.raises(tpumlir.UnsupportedError) as caught:
        codegen.lower(g.finish(values))
    assert [d.node for d in caught.value.diagnostics] == ["Shape_0", "Shape_1"]
    assert all("top.Shape is not supported in F32" in d.message for d in caught.value.diagnostics)


def test_code_generation_without_places_says_what_to_run() -> None:
    with pytest.raises(tpumlir.PassError, match="run address-assign first"):
        codegen.compile(codegen.lower(chain()[0]))


def test_output_that_is_a_constant_or_an_input_is_copied() -> None:
    g = ir.GraphBuilder("copies")
    x = g.input("x", (2, 3))
    w = g.weight("w", np.arange(6, dtype=np.float32).reshape(2, 3))
    (y,) = g.op("top.Relu", [x], {}, names=["y"], node="Relu_0")
    module = tpumlir.Module(g.finish([w, x, y])).lower().compile()
    inputs = {"x": np.array([[-1, 2, 3], [4, -5, 6]], np.float32)}
    got = module.run(inputs)
    np.testing.assert_array_equal(got["y"], np.maximum(inputs["x"], 0))


@pytest.mark.parametrize(
    ("shape", "order", "commands"),
    [
        ((2, 3, 40, 50), (0, 2, 3, 1), 1),
        ((2, 3, 40, 50), (3, 1, 2, 0), 1),
        ((2, 3, 4, 5, 6), (4, 2, 0, 3, 1), 2),
    ],
)
def test_permutation_is_transposed_by_the_engine(
    shape: tuple[int, ...], order: tuple[int, ...], commands: int
) -> None:
    g = ir.GraphBuilder("permute")
    value = g.input("x", shape)
    (value,) = g.op("top.Permute", [value], {"order": list(order)}, names=["y"], node="Transpose_0")
    compiled = tpumlir.Module(g.finish([value])).lower().compile()
    ops = [command.op for group in compiled.groups for command in isa.decode("gdma", group.gdma)]
    assert ops == ["dma.cw_transpose"] * commands + ["dma.sys"]
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(compiled.run({"x": x})["y"], x.transpose(order))
