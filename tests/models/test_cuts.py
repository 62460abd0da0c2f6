"""Random parts of real models at every stage: each runs alone and computes what it computes in the whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import tpumlir
from tpumlir import npz
from tpumlir.compare import Tolerance, compare
from tpumlir.ir import cut
from tpumlir.ir.graph import Graph, results
from tpumlir.road.reproducer import Reproducer

CUTS = 20
# The same arithmetic; only what is fused or blocked differently may differ, and in F16 be rounded otherwise.
TOLERANCE = Tolerance(0.999999, 0.99999)
F16_TOLERANCE = Tolerance(0.9999, 0.999)


@pytest.mark.corpus
@pytest.mark.parametrize("stage", ["top", "tpu", "final", "tpu in F16"])
@pytest.mark.parametrize("name", ["ppocr_cls", "stylegan2_256"])
def test_random_cuts_reproduce_the_whole(name: str, stage: str, corpus: Path) -> None:
    inputs = npz.load(corpus / f"{name}.npz")
    module = tpumlir.load_onnx(
        corpus / f"{name}.onnx", input_shapes=[list(value.shape) for value in inputs.values()]
    )
    if stage != "top":
        module = module.lower("F16" if stage.endswith("F16") else "F32")
    tolerance = F16_TOLERANCE if stage.endswith("F16") else TOLERANCE
    if stage == "final":
        module = module.finalize()
    values = inputs | tpumlir.ModuleInterpreter(module).run(inputs, all_tensors=True)
    graph = Graph(module)
    computed = [name for op in graph.ops if op.kind != "top.Input" for name in results(op)]
    rng = random.Random(20)
    for _ in range(CUTS):
        depth = rng.randint(1, 10)
        chosen = rng.sample([n for n in computed if n not in graph.outputs], rng.randint(1, 2))
        if rng.random() < 0.5:
            part = cut.backwards(module, chosen, depth)
        else:
            part = cut.forwards(module, chosen, depth)
        want = Reproducer.of(part, values)
        runs = [tpumlir.ModuleInterpreter(part).run(want.inputs)]
        if stage == "final":
            runs.append(part.compile().run(want.inputs))
        for got in runs:
            compare(got, want.outputs, tolerance=tolerance).raise_if_failed()
