"""The files that pages of docs/ speak of: small ones, under the names that the pages use."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import onnx
import tpumlir
from docs.blocks import ROOT, write_program
from onnx import TensorProto, helper, numpy_helper
from tpumlir import bmodel, npz
from tpumlir.road.compile import deploy, transform


def _constant(rng: np.random.Generator, name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array((0.1 * rng.standard_normal(shape)).astype(np.float32), name)


def _model() -> onnx.ModelProto:
    """Two branches that are joined; its tensors have the names that pages give to theirs."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "fa"], ["a"], name="conv_a", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "fb"], ["b"], name="conv_b", pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["a", "b"], ["mul_12"], name="join"),
        helper.make_node("Conv", ["mul_12", "fc"], ["conv_7"], name="Conv_12", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["conv_7"], ["s"], name="node_s"),
        helper.make_node("Mul", ["mul_12", "s"], ["y"], name="gated"),
    ]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 16, 16])
        for name, channels in (("x", 3), ("y", 8))
    ]
    constants = [
        _constant(rng, "fa", 8, 3, 3, 3),
        _constant(rng, "fb", 8, 3, 3, 3),
        _constant(rng, "fc", 8, 8, 3, 3),
    ]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], constants)
    return _wrapped(graph)


def _wrapped(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _samples(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def small_cnn(folder: Path) -> None:
    """``model.onnx`` and ``input.npz``, which some pages call ``net.onnx``, ``x.npz`` and ``in.npz``."""
    for name in ("model.onnx", "net.onnx"):
        onnx.save(_model(), folder / name)
    for name in ("input.npz", "x.npz", "in.npz"):
        npz.save(folder / name, _samples(1)[0])


def leaky(folder: Path) -> None:
    """``net.onnx``: a convolution and activations, among them one with a slope."""
    nodes = [
        helper.make_node("Conv", ["x", "f"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Sub", ["a", "b"], ["c"], name="negative"),
        helper.make_node("LeakyRelu", ["c"], ["d"], name="act3", alpha=0.1),
        helper.make_node("Add", ["b", "d"], ["y"], name="sum"),
    ]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 16, 16])
        for name, channels in (("x", 3), ("y", 8))
    ]
    filters = [_constant(np.random.default_rng(0), "f", 8, 3, 3, 3)]
    onnx.save(_wrapped(helper.make_graph(nodes, "leaky", infos[:1], infos[1:], filters)), folder / "net.onnx")


@cache
def _net() -> Path:
    folder = Path(mkdtemp(prefix="tpumlir-docs-"))
    small_cnn(folder)
    top = transform(folder / "model.onnx", name="net", test_input=folder / "input.npz")
    top.module.save(folder / "net.mlir")
    npz.save(folder / "net_top_outputs.npz", top.inputs | top.tensors)
    deployed = deploy(top.module, quantize="F16", reference=top.inputs | top.tensors, test_input=top.inputs)
    deployed.tpu.save(folder / "net_tpu.mlir")
    deployed.final.save(folder / "net_final.mlir")
    for name in ("net.bmodel", "model.bmodel"):
        bmodel.write(folder / name, deployed.bmodel)
    (folder / "calib").mkdir()
    for number, sample in enumerate(_samples(6)):
        npz.save(folder / "calib" / f"{number}.npz", sample)
    return folder


def net(folder: Path) -> None:
    """The same, every file that model_transform and model_deploy make of it, and samples in ``calib``."""
    shutil.copytree(_net(), folder, dirs_exist_ok=True)


def photo(folder: Path) -> None:
    """``net.onnx``, which takes pictures, and two of them."""
    from PIL import Image

    rng = np.random.default_rng(2)
    nodes = [helper.make_node("Conv", ["image", "f"], ["y"], name="conv", strides=[4, 4])]
    infos = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 56, 56]),
    ]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], [_constant(rng, "f", 4, 3, 4, 4)])
    onnx.save(_wrapped(graph), folder / "net.onnx")
    for name in ("photo.jpg", "other.jpg"):
        Image.fromarray(rng.integers(0, 256, (240, 320, 3), np.uint8)).save(folder / name)


def qdq(folder: Path) -> None:
    """``net_qdq.onnx``, a convolution between pairs of QuantizeLinear and DequantizeLinear."""
    rng = np.random.default_rng(3)
    nodes = []
    constants = [
        numpy_helper.from_array(rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8), "wq"),
        *(
            numpy_helper.from_array(np.float32(value), name)
            for name, value in (("sx", 0.02), ("sw", 0.01), ("sy", 0.1))
        ),
        *(numpy_helper.from_array(np.int8(0), name) for name in ("zx", "zw", "zy")),
    ]
    for name, scale, zero, result in (("x", "sx", "zx", "xd"), ("conv", "sy", "zy", "y")):
        pair = [
            helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"], name=f"q_{name}"),
            helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [result], name=f"d_{name}"),
        ]
        if name == "conv":
            nodes.append(helper.make_node("DequantizeLinear", ["wq", "sw", "zw"], ["w"], name="d_w"))
            nodes.append(helper.make_node("Conv", ["xd", "w"], ["conv"], name="conv", strides=[2, 2]))
        nodes += pair
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 111, 111]),
    ]
    onnx.save(
        _wrapped(helper.make_graph(nodes, "net", infos[:1], infos[1:], constants)), folder / "net_qdq.onnx"
    )


