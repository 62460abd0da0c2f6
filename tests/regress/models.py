"""Tiny models and suites of them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import command_line
import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz

SHAPE = [1, 4, 8]


def write(path: Path, op: str = "Relu", *, domain: str = "", seed: int = 0, scale: float = 1.0) -> Path:
    """A model of one elementwise node, and its input beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    node = helper.make_node(op, ["x"], ["y"], name=f"{op}_0", domain=domain)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    graph = helper.make_graph([node], "g", info[:1], info[1:])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    values = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32) * np.float32(scale)
    npz.save(path.with_suffix(".npz"), {"x": values})
    return path


def write_external(path: Path, value: float) -> Path:
    """x + w with the data of w in a file beside the model."""
    path.with_suffix(".data").unlink(missing_ok=True)  # or onnx would write behind what is there
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    weight = numpy_helper.from_array(np.full(SHAPE, value, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", info[:1], info[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(
        model, path, save_as_external_data=True, location=f"{path.stem}.data", size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    return path


def suite(folder: Path, text: str, plugin: str = "") -> Path:
    """A TOML file in ``folder``, with a plugin beside it if there is one."""
    folder.mkdir(exist_ok=True)
    path = folder / "suite.toml"
    if plugin:
        (folder / "hook.py").write_text(textwrap.dedent(plugin))
        text = f'[suite]\nplugin = "hook.py"\n{textwrap.dedent(text)}'
    path.write_text(textwrap.dedent(text))
    return path


def run(*words: object) -> int:
    """``tpumlir regress`` with few processes."""
    return command_line.run("regress", *words, "--jobs", "2")


def results(path: Path) -> dict[str, dict[str, Any]]:
    """The cases in the folder of results of a suite, by id."""
    document = json.loads((folder_of(path) / "results.json").read_bytes())
    return {case["id"]: case for case in document["cases"]}


def folder_of(path: Path) -> Path:
    """Where the results of a suite are."""
    return path.with_name(f"{path.name}.regress")


def statuses(path: Path) -> dict[str, tuple[str, str]]:
    """Verdict and status of each case."""
    return {name: (case["verdict"], case["status"]) for name, case in results(path).items()}


def times_run(log: Path) -> Sequence[str]:
    """What a plugin wrote, one line for each case that was compiled."""
    return log.read_text().split() if log.exists() else []
