"""gen_shell: what it writes, that convert.sh ends with bmodels, and how random nodes are treated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.cli import main as tpumlir_main
from tpumlir.errors import InputError, UnsupportedError
from tpumlir.gen_shell import generate, generate_onnx
from tpumlir.precision.formats import FLOATS

RNG = np.random.default_rng(3)


def noisy_model() -> onnx.ModelProto:
    """A convolution plus noise of the two kinds, in modules as an exporter names them."""
    weight = numpy_helper.from_array(RNG.standard_normal((4, 3, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="/synthesis/b8/conv0/Conv", pads=[1, 1, 1, 1]),
            helper.make_node("RandomNormalLike", ["c"], ["n"], name="/synthesis/b8/conv0/RandomNormalLike"),
            helper.make_node("Add", ["c", "n"], ["d"], name="/synthesis/b8/conv0/Add"),
            helper.make_node("RandomUniform", [], ["u"], name="/noise/RandomUniform", shape=[1, 4, 1, 1]),
            helper.make_node("Add", ["d", "u"], ["y"], name="/Add"),
        ],
        "noisy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(noisy_model(), tmp_path / "noisy.onnx")
    return tmp_path / "noisy.onnx"


SHAPES = [[1, 3, 8, 8]]


def convert(script: Path, tmp_path: Path) -> None:
    """Run ``script`` with the commands of this checkout, whether they are installed or not."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("model_transform", "model_deploy"):
        launcher = commands / name
        launcher.write_text(
            f"#!{sys.executable}\nimport sys\nfrom tpumlir.cli.main import main\n"
            f"sys.exit(main(['{name}', *sys.argv[1:]]))\n"
        )
        launcher.chmod(0o755)
    environment = dict(os.environ, PATH=f"{commands}:{os.environ['PATH']}")
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_converts(script: Path, name: str, tmp_path: Path) -> None:
    convert(script, tmp_path)
    for precision in FLOATS:
        assert (script.parent / f"{name}_{precision.lower()}.bmodel").stat().st_size > 0


def test_random_nodes_are_refused_by_module_path(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        generate_onnx("Noisy", path, tmp_path / "out", input_shapes=SHAPES)
    text = str(caught.value)
    assert "RandomNormalLike in synthesis.b8.conv0 draws new numbers" in text
    assert "RandomUniform in noise draws" in text
    assert "--random" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["const", "zero", "input"])
