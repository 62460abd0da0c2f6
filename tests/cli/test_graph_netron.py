"""The ONNX file of ``tpumlir graph`` in Netron itself, in a browser that reaches nothing but this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import onnx
import tpumlir
from command_line import run
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz

# Every stage, every width of a float and quantised integers; with and without constants.
CASES: list[tuple[str, tuple[str, ...]]] = [
    ("net.mlir", ()),
    ("net_int8_tpu.mlir", ("--weights",)),
    ("net_bf16_tpu.mlir", ("--weights",)),
    ("net_f16_final.mlir", ()),
]
PRECISION = {"net_int8_tpu.mlir": "INT8", "net_bf16_tpu.mlir": "BF16", "net_f16_final.mlir": "F16"}


def model() -> onnx.ModelProto:
    """A convolution, two that read it, and what joins them."""
    rng = np.random.default_rng(0)
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "f"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        node("Conv", ["a", "g"], ["b"], name="left"),
        node("Conv", ["a", "h"], ["c"], name="right"),
        node("Sigmoid", ["c"], ["s"], name="gate"),
        node("Mul", ["b", "s"], ["y"], name="join"),
    ]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 12, 12])
        for name, channels in (("x", 3), ("y", 8))
    ]
    constants = [
        numpy_helper.from_array((0.3 * rng.standard_normal(shape)).astype(np.float32), name)
        for name, shape in (("f", (8, 3, 3, 3)), ("g", (8, 8, 1, 1)), ("h", (8, 8, 1, 1)))
    ]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("netron")
    onnx.save(model(), folder / "net.onnx")
    top = tpumlir.load_onnx(folder / "net.onnx")
    x = np.random.default_rng(1).standard_normal((1, 3, 12, 12)).astype(np.float32)
    table = tpumlir.calibrate(top, [{"x": x}, {"x": -x}])
    top.save(folder / "net.mlir")
    top.lower("INT8", calibration_table=table).save(folder / "net_int8_tpu.mlir")
    top.lower("BF16").save(folder / "net_bf16_tpu.mlir")
    npz.save(folder / "x.npz", {"x": x})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        deploy = ("--quantize", "F16", "--skip_validation", "--model", "net_f16.bmodel")
        assert run("model_deploy", "--mlir", "net.mlir", *deploy) == 0
    return folder


class Netron:
    """A page of Netron as a user sees it. Netron takes ``eval`` from it, so only locators work."""

    def __init__(self, browser: Any, path: Path) -> None:
        self._server = pytest.importorskip("netron", reason="needs netron")
        self._address = self._server.start(str(path), ("127.0.0.1", 0), browse=False)
        self.problems: list[str] = []
        self.page = browser.new_page(viewport={"width": 1000, "height": 1400})
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.route("**/*", self._gate)
        address = "http://{}:{}/".format(*self._address)
        # It draws nothing once its release is half a year old. Its own page says when that was.
        released = self.page.request.get(address).text().partition('name="date" content="')[2][:10]
        if released:
            self.page.clock.set_fixed_time(released)
        self.page.goto(address)
        # It asks whether it may report what it does to hosts that are not reached here.
        self.page.get_by_text("Accept", exact=True).click()
        self.page.locator("#edge-paths, #canvas .node").first.wait_for()

    def _gate(self, route: Any) -> None:
        here = urlsplit(route.request.url).hostname == "127.0.0.1"
        route.continue_() if here else route.abort()

    def boxes(self) -> list[str]:
        """Texts of the boxes."""
        found = self.page.locator("#canvas .node-item-type")
        found.first.wait_for()
        return [found.nth(i).text_content() for i in range(found.count())]

    def properties(self, op: str) -> str:
        """What the panel says of the first box of this operation."""
        self.page.locator("#canvas .node-item-type", has_text=op).first.click()
        panel = self.page.locator("#sidebar")
        panel.get_by_text("ATTRIBUTES").wait_for()
        return str(panel.inner_text()) + " ".join(
            str(field.input_value()) for field in panel.locator("input").all()
        )

    def close(self) -> None:
        self.page.close()
        self._server.stop(self._address)


@pytest.fixture
def netron(browser: Any) -> Iterator[Any]:
    opened: list[Netron] = []

    def show(path: Path) -> Netron:
        opened.append(Netron(browser, path))
        return opened[-1]

    yield show
    for one in opened:
        one.close()


@pytest.mark.parametrize(("module", "weights"), CASES, ids=[module for module, _ in CASES])
def test_netron_draws_every_operation_and_edge(
    module: str, weights: tuple[str, ...], built: Path, netron: Any, tmp_path: Path
) -> None:
    file = tmp_path / "net.onnx"
    assert run("graph", str(built / module), "--onnx", str(file), *weights) == 0
    graph = onnx.load(file).graph
    held = {tensor.name for tensor in graph.initializer}
    assert bool(held) == bool(weights)
    page = netron(file)
    # In a box stand the operation and, to be seen under the mouse, the name.
    assert sorted(page.boxes()) == sorted(node.op_type + node.name for node in graph.node)
    read = [name for node in graph.node for name in node.input if name and name not in held]
    assert page.page.locator(".edge-path").count() == len(read) + len(graph.output)
    if module in PRECISION:
        shown = page.properties("Mul")
        assert "tpumlir.tpu" in shown
        assert "ONNX node join" in shown
        assert PRECISION[module] in shown
    assert page.problems == []
