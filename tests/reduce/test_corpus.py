"""A wrong operator planted in real models becomes at most three nodes in at most a minute."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import onnx
from tpumlir.cli import main as tpumlir_main

PLANT = """
from tpumlir.onnx.registry import wrap_converters

def wrong(node, convert):
    node.attributes = {**node.attributes, "alpha": 1.5 * node.attributes.get("alpha", 0.1)}
    return convert(node)

wrap_converters("%s", wrong)
"""
# Wrong only where a network is deep: everything before it agrees.
LATE = """
from tpumlir.onnx.registry import wrap_converters

def wrong(node, convert):
    if node.op_type == "MatMul" and node.shape(1)[-1] > 1000:
        node.inputs = [node.inputs[0], -node.const(1)]
        node.input_names = [node.input_names[0], node.input_names[1] + "_negative"]
    return convert(node)

wrap_converters("MatMul", wrong)
"""
CASES = [
    ("stylegan2_256", PLANT % "LeakyRelu", "LeakyRelu"),
    ("ppocrv4_rec", PLANT % "HardSigmoid", "HardSigmoid"),
    ("ppocrv4_rec", LATE, "MatMul"),
]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "plant", "op_type"), CASES, ids=["stylegan2", "ppocrv4_rec", "last_product"]
)
def test_a_planted_operator_is_found(
    name: str, plant: str, op_type: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("plant.py").write_text(plant, encoding="utf-8")
    command = ["reduce", str(corpus / f"{name}.onnx"), "--test_input", str(corpus / f"{name}.npz")]
    start = time.monotonic()
    assert tpumlir_main.main([*command, "--fails-validation", "--import", "plant.py", "--json"]) == 0
    assert time.monotonic() - start < 60
    document = json.loads(capsys.readouterr().out)
    assert document["finished"]
    folder = Path(document["folder"])
    nodes = [node.op_type for node in onnx.load(folder / "model.onnx").graph.node]
    assert op_type in nodes
    assert len(nodes) <= 3
    line = (folder / "run.sh").read_text(encoding="utf-8").splitlines()[-1]
    os.chdir(folder)
    assert tpumlir_main.main(line.removeprefix("exec tpumlir ").split()) == 0