def test_random_nodes_are_replaced(path: Path, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "out"
    code = tpumlir_main.main([
        "gen_shell", str(path), "--model_name", "Noisy", "-o", str(folder), "--input_shapes", "[[1,3,8,8]]",
        "--random", mode,
    ])  # fmt: skip
    assert code == 0
    graph = onnx.load(folder / "Noisy.onnx").graph
    assert not [node for node in graph.node if node.op_type.startswith("Random")]
    data = npz.load(folder / "data.npz")
    assert list(data) == (["x", "n", "u"] if mode == "input" else ["x"])
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    if mode != "input":
        assert stored["n"].shape == (1, 4, 8, 8)
        assert bool(stored["n"].any()) == bool(stored["u"].any()) == (mode == "const")
    assert npz.load(folder / "cali_data" / "data.npz").keys() == data.keys()
    assert_converts(folder / "convert.sh", "Noisy", tmp_path)


def test_constant_noise_is_the_same_every_time(path: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        generate_onnx("Noisy", path, tmp_path / name, input_shapes=SHAPES, random="const")
    assert (tmp_path / "first/Noisy.onnx").read_bytes() == (tmp_path / "second/Noisy.onnx").read_bytes()


def test_a_given_input_is_kept(path: Path, tmp_path: Path) -> None:
    x = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
    npz.save(tmp_path / "in.npz", {"x": x})
    workspace = generate_onnx("N", path, tmp_path / "out", test_input=tmp_path / "in.npz", random="zero")
    assert workspace.inputs == {"x": (2, 3, 8, 8)}
    np.testing.assert_array_equal(npz.load(workspace.folder / "data.npz")["x"], x)


def test_a_name_that_the_model_does_not_have_is_refused(path: Path, tmp_path: Path) -> None:
    x = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
    npz.save(tmp_path / "in.npz", {"x": x, "unrelated": x})
    with pytest.raises(InputError, match="unrelated: expected the name of a model input"):
        generate_onnx("N", path, tmp_path / "out", test_input=tmp_path / "in.npz", random="zero")


def flagged_model() -> onnx.ModelProto:
    """A scale in the file, a trip count and a mask of infinities that are inputs."""
    graph = helper.make_graph(
        [
            helper.make_node("Tile", ["x", "n"], ["t"]),
            helper.make_node("Mul", ["t", "scale"], ["m"]),
            helper.make_node("Add", ["m", "mask"], ["s"]),
            helper.make_node("Softmax", ["s"], ["y"], axis=-1),
        ],
        "flagged",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("n", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, [4]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(1, np.float32), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_script_passes_inputs_on(tmp_path: Path) -> None:
    onnx.save(flagged_model(), tmp_path / "m.onnx")
    mask = np.array([0, 0, -np.inf, -np.inf], np.float32)
    x = RNG.standard_normal((1, 4)).astype(np.float32)
    npz.save(tmp_path / "in.npz", {"x": x, "scale": np.full(1, 3, np.float32), "mask": mask})
    workspace = generate_onnx(
        "M", tmp_path / "m.onnx", tmp_path / "out", fixed_inputs=["n=[2,1]"],
        test_input=tmp_path / "in.npz", allow_nonfinite=True,
    )  # fmt: skip
    assert workspace.inputs == {"x": (1, 4), "scale": (1,), "mask": (4,)}
    np.testing.assert_array_equal(npz.load(workspace.folder / "fixed.npz")["n"], [2, 1])
    convert(workspace.script, tmp_path)
    values = npz.load(workspace.folder / "M_top_outputs.npz")["y"]
    e = np.exp(np.tile(x, [2, 1])[:, :2] * 3)
    assert np.allclose(values.astype(np.float64)[:, :2], e / e.sum(-1, keepdims=True), rtol=1e-5)
    assert not values[:, 2:].any()


@pytest.mark.parametrize("name", ["", "a/b", "-x", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(path: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a name"):
        generate_onnx(name, path, tmp_path / "out")


# --- torch ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_torch_modules_with_arguments_of_every_kind(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is an optional extra (tpumlir[torch])")

    class Inner(torch.nn.Module):  # type: ignore[name-defined, misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(6, 4)
            self.drop = torch.nn.Dropout()

        def forward(self, x: Any) -> Any:
            return self.drop(self.fc(x))

    class Outer(torch.nn.Module):  # type: ignore[name-defined, misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, ws: Any, c: Any = None, *, pair: tuple[Any, Any], twice: bool) -> Any:  # noqa: ARG002
            y = self.inner(ws) + pair[0] * pair[1]
            return {"sum": y + y if twice else y, "rest": [ws]}

    torch.manual_seed(0)
    module = Outer().train()
    ws, label = torch.randn(2, 6), torch.zeros(1, 3)
    pair = (torch.randn(2, 4), torch.randn(4))
    workspace = generate(
        "Outer", module, {"ws": ws, "c": label, "pair": pair, "twice": True}, tmp_path / "space"
    )
    assert module.training, "the module must be left as it was"
    assert {p.name for p in workspace.folder.iterdir()} == {
        "Outer.onnx", "Outer.pt", "data.npz", "cali_data", "convert.sh",
    }  # fmt: skip
    graph = onnx.load(workspace.model).graph
    assert "/inner/fc/Gemm" in {node.name for node in graph.node}
    assert "inner.fc.weight" in {tensor.name for tensor in graph.initializer}
    data = npz.load(workspace.folder / "data.npz")
    assert {"ws", "pair_0", "pair_1"} <= set(data)
    np.testing.assert_array_equal(data["ws"], ws.numpy())
    module.eval()
    wanted = module(ws, pair=pair, twice=True)["sum"]
    got = torch.jit.load(workspace.folder / "Outer.pt")(ws, label, *pair)[0]
    assert torch.allclose(got, wanted)
    assert_converts(workspace.script, "Outer", tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_torch_noise_is_named_by_module(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is an optional extra (tpumlir[torch])")

    class Noise(torch.nn.Module):  # type: ignore[name-defined, misc, unused-ignore]
        def forward(self, x: Any) -> Any:
            return x + torch.randn_like(x)

    module = torch.nn.Sequential(torch.nn.ReLU(), Noise())
    nested = torch.nn.ModuleDict({"net": module})
    nested.forward = module.forward
    for case, where in ((module, "1"), (nested, "net.1")):
        with pytest.raises(UnsupportedError, match=f"RandomNormalLike in {where} draws"):
            generate("Noise", case, torch.zeros(1, 4), tmp_path)
    workspace = generate("Noise", module, [torch.zeros(1, 4)], tmp_path, random="input")
    assert len(workspace.inputs) == 2


def test_a_module_that_cannot_be_traced_is_reported(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is an optional extra (tpumlir[torch])")
    from tpumlir.errors import TpumlirError

    with pytest.raises(TpumlirError, match=r"torch cannot trace Linear: .*shapes"):
        generate("Bad", torch.nn.Linear(3, 3), torch.zeros(1, 4), tmp_path)
    with pytest.raises(InputError, match="expected a tensor among the inputs"):
        generate("Bad", torch.nn.Linear(3, 3), {"input": 3}, tmp_path)
