"""``--fuse_preprocess``: what the commands make of pictures and frames, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from PIL import Image

import onnx
from command_line import run
from frame_rows import from_yuv
from onnx import TensorProto, helper, numpy_helper
from tpumlir import bmodel, npz
from tpumlir.errors import InputError

Array = npt.NDArray[Any]
H, W = 6, 10
PIXELS = np.random.default_rng(4).integers(0, 256, (H, W, 3), dtype=np.uint8)
VECTOR = np.arange(5, dtype=np.float32)[None]
MEAN, SCALE = (123.675, 116.28, 103.53), (0.0171, 0.0175, 0.0174)
FLAGS = (
    "--pixel_format", "rgb", f"--mean={','.join(map(str, MEAN))}", f"--scale={','.join(map(str, SCALE))}",
)  # fmt: skip
FRAMES = {
    "RGB_PACKED": PIXELS[None],
    "BGR_PACKED": PIXELS[None, ..., ::-1],
    "RGB_PLANAR": PIXELS.transpose(2, 0, 1)[None],
    "BGR_PLANAR": PIXELS[..., ::-1].transpose(2, 0, 1)[None],
}
YUV = ("YUV420_PLANAR", "YUV_NV12", "YUV_NV21")


def save_model(name: str, shape: tuple[int, ...], *, vector: bool = False) -> None:
    """A convolution of a picture; perhaps another input that is none."""
    weights = np.random.default_rng(1).standard_normal((4, shape[1], 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["image", "w"], ["y"], "conv", pads=[1, 1, 1, 1])]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (shape[0], 4, *shape[2:]))]
    if vector:
        nodes.append(helper.make_node("Neg", ["v"], ["z"]))
        inputs.insert(0, helper.make_tensor_value_info("v", TensorProto.FLOAT, VECTOR.shape))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, VECTOR.shape))
    graph = helper.make_graph(nodes, "net", inputs, outputs, [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), name)


def output(path: str = "out.npz") -> npt.NDArray[np.float32]:
    return np.asarray(npz.load(path)["y"], np.float32)


def want() -> npt.NDArray[np.float32]:
    x = (PIXELS.astype(np.float32) - np.array(MEAN, np.float32)) * np.array(SCALE, np.float32)
    (y,) = ort.InferenceSession("net.onnx").run(None, {"image": x.transpose(2, 0, 1)[None]})
    return np.asarray(y, np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a photo of the model's size, models, frames, a module that records FLAGS."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("photo.png")
    Image.fromarray(np.tile(PIXELS, (5, 3, 1))).save("big.jpg")
    save_model("net.onnx", (1, 3, H, W))
    save_model("two.onnx", (1, 3, H, W), vector=True)
    save_model("seven.onnx", (1, 7, H, W))
    save_model("odd.onnx", (1, 3, H, W - 1))
    for name, frame in FRAMES.items():
        np.savez(f"{name}.npz", image=frame)
        np.save(f"{name}.npy", frame)
    np.savez("float.npz", image=FRAMES["RGB_PACKED"].astype(np.float32))
    np.savez("padded.npz", image=np.zeros((1, 1, H, 64), np.uint8))
    np.savez("big.npz", image=np.full((1, H, W, 3), 256))
    np.save("vector.npy", VECTOR)
    assert run("model_transform", "--model_def", "net.onnx", *FLAGS, "--mlir", "net.mlir",
               "--test_input", "photo.png", "--test_result", "top.npz") == 0  # fmt: skip
    return tmp_path


def deploy(*flags: str, model: str = "net.bmodel") -> int:
    return run("model_deploy", "--mlir", "net.mlir", "--model", model, "--fuse_preprocess", *flags)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", FRAMES)
def test_picture_frame_and_host_give_the_same(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    format_ = ("--customization_format", kind)
    assert deploy(*format_, "--test_input", "photo.png", "--test_reference", "top.npz") == 0
    assert "passed" in capsys.readouterr().out
    (image,) = bmodel.read("net.bmodel").inputs
    assert (image.dtype, image.shape) == ("u8", FRAMES[kind].shape)
    compile_ = ("compile", "net.onnx", *FLAGS, "--fuse_preprocess", *format_)
    assert run(*compile_, "-o", "pictured.bmodel", "--test_input", "photo.png") == 0
    assert run(*compile_, "-o", "framed.bmodel", "--test_input", f"{kind}.npz") == 0
    for stem in ("pictured", "framed"):
        assert bmodel.read(f"{stem}.bmodel").groups == bmodel.read("net.bmodel").groups
    results = []
    for model in ("net.bmodel", "pictured.bmodel", "net_tpu.mlir", "net_final.mlir"):
        for source in ("photo.png", f"{kind}.npy", f"{kind}.npz", f"image={kind}.npy", "image=photo.png"):
            assert run("model_runner", "--model", model, "--input", source, "--output", "out.npz") == 0
            results.append(output())
            np.testing.assert_allclose(results[-1], want(), rtol=1e-4, atol=1e-4)
    assert len({result.tobytes() for result in results[:10]}) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", YUV)
@pytest.mark.parametrize("mode", ["F32", "F16", "BF16"])
def test_yuv_is_judged_by_what_the_host_makes_of_it(kind: str, mode: str) -> None:
    flags = ("--customization_format", kind, "--quantize", mode, "--test_input", "big.jpg")
    assert deploy(*flags) == 0
    assert run("compile", "net.onnx", *FLAGS, "--fuse_preprocess", *flags, "-o", "c.bmodel") == 0
    assert run("model_runner", "--model", "net.bmodel", "--input", "big.jpg", "--output", "fused.npz") == 0
    argv = ("model_runner", "--model", "net.mlir", "--input", "big.jpg", "--output", "host.npz")
    assert run(*argv) == 0
    fused, host = (output(f"{stem}.npz").ravel() for stem in ("fused", "host"))
    # Noise is what YUV holds least of; a channel that is exchanged is seen all the same.
    assert np.corrcoef(fused, host)[0, 1] > 0.5


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("flags", [(), ("--quantize", "F16"), ("--quantize", "BF16", "--auto_mixed"),
                                   ("--skip_validation",), ("--disable_layer_group",)])  # fmt: skip
def test_without_a_test_input_frames_are_random(flags: tuple[str, ...]) -> None:
    assert deploy(*flags) == 0
    (image,) = bmodel.read("net.bmodel").inputs
    assert (image.dtype, image.shape) == ("u8", (1, 3, H, W))


@pytest.mark.usefixtures("folder")
def test_one_of_two_inputs_is_a_picture() -> None:
    argv = ("compile", "two.onnx", *FLAGS, "--fuse_preprocess", "--customization_format", "BGR_PACKED")
    assert run(*argv, "-o", "two.bmodel", "--test_input", "vector.npy,photo.png") == 0
    assert run(*argv, "-o", "two.bmodel") == 0
    inputs = {spec.name: (spec.dtype, spec.shape) for spec in bmodel.read("two.bmodel").inputs}
    assert inputs == {"v": ("f32", (1, 5)), "image": ("u8", (1, H, W, 3))}
    runner = ("model_runner", "--model", "two.bmodel", "--output", "out.npz")
    assert run(*runner, "--input", "v=vector.npy,image=photo.png") == 0
    np.testing.assert_array_equal(npz.load("out.npz")["z"], -VECTOR)
    np.testing.assert_allclose(output(), want(), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "flags",
    [("--keep_aspect_ratio", "--pad_value", "114"), ("--keep_aspect_ratio", "--pad_type", "normal"),
     ("--resize_dims", f"{H + 3},{W + 5}"),
     ("--keep_aspect_ratio", "--keep_ratio_mode", "short_side_scale"),
     ("--keep_aspect_ratio", "--keep_ratio_mode", "short_side_scale", "--resize_dims", f"{H + 2},{W + 4}"),
     ("--keep_aspect_ratio", "--keep_ratio_mode", "short_side_scale", "--resize_dims", f"{H + 3},{W + 1}"),
     ("--keep_aspect_ratio", "--resize_dims", f"{H + 4},{W + 1}", "--pad_value", "9")],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("kind", ["RGB_PLANAR", "BGR_PACKED"])
def test_resizing_padding_and_cropping_are_those_without_fusion(flags: tuple[str, ...], kind: str) -> None:
    compile_ = ("compile", "net.onnx", *FLAGS, *flags, "--test_input", "big.jpg")
    assert run(*compile_, "-o", "plain.bmodel") == 0
    assert run(*compile_, "-o", "fused.bmodel", "--fuse_preprocess", "--customization_format", kind) == 0
    for stem in ("plain", "fused"):
        argv = ("model_runner", "--model", f"{stem}.bmodel", "--input", "big.jpg", "--output", f"{stem}.npz")
        assert run(*argv) == 0
    assert output("plain.npz").tobytes() == output("fused.npz").tobytes()


@pytest.mark.usefixtures("folder")
def test_calibration_pictures_of_a_half_are_preprocessed() -> None:
    Path("data").mkdir()
    Image.fromarray(PIXELS).save("data/one.png")
    flags = ("--quantize", "F16", "--cali_data", "data", "--auto_mixed", "--test_input", "photo.png")
    assert deploy("--customization_format", "RGB_PACKED", *flags) == 0


@pytest.mark.usefixtures("folder")
def test_the_record_is_shown_and_flags_may_not_contradict_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy("--customization_format", "BGR_PACKED") == 0
    capsys.readouterr()
    assert run("model_tool", "--info", "net.bmodel") == 0
    shown = capsys.readouterr().out
    assert "customization_format BGR_PACKED" in shown
    assert "pixel_format rgb" in shown
    argv = ("model_runner", "--model", "net.bmodel", "--input", "photo.png", "--output", "out.npz")
    assert run(*argv, *FLAGS) == 0
    assert run(*argv, "--mean", "1,2,3") == 1
    assert "expected the preprocessing that the model records, --mean" in capsys.readouterr().err


REFUSED = {
    "float": (("--input", "float.npz"), "image: expected a frame of bytes, RGB_PACKED, for this model"),
    "too_large": (("--input", "big.npz"), "image: expected values that uint8 holds"),
    "planar": (("--input", "RGB_PLANAR.npz"), "image: expected shape [1, 6, 10, 3], got [1, 3, 6, 10]"),
    "padded": (("--input", "padded.npz"), "image: expected shape [1, 6, 10, 3], got [1, 1, 6, 64]"),
    "two_pictures": (("--input", "photo.png,photo.png"), "image: expected one picture for [1, 6, 10, 3]"),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("file", ["net.bmodel", "net_tpu.mlir"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_frame_is_one_line(name: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy("--customization_format", "RGB_PACKED") == 0
    capsys.readouterr()
    flags, message = REFUSED[name]
    assert run("model_runner", "--model", file, *flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.usefixtures("folder")
def test_a_float_array_by_position_and_in_python_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("float.npy", FRAMES["RGB_PACKED"].astype(np.float32))
    assert deploy("--customization_format", "RGB_PACKED") == 0
    capsys.readouterr()
    assert run("model_runner", "--model", "net.bmodel", "--input", "float.npy") == 1
    assert "expected a frame of bytes" in capsys.readouterr().err
    assert deploy("--customization_format", "RGB_PACKED", "--test_input", "float.npz") == 1
    assert "expected a frame of bytes" in capsys.readouterr().err
    with pytest.raises(InputError, match="expected element type uint8, got float32"):
        bmodel.read("net.bmodel").run({"image": FRAMES["RGB_PACKED"].astype(np.float32)})


REFERENCE = ("--test_input", "photo.png", "--test_reference", "top.npz")
COMMANDS = {
    "unknown_format": (("--customization_format", "RGB"), 2, "invalid choice: 'RGB'"),
    "gray_for_colours": (("--customization_format", "GRAYSCALE"), 1, "expected a customization_format with"),
    "other_reference": (
        ("--customization_format", "YUV_NV12", *REFERENCE), 1, "image: expected a reference that was made of",
    ),
    "frame_of_another_size": (("--test_input", "RGB_PACKED.npz"), 1, "expected shape [1, 3, 6, 10]"),
    "a_text": (("--test_input", "net.mlir"), 1, "net.mlir: expected an npz, npy, jpg, png, bmp or yuv file"),
}  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", COMMANDS)
def test_what_deploy_refuses_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags, code, message = COMMANDS[name]
    capsys.readouterr()
    before = sorted(Path().iterdir())
    assert deploy(*flags) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_the_remedies_work() -> None:
    flags = ("--customization_format", "YUV_NV12", "--test_input", "photo.png")
    assert deploy(*flags) == 0  # without --test_reference
    assert deploy("--customization_format", "RGB_PACKED") == 0  # one with the channels of the model
    # A frame of even size for a model of odd size.
    compile_ = ("compile", "odd.onnx", *FLAGS, "--fuse_preprocess", "-o", "odd.bmodel", *flags[:2])
    assert run(*compile_) == 1
    assert run(*compile_, "--resize_dims", f"{H},{W}") == 0


@pytest.mark.usefixtures("folder")
def test_numbers_may_be_negative() -> None:
    """As a word of its own, which looks like a flag."""
    flags = ("--mean", "-1,-2.5,3", "--scale", "-.5,1,2", "--test_input", "photo.png")
    assert run("compile", "net.onnx", *flags, "--fuse_preprocess", "-o", "n.bmodel") == 0
    (image,) = bmodel.read("n.bmodel").inputs
    assert image.preprocess is not None
    assert (image.preprocess.mean, image.preprocess.scale) == ((-1, -2.5, 3), (-0.5, 1, 2))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", ["model_deploy", "compile"])
def test_a_format_without_fusion_is_a_usage_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    argv = {"model_deploy": ("--mlir", "net.mlir", "--model", "n.bmodel"), "compile": ("net.onnx",)}[command]
    assert run(command, *argv, "--customization_format", "RGB_PACKED") == 2
    assert "--customization_format says what --fuse_preprocess reads" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("seven.onnx", (), "got none: image: no preprocessing is recorded (model_transform and compile"),
        ("net.onnx", ("--channel_format", "nhwc"), "got none: image: no preprocessing is recorded"),
        (
            "odd.onnx",
            ("--customization_format", "YUV_NV12"),
            "image: expected a frame of even height and width",
        ),
    ],
)
def test_what_compile_refuses(
    model: str, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("compile", model, "--fuse_preprocess", *flags, "-o", "n.bmodel") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "note: " not in line)
    assert message in line
    assert not Path("n.bmodel").exists()


@pytest.mark.usefixtures("folder")
def test_a_module_without_a_record_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    import tpumlir

    tpumlir.compile_onnx("net.onnx").top.module.save("plain.mlir")
    capsys.readouterr()
    argv = ("model_deploy", "--mlir", "plain.mlir", "--model", "n.bmodel", "--fuse_preprocess")
    assert run(*argv) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no preprocessing is recorded (model_transform and compile record it: --pixel_format" in line


@pytest.mark.usefixtures("folder")
def test_json_names_the_problem(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert deploy("--customization_format", "GRAYSCALE", "--json") == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["node"] == "image"


@pytest.mark.usefixtures("folder")
def test_the_python_api_does_the_same() -> None:
    import tpumlir
    from tpumlir.data.preprocess import Preprocess

    how = Preprocess(pixel_format="rgb", mean=MEAN, scale=SCALE)
    frame = {"image": FRAMES["BGR_PACKED"]}
    result = tpumlir.compile_onnx(
        "net.onnx", preprocess=how, fuse_preprocess=True, customization_format="BGR_PACKED", test_input=frame
    )
    assert len(result.validations) == 3
    assert all(verdict.passed for verdict in result.validations)
    again = tpumlir.deploy(
        result.top.module, fuse_preprocess=True, customization_format="BGR_PACKED", test_input="photo.png"
    )
    assert again.bmodel.groups == result.bmodel.groups
    np.testing.assert_allclose(again.bmodel.run(frame)["y"], want(), rtol=1e-4, atol=1e-4)
    with pytest.raises(tpumlir.InputError, match="expected fuse_preprocess with customization_format"):
        tpumlir.deploy(result.top.module, customization_format="BGR_PACKED")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", [*FRAMES, *YUV])
@pytest.mark.parametrize("command", ["model_deploy", "compile"])
def test_aligned_input_changes_nothing(kind: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """So it is with TPU-MLIR for this chip: tests/oracle/test_fuse_preprocess.py."""
    save_model("wide.onnx", (1, 3, 4, 64))
    flags = ("--fuse_preprocess", "--customization_format", kind, "--test_input", "big.jpg")
    argv = {
        "model_deploy": ("model_deploy", "--mlir", "net.mlir", *flags, "--model"),
        "compile": ("compile", "wide.onnx", *FLAGS, *flags, "-o"),
    }[command]
    capsys.readouterr()
    assert run(*argv, "plain.bmodel") == 0
    assert capsys.readouterr().err == ""
    assert run(*argv, "aligned.bmodel", "--aligned_input") == 0
    captured = capsys.readouterr()
    assert "passed" in captured.out
    (line,) = captured.err.splitlines()
    assert "note: --aligned_input changes nothing: frames of BM1684X are not padded" in line
    plain, aligned = (bmodel.read(f"{stem}.bmodel") for stem in ("plain", "aligned"))
    assert (aligned.inputs, aligned.groups) == (plain.inputs, plain.groups)
    for stem in ("plain", "aligned"):
        runner = ("model_runner", "--model", f"{stem}.bmodel", "--input", "big.jpg")
        assert run(*runner, "--output", f"{stem}.npz") == 0
    np.testing.assert_array_equal(output("aligned.npz"), output("plain.npz"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("size", [(6, 10), (4, 64)], ids=str)
def test_aligned_input_of_gray(size: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    save_model("gray.onnx", (1, 1, *size))
    flags = ("--fuse_preprocess", "--customization_format", "grayscale", "--aligned_input")
    argv = ("compile", "gray.onnx", "--pixel_format", "gray", *flags, "--test_input", "big.jpg")
    assert run(*argv, "-o", "g.bmodel") == 0
    assert "--aligned_input changes nothing" in capsys.readouterr().err
    assert [spec.shape for spec in bmodel.read("g.bmodel").inputs] == [(1, 1, *size)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", ["model_deploy", "compile"])
def test_aligned_input_without_fusion_is_a_usage_error(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    argv = {"model_deploy": ("--mlir", "net.mlir", "--model", "n.bmodel"), "compile": ("net.onnx",)}[command]
    assert run(command, *argv, "--aligned_input") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--aligned_input: expected --fuse_preprocess with it, got --aligned_input alone" in line


# --- .yuv files --------------------------------------------------------------------------

ROWS = H * 3 // 2


def save_yuv(height: int = H, width: int = W, seed: int = 7) -> Array:
    """Bytes in ``frame.yuv``."""
    values = np.random.default_rng(seed).integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
    values.tofile("frame.yuv")
    return values


def want_of(pixels: Array) -> npt.NDArray[np.float32]:
    x = (pixels.astype(np.float32) - np.array(MEAN, np.float32)) * np.array(SCALE, np.float32)
    (y,) = ort.InferenceSession("net.onnx").run(None, {"image": x.transpose(2, 0, 1)[None]})
    return np.asarray(y, np.float32)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("given", [("--resize_dims", f"{ROWS},{W}"), ()], ids=["rows", "size"])
@pytest.mark.parametrize("kind", YUV)
def test_the_road_of_a_yuv_file(
    kind: str, given: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of TPU-MLIR's scripts, with its meaning of --resize_dims."""
    want = want_of(from_yuv(save_yuv(), kind))
    flags = (*FLAGS, *given, "--yuv_type", kind.lower(), "--test_input", "frame.yuv")
    argv = ("model_transform", "--model_def", "net.onnx", *flags, "--test_result", "yuv_top.npz")
    assert run(*argv, "--mlir", "yuv.mlir") == 0
    np.testing.assert_allclose(output("yuv_top.npz"), want, rtol=1e-4, atol=1e-4)
    assert run("model_deploy", "--mlir", "yuv.mlir", "--model", "yuv.bmodel", "--fuse_preprocess",
               "--customization_format", kind, "--test_input", "frame.yuv",
               "--test_reference", "yuv_top.npz") == 0  # fmt: skip
    assert [spec.shape for spec in bmodel.read("yuv.bmodel").inputs] == [(1, ROWS, W)]
    for model in ("yuv.mlir", "yuv.bmodel", "yuv_tpu.mlir"):
        assert run("model_runner", "--model", model, "--input", "frame.yuv", "--output", "out.npz") == 0
        np.testing.assert_allclose(output(), want, rtol=1e-4, atol=1e-4)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", [*YUV, "RGB_PACKED", "BGR_PLANAR"])