def decoder(folder: Path) -> None:
    """``decoder_model_merged.onnx``: an input chooses one of two branches, as in exported decoders."""

    def branch(op: str) -> onnx.GraphProto:
        node = helper.make_node(op, ["x", "x"], [f"{op}_y"], name=f"branch_{op}")
        return helper.make_graph(
            [node], op, [], [helper.make_tensor_value_info(f"{op}_y", TensorProto.FLOAT, [1, 8])]
        )

    node = helper.make_node(
        "If", ["use_cache_branch"], ["y"], name="choose", then_branch=branch("Mul"), else_branch=branch("Add")
    )
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8]),
        helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])]
    onnx.save(
        _wrapped(helper.make_graph([node], "decoder", inputs, outputs)), folder / "decoder_model_merged.onnx"
    )


def rec(folder: Path) -> None:
    """``rec.onnx``, which takes lines of any length."""
    rng = np.random.default_rng(4)
    nodes = [
        helper.make_node("Conv", ["x", "f"], ["features"], name="conv", strides=[8, 8]),
        helper.make_node("Sigmoid", ["features"], ["y"], name="sigmoid"),
    ]
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 48, "width"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, "steps"]),
    ]
    graph = helper.make_graph(nodes, "rec", infos[:1], infos[1:], [_constant(rng, "f", 4, 3, 8, 8)])
    onnx.save(_wrapped(graph), folder / "rec.onnx")


def stages(folder: Path) -> None:
    """``a.bmodel``, ``b.bmodel`` and ``c.bmodel``, a network ``rec`` for three widths; ``x.npz`` for one."""
    rec(folder)
    for name, width in (("a", 160), ("b", 320), ("c", 480)):
        shape = [1, 3, 48, width]
        compiled = tpumlir.compile_onnx(folder / "rec.onnx", name="rec", input_shapes=[shape])
        bmodel.write(folder / f"{name}.bmodel", compiled.bmodel)
    npz.save(folder / "x.npz", {"x": np.zeros(shape, np.float32)})


def cancels(folder: Path) -> None:
    """``net.onnx``, for which F16 has too few digits: it adds much and takes it away; ``x.npz``."""
    nodes = [
        helper.make_node("Conv", ["x", "f"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Add", ["b", "much"], ["c"], name="up"),
        helper.make_node("Sub", ["c", "much"], ["d"], name="down"),
        helper.make_node("Sigmoid", ["d"], ["y"], name="sigmoid"),
    ]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 16, 16])
        for name, channels in (("x", 3), ("y", 8))
    ]
    constants = [
        _constant(np.random.default_rng(0), "f", 8, 3, 3, 3),
        numpy_helper.from_array(np.float32(30_000), "much"),
    ]
    onnx.save(_wrapped(helper.make_graph(nodes, "net", infos[:1], infos[1:], constants)), folder / "net.onnx")
    npz.save(folder / "x.npz", _samples(1)[0])


def other_compiler(folder: Path) -> None:
    """A program ``other-compiler`` that dies of a LeakyRelu."""
    (folder / "bin").mkdir(exist_ok=True)
    write_program(
        folder / "bin" / "other-compiler",
        'grep -q LeakyRelu "$1" || exit 0\necho "Assertion \'alpha\' failed" >&2\nexit 134\n',
    )


def examples(folder: Path) -> None:
    """``examples/regress``."""
    shutil.copytree(
        ROOT / "examples" / "regress", folder / "examples" / "regress", dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("models", "*.regress"),
    )  # fmt: skip


def draggan(folder: Path) -> None:
    """``stylegan2.py`` of the example, where Python finds it."""
    shutil.copy(ROOT / "examples" / "draggan" / "stylegan2.py", folder)


def classifier(folder: Path) -> None:
    """``model.onnx``, which takes batches of pictures of any size, and ``input.npz``."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Conv", ["input", "f"], ["features"], name="conv", strides=[8, 8]),
        helper.make_node("Relu", ["features"], ["active"], name="relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["classes"], name="flatten"),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["N", 16])],
        [_constant(rng, "f", 16, 3, 8, 8)],
    )
    onnx.save(_wrapped(graph), folder / "model.onnx")
    np.savez(folder / "input.npz", input=rng.standard_normal((1, 3, 224, 224)).astype(np.float32))


MAKERS = {
    "classifier": classifier, "small_cnn": small_cnn, "net": net, "photo": photo, "qdq": qdq,
    "decoder": decoder, "rec": rec, "leaky": leaky, "stages": stages, "cancels": cancels,
    "other_compiler": other_compiler,
    "examples": examples, "draggan": draggan,
}  # fmt: skip
