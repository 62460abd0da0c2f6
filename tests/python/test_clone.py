"""Clones of a module: nothing is copied that need not be, and each lives for itself, in threads too."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tpumlir import errors
from tpumlir._core import codegen, ir
from tpumlir._core.interpreter import Interpreter

CONV: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}
THREADS = 4


def chain(blocks: int = 3, name: str = "net") -> ir.Module:
    """Convolutions, each with a Scale behind it (to fold), a Relu and a sum with what went in."""
    rng = np.random.default_rng(blocks)
    g = ir.GraphBuilder(name)
    x = g.input("x", [1, 8, 6, 6])
    for i in range(blocks):
        w = g.weight(f"w{i}", rng.random((8, 8, 3, 3), np.float32) - np.float32(0.5))
        scale = g.weight(f"s{i}", rng.random((1, 8, 1, 1), np.float32))
        bias = g.weight(f"b{i}", rng.random((1, 8, 1, 1), np.float32))
        y = g.op("top.Conv", [x, w, g.none()], CONV, names=[f"conv{i}"], node=f"Conv_{i}")
        y = g.op("top.Scale", [*y, scale, bias], {}, names=[f"scaled{i}"])
        y = g.op("top.Relu", y, {}, names=[f"relu{i}"])
        (x,) = g.op("top.Add", [*y, x], {}, names=[f"sum{i}"])
    return g.finish([x])


def state(module: ir.Module) -> tuple[str, dict[str, bytes]]:
    return module.print(), {name: data.tobytes() for name, data in module.weights().items()}


def program(top: ir.Module, mode: str) -> tuple[str, list[bytes]]:
    final = codegen.finalize(codegen.lower(top, mode=mode))
    code = codegen.compile(final)
    return final.print(), [code.coeff, *(part for group in code.segments for part in (group.tiu, group.gdma))]


STAGES: dict[str, Callable[[], ir.Module]] = {
    "Top": chain,
    "Tpu F32": lambda: codegen.lower(chain(), mode="F32"),
    "Tpu F16": lambda: codegen.lower(chain(), mode="F16"),
    "final BF16": lambda: codegen.finalize(codegen.lower(chain(), mode="BF16")),
    "cut": lambda: chain().cut(["sum0"], ["relu2", "conv1"]),
    "parsed": lambda: ir.Module.parse(chain().print(), chain().weights()),
    "without data": lambda: ir.Module.parse(chain().print()),
}
CHANGES: dict[str, Callable[[ir.Module], Any]] = {
    "attribute": lambda m: m.set_attribute("module.weight_file", "other.npz"),
    "canonicalize": lambda m: m.run_pipeline("shape-infer,canonicalize,extra-optimize"),
    "lower": lambda m: codegen.lower(m, mode="F16"),
    "cut": lambda m: m.cut(["x"], ["relu0"]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_clone_is_the_same(stage: str) -> None:
    module = STAGES[stage]()
    clone = module.clone()
    assert state(clone) == state(module)
    assert state(ir.Module.parse(clone.print(), clone.weights() or None)) == state(module)
    assert [repr(op) for op in clone.ops()] == [repr(op) for op in module.ops()]


@pytest.mark.parametrize("stage", ["Top", "Tpu F16", "final BF16"])
def test_a_clone_has_the_same_bytes_in_memory(stage: str) -> None:
    module = STAGES[stage]()
    clone = module.clone().clone()
    assert module.weights()
    for name, data in module.weights().items():
        assert np.shares_memory(data, clone.weights()[name]), name


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", ["module", "clone"])
def test_what_changes_one_leaves_the_other(change: str, side: str) -> None:
    module = chain()
    clone = module.clone()
    before = state(module)
    changed, kept = (module, clone) if side == "module" else (clone, module)
    CHANGES[change](changed)
    assert state(kept) == before
    assert program(kept, "F16") == program(chain(), "F16")


def test_lowering_twice_shares_what_no_step_changes() -> None:
    top = chain()
    first, second = (codegen.lower(top, mode="F32") for _ in range(2))
    for name, data in first.weights().items():
        if name in top.weights():
            assert np.shares_memory(data, top.weights()[name])
            assert np.shares_memory(data, second.weights()[name])


@pytest.mark.parametrize("seed", range(6))
def test_clones_die_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    family = [chain()]
    expected = state(family[0])
    for _ in range(30):
        if len(family) > 1 and rng.random() < 0.45:
            del family[rng.randrange(len(family))]
            gc.collect()
        else:
            family.append(rng.choice(family).clone())
    for module in family:
        assert state(module) == expected


def test_an_interpreter_outlives_its_module() -> None:
    x = np.random.default_rng(0).random((1, 8, 6, 6), np.float32)
    module = chain()
    expected = Interpreter(module).run({"x": x})["sum2"]
    interpreter = Interpreter(module.clone())
    module.run_pipeline("canonicalize")
    del module
    gc.collect()
    np.testing.assert_array_equal(interpreter.run({"x": x})["sum2"], expected)


# --- threads ----------------------------------------------------------------------


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """The answers of all threads, which begin together."""
    barrier = threading.Barrier(THREADS)

    def begin(i: int) -> Any:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def test_threads_compile_clones_of_one_module() -> None:
    modes = ["F32", "F16", "BF16", "F16"]
    expected = {mode: program(chain(12), mode) for mode in modes}
    top = chain(12)
    clones = [top.clone() for _ in range(THREADS)]
    for _ in range(10):
        answers = at_once(lambda i: program(clones[i], modes[i]))
        assert answers == [expected[mode] for mode in modes]


def test_threads_compile_one_module() -> None:
    top = chain(8)
    tpu = codegen.lower(top, mode="F16")
    final = codegen.finalize(tpu)
    expected = program(chain(8), "F16")

    def work(i: int) -> tuple[str, list[bytes]]:
        codegen.check_code(final)
        Interpreter(top).run({"x": np.zeros((1, 8, 6, 6), np.float32)})
        codegen.compile(final)
        return program((top, top.clone())[i % 2], "F16")

    for _ in range(10):
        assert at_once(work) == [expected] * THREADS


def test_threads_cut_and_rewrite_clones() -> None:
    top = chain(8)

    def work(i: int) -> Any:
        clone = top.clone()
        clone.run_pipeline("shape-infer,canonicalize")
        return [state(clone), state(top.cut([f"sum{i}"], [f"sum{i + 2}"]))]

    alone = [work(i) for i in range(THREADS)]
    for _ in range(10):
        assert at_once(work) == alone


def test_errors_go_to_the_thread_that_made_them() -> None:
    top = chain()

    def work(i: int) -> None:
        for round_ in range(50):
            chip = f"chip{i}x{round_}"
            with pytest.raises(errors.TpumlirError) as caught:
                codegen.lower(top, chip=chip)
            assert len(caught.value.diagnostics) == 1
            assert chip in str(caught.value)

    at_once(work)


def test_a_module_is_read_while_it_changes() -> None:
    """Whoever waits must not hold what the other needs: dropped arrays want the GIL."""
    weights = chain(4).weights()
    text = chain(4).print()
    for _ in range(20):
        module = ir.Module.parse(text, {name: data.copy() for name, data in weights.items()})

        def work(i: int, module: ir.Module = module) -> set[str]:
            seen = set()
            for round_ in range(5):
                if i == 0:
                    module.run_pipeline("canonicalize,extra-optimize")
                elif i == 1:
                    module.set_attribute("module.weight_file", f"{round_}.npz")
                else:
                    seen.add(module.name)
                    assert len(module.ops()) in (4 * 7 + 1, len(module.clone().ops()))
                    assert [o.name for o in module.outputs] == ["sum3"]
                    module.weights()
                    module.attributes  # noqa: B018
            return seen

        at_once(work)


# --- cost -------------------------------------------------------------------------


def test_a_clone_costs_little() -> None:
    module = chain(700)  # 4,900 operations

    def best(step: Callable[[], Any]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return min(times)

    weights = module.weights()
    assert best(module.clone) < best(lambda: ir.Module.parse(module.print(), weights)) / 4


GROWTH = """
import sys
sys.path.insert(0, sys.argv[1])
import test_clone
from tpumlir._core import codegen

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024

def work(count):
    for i in range(count):
        {work}

top = test_clone.chain(8)
work(20)
before = resident()
work(200)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "work",
    [
        pytest.param("test_clone.program(test_clone.chain(8, f'net{i}'), 'F16')", id="many models"),
        pytest.param("test_clone.program(top.clone(), 'F16')", id="one model again and again"),
        pytest.param("top.cut([f'sum{i % 6}'], [f'sum{i % 6 + 1}'])", id="many cuts"),
    ],
)
def test_memory_does_not_grow_with_what_was_compiled(work: str) -> None:
    from pathlib import Path

    done = subprocess.run(
        [sys.executable, "-c", GROWTH.format(work=work), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    # A context that stayed would be 0.5 MiB each time.
    assert float(done.stdout) < 30, f"{done.stdout} MiB"