def test_a_yuv_file_of_one_type_fills_frames_of_every_format(kind: str) -> None:
    want = want_of(from_yuv(save_yuv(), "YUV_NV21"))
    argv = ("compile", "net.onnx", *FLAGS, "--yuv_type", "YUV_NV21", "--fuse_preprocess", "-o", "c.bmodel")
    assert run(*argv, "--customization_format", kind, "--test_input", "image=frame.yuv") == 0
    assert run("model_runner", "--model", "c.bmodel", "--input", "frame.yuv", "--output", "out.npz") == 0
    np.testing.assert_allclose(output(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("folder")
def test_a_yuv_file_without_a_type_is_a_frame_as_the_model_reads_it() -> None:
    want = want_of(from_yuv(save_yuv(), "YUV_NV12"))
    assert deploy("--customization_format", "YUV_NV12", "--test_input", "frame.yuv") == 0
    assert run("model_runner", "--model", "net.bmodel", "--input", "frame.yuv", "--output", "out.npz") == 0
    np.testing.assert_allclose(output(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("model", ["net.onnx", "net.mlir"])
def test_model_runner_is_told_the_type(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    want = want_of(from_yuv(save_yuv(), "YUV_NV21"))
    argv = ("model_runner", "--model", model, "--input", "frame.yuv", "--output", "out.npz")
    code = run(*argv, *FLAGS, "--yuv_type", "YUV_NV21")
    if model == "net.onnx":
        assert code == 0
        np.testing.assert_allclose(output(), want, rtol=1e-4, atol=1e-4)
    else:
        assert code == 1
        assert "the model records, --yuv_type (not given), got YUV_NV21" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_yuv_files_calibrate() -> None:
    Path("data").mkdir()
    for seed in range(3):
        save_yuv(seed=seed)
        Path("frame.yuv").rename(f"data/{seed}.yuv")
    argv = ("--model_def", "net.onnx", *FLAGS, "--yuv_type", "YUV_NV12", "--mlir", "yuv.mlir")
    assert run("model_transform", *argv) == 0
    assert run("run_calibration", "yuv.mlir", "--dataset", "data", "--input_num", "3", "-o", "table") == 0
    int8 = ("--mlir", "yuv.mlir", "--quantize", "INT8", "--calibration_table", "table")
    flags = ("--fuse_preprocess", "--customization_format", "YUV_NV12", "--test_input", "data/0.yuv")
    assert run("model_deploy", *int8, *flags, "--model", "i.bmodel") == 0


@pytest.mark.usefixtures("folder")
def test_the_middle_of_a_yuv_file_is_cropped() -> None:
    pixels = from_yuv(save_yuv(H + 2, W + 4), "YUV420_PLANAR")
    dims = ("--resize_dims", f"{(H + 2) * 3 // 2},{W + 4}", "--yuv_type", "YUV420_PLANAR")
    argv = ("compile", "net.onnx", *FLAGS, *dims, "--test_input", "frame.yuv", "-o")
    fuse = ("--fuse_preprocess", "--customization_format", "YUV420_PLANAR")
    for model, flags in (("host.bmodel", ()), ("fused.bmodel", fuse)):
        assert run(*argv, model, *flags) == 0
        assert run("model_runner", "--model", model, "--input", "frame.yuv", "--output", "out.npz") == 0
        np.testing.assert_allclose(output(), want_of(pixels[1 : H + 1, 2 : W + 2]), rtol=1e-4, atol=1e-4)


NV12 = ("--yuv_type", "YUV_NV12")
NO_FILE = "expected resize_dims of a YUV file with yuv_type, 3/2 of an even height and an even width, got "
YUV_REFUSED = {
    "no_type": ((), "frame.yuv: expected a yuv_type to read .yuv files with, YUV420_PLANAR"),
    "another_size": (
        (*NV12, "--resize_dims", "12,10"), "expected 120 bytes of YUV, a picture of 8 x 10, got 90",
    ),
    "no_rows_of_a_file": ((*NV12, "--resize_dims", "10,10"), NO_FILE + "10,10"),
    "odd_columns": ((*NV12, "--resize_dims", "9,11"), NO_FILE + "9,11"),
    "too_small": (
        (*NV12, "--resize_dims", "6,10"),
        "expected resize_dims of at least 6,10, the size of the input, got 4,10",
    ),
    "gray": ((*NV12, "--pixel_format", "gray"), "expected pixel_format rgb or bgr with yuv_type, got gray"),
}  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", YUV_REFUSED)
def test_what_is_no_yuv_file_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_yuv()
    flags, message = YUV_REFUSED[name]
    capsys.readouterr()
    assert run("compile", "net.onnx", *flags, "--test_input", "frame.yuv", "-o", "n.bmodel") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "note: " not in line)
    assert message in line


@pytest.mark.usefixtures("folder")
def test_resize_dims_that_look_like_those_of_a_frame_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """TPU-MLIR would count the rows of the frame."""
    save_model("tall.onnx", (1, 3, 8, W))
    flags = ("--resize_dims", f"12,{W}", "--fuse_preprocess", "--customization_format", "YUV_NV12")
    argv = ("compile", "tall.onnx", *FLAGS, *flags, "-o", "t.bmodel")
    assert run(*argv) == 0
    assert "note: image: a frame is a picture of 12 x 10 in 18 rows" in capsys.readouterr().err
    assert run(*argv, "--yuv_type", "YUV_NV12") == 0
    assert capsys.readouterr().err == ""
    assert [spec.shape for spec in bmodel.read("t.bmodel").inputs] == [(1, 12, W)]
