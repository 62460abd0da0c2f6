"""What the tests of ``tpumlir reduce`` share: models, faults to plant, what was written."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import command_line
import onnx
from onnx import TensorProto, helper, numpy_helper

F32 = TensorProto.FLOAT
RNG = np.random.default_rng(3)

# Files that a user gives to --import.
WRAP = "from tpumlir.onnx.registry import wrap_converters\n"
ALPHA = """
    def wrong(node, convert):
        node.attributes = {**node.attributes, "alpha": 0.5}
        return convert(node)

    wrap_converters("LeakyRelu", wrong)
"""


def plant(text: str, name: str = "plant.py") -> list[str]:
    """The flags that import a planted fault, whose file is written here."""
    Path(name).write_text(WRAP + textwrap.dedent(text), encoding="utf-8")
    return ["--import", name]


def run(*argv: str) -> int:
    """``tpumlir reduce ARGV`` in this process."""
    return command_line.run("reduce", *argv)


def weight(name: str, *shape: int) -> Any:
    return numpy_helper.from_array((RNG.standard_normal(shape) * 0.3).astype(np.float32), name)


def ints(name: str, *values: int) -> Any:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def info(name: str, shape: Sequence[int | str] | None, kind: int = F32) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: Sequence[Any] = (),
    *,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
    opset: int = 17,
    ir_version: int = 8,
) -> None:
    """Write ``m.onnx``."""
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(constants))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions))
    onnx.save(model, "m.onnx")


def save_chain(*extra: Any, op_type: str = "LeakyRelu", **attributes: Any) -> None:
    """A chain of convolutions and activations; the one in the middle is ``op_type``."""
    nodes, constants, before = [], [], "x"
    for i in range(5):
        constants.append(weight(f"w{i}", 8, 8, 3, 3))
        nodes.append(helper.make_node("Conv", [before, f"w{i}"], [f"c{i}"], name=f"conv{i}", pads=[1] * 4))
        if i == 2:
            nodes.append(helper.make_node(op_type, [f"c{i}"], [f"a{i}"], name="middle", **attributes))
        else:
            nodes.append(helper.make_node("Sigmoid", [f"c{i}"], [f"a{i}"], name=f"act{i}"))
        before = f"a{i}"
    nodes += extra
    save(nodes, [info("x", [1, 8, 12, 12])], [info(before, [1, 8, 12, 12])], constants)


def save_ops(*op_types: str, shape: Sequence[int] = (2, 3)) -> None:
    """A chain of nodes of one operand, called n0, n1 ..., from x to y."""
    names = ["x", *(f"t{i}" for i in range(1, len(op_types))), "y"]
    nodes = [
        helper.make_node(op_type, [names[i]], [names[i + 1]], name=f"n{i}")
        for i, op_type in enumerate(op_types)
    ]
    save(nodes, [info("x", shape)], [info("y", shape)])


def script(text: str, name: str = "check.sh") -> list[str]:
    """The flags of a shell script that is written here."""
    path = Path(name)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return ["--script", name]


def reduced(folder: str = "m_reduced") -> Any:
    """The model that was written, which others take."""
    model = onnx.load(f"{folder}/model.onnx")
    onnx.checker.check_model(model)
    return model


def ops(folder: str = "m_reduced") -> list[str]:
    return [node.op_type for node in reduced(folder).graph.node]


def shows_again(folder: str = "m_reduced") -> bool:
    """What ``run.sh`` of the folder says, in this process."""
    line = Path(folder, "run.sh").read_text(encoding="utf-8").splitlines()[-1]
    words = shlex.split(line.removeprefix("exec tpumlir reduce "))
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run(*words) == 0
    finally:
        os.chdir(before)
