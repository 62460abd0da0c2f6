"""Random nodes of an ONNX graph: named, refused, or replaced by what a compiler can hold still.

A bmodel computes the same for the same inputs, so noise has to be a constant or an input of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, UnsupportedError
from tpumlir.onnx.fold import RANDOM_OPS

Array = npt.NDArray[Any]
RandomMode = Literal["const", "zero", "input"]
RANDOM_MODES: tuple[RandomMode, ...] = ("const", "zero", "input")


def random_nodes(proto: Any) -> list[Any]:
    """The nodes of the main graph whose result differs from run to run."""
    return [node for node in proto.graph.node if node.op_type in RANDOM_OPS and not node.domain]


def module_path(node: Any) -> str:
    """Where in the source model a node comes from: exporters name it ``/synthesis/b8/conv0/Add``."""
    name: str = node.name or node.output[0]
    path: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):  # torch writes /net/net.1 for the second layer of a list
            path.pop()
        path.append(part)
    return ".".join(path) or "the top level"


def refuse_random(proto: Any) -> None:
    """Raises: UnsupportedError: one diagnostic for each random node, with its place and the remedy."""
    nodes = random_nodes(proto)
    if nodes:
        raise UnsupportedError(
            *(
                Diagnostic(
                    f"{node.op_type} in {module_path(node)} draws new numbers at every run"
                    " (replace it with random='const', 'zero' or 'input', as a command --random)",
                    node.name or node.output[0],
                )
                for node in nodes
            ),
            op=nodes[0].op_type,
        )


def replace_random(
    proto: Any, mode: RandomMode, inputs: Mapping[str, Array], *, seed: int = 0
) -> dict[str, Array]:
    """Replace every random node of ``proto`` in place; returns the inputs that were added, with values.

    ``const`` keeps one draw, ``zero`` makes the noise zero, ``input`` makes it an input of the node's output
    name. ``inputs`` are values for the model's inputs, since shapes and probabilities may depend on them.
    Raises: TpumlirError: ONNX Runtime cannot run the model.
    """
    from onnx import helper, numpy_helper

    nodes = random_nodes(proto)
    drawn = _draw(proto, [node.output[0] for node in nodes], inputs, seed)
    for node in nodes:
        proto.graph.node.remove(node)
    if mode == "input":
        proto.graph.input.extend(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in drawn.items()
        )
        return drawn
    for name, value in drawn.items():
        kept = np.zeros_like(value) if mode == "zero" else value
        proto.graph.initializer.append(numpy_helper.from_array(kept, name))
    return {}


def _draw(proto: Any, names: Sequence[str], inputs: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """What the random nodes give in one run; the same for the same seed."""
    import onnxruntime

    from tpumlir.onnx.load import load
    from tpumlir.onnx.reference import run_onnx

    if not names:
        return {}
    onnxruntime.set_seed(seed)
    results = run_onnx(load(proto), inputs, names)
    return {name: results[name] for name in names}
