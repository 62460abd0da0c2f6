"""Pictures mean the same in every command: a table of commands and kinds of input, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from PIL import Image

import onnx
import tpumlir
from command_line import run
from onnx import TensorProto, helper, numpy_helper
from tpumlir import bmodel, npz

Array = npt.NDArray[Any]
H, W = 6, 9
RNG = np.random.default_rng(11)
RGB = RNG.integers(0, 256, (2, H, W, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (2, H, W, 4), dtype=np.uint8)
VECTOR = RNG.standard_normal((1, 5)).astype(np.float32)
TYPES = {
    "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE,
    **{f"{u}int{b}": getattr(TensorProto, f"{u}int{b}".upper()) for u in ("", "u") for b in (8, 16, 32, 64)},
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """An input that pictures fill, and the flags that say how."""

    name: str
    dtype: str = "float32"
    pixels: str = "bgr"
    layout: str = "nchw"
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    batch: int = 1
    files: int = 1
    rank: int = 4
    vector: str = ""
    """``first`` or ``last``: the model has another input, which is no picture."""

    @property
    def flags(self) -> list[str]:
        given = {"mean": self.mean, "scale": self.scale}
        numbers = [f"--{k}={','.join(map(str, v))}" for k, v in given.items() if v]
        return ["--pixel_format", self.pixels, "--channel_format", self.layout, *numbers]

    def array(self) -> Array:
        """The input, made from the pixels here and not by the code under test."""
        gray = np.stack([np.asarray(Image.fromarray(p).convert("L"))[..., None] for p in RGB])
        pixels = {"rgb": RGB, "bgr": RGB[..., ::-1], "gray": gray, "rgba": RGBA}[self.pixels]
        x = pixels[np.arange(self.batch) % self.files].astype(np.float32)
        mean, scale = (np.array(v, np.float32) for v in (self.mean or 0, self.scale or 1))
        x = (x - mean) * scale
        x = x if self.layout == "nhwc" else x.transpose(0, 3, 1, 2)
        return (x[0] if self.rank == 3 else x).astype(self.dtype)

    def source(self, *, named: bool = False) -> str:
        photos = [f"{'rgba' if self.pixels == 'rgba' else 'rgb'}{i}.png" for i in range(self.files)]
        if not self.vector and not named:
            return ",".join(photos)
        parts = [f"image={photo}" if named else photo for photo in photos]
        vector = ["v=vector.npy" if named else "vector.npy"] * bool(self.vector)
        return ",".join(parts + vector if self.vector == "last" else vector + parts)


MEAN, SCALE = (123.675, 116.28, 103.53), (0.0171, 0.0175, 0.0174)
KINDS = (
    Kind("f32"),
    Kind("f32_mean_scale", pixels="rgb", mean=MEAN, scale=SCALE),
    Kind("f32_bgr_mean_scale", mean=MEAN, scale=SCALE),
    Kind("f32_nhwc", pixels="rgb", layout="nhwc", mean=MEAN, scale=SCALE),
    Kind("f32_gray", pixels="gray", mean=(127.5,), scale=(0.0078125,)),
    Kind("f32_gray_nhwc", pixels="gray", layout="nhwc", scale=(0.1,)),
    Kind("f32_rgba", pixels="rgba", mean=(1, 2, 3, 4), scale=(0.5, 0.25, 2, 1)),
    Kind("f32_rgba_nhwc", pixels="rgba", layout="nhwc"),
    Kind("f32_batch_of_one", pixels="rgb", batch=2, mean=MEAN),
    Kind("f32_batch_of_two", pixels="rgb", batch=2, files=2, mean=MEAN),
    Kind("f32_without_batch", pixels="rgb", rank=3, mean=MEAN),
    Kind("f32_without_batch_nhwc", pixels="rgb", rank=3, layout="nhwc"),
    Kind("f32_first", pixels="rgb", vector="last", mean=MEAN),
    Kind("f32_last", pixels="rgb", vector="first", mean=MEAN),
    Kind("u8_last_nhwc", "uint8", pixels="rgb", layout="nhwc", vector="first"),
    Kind("f16", "float16", pixels="rgb", mean=MEAN, scale=SCALE),
    Kind("f64", "float64", pixels="rgb", mean=MEAN, scale=SCALE),
    Kind("u8", "uint8"),
    Kind("u8_nhwc", "uint8", pixels="rgb", layout="nhwc"),
    Kind("u8_gray", "uint8", pixels="gray"),
    Kind("i8", "int8", pixels="rgb", mean=(128, 128, 128)),
    Kind("i8_gray_nhwc", "int8", pixels="gray", layout="nhwc", mean=(128,)),
    Kind("i16", "int16", pixels="rgb", mean=(127.5, 127.5, 127.5), scale=(2, 2, 2)),
    Kind("u16", "uint16", pixels="rgba", scale=(257, 257, 257, 257)),
    Kind("i32", "int32", pixels="rgb", mean=(100, 110, 120), scale=(1000, 1000, -1000)),
    Kind("u32", "uint32", layout="nhwc"),
    Kind("i64", "int64", pixels="rgb", mean=(100, 110, 120)),
    Kind("u64", "uint64", pixels="gray"),
)


def model(shape: tuple[int, ...], dtype: str = "float32", vector: str = "") -> onnx.ModelProto:
    """Each element times a power of two of its own: exact, and a swapped or shifted element shows."""
    powers = np.exp2(RNG.integers(-2, 3, shape)).astype(np.float32)
    inputs = [helper.make_tensor_value_info("image", TYPES[dtype], shape)]
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "powers"], ["y"]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    if vector:
        other = helper.make_tensor_value_info("v", TensorProto.FLOAT, VECTOR.shape)
        inputs.insert(0 if vector == "first" else 1, other)
        nodes.append(helper.make_node("Neg", ["v"], ["z"]))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, VECTOR.shape))
    graph = helper.make_graph(nodes, "picture", inputs, outputs, [numpy_helper.from_array(powers, "powers")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_files(folder: Path) -> None:
    for name, pictures in (("rgb", RGB), ("rgba", RGBA)):
        for i, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(folder / f"{name}{i}.png")
    np.save(folder / "vector.npy", VECTOR)


@dataclass(frozen=True)
class Case:
    """A folder in which a kind was compiled, and what ONNX Runtime makes of the same array."""

    kind: Kind
    folder: Path
    want: dict[str, Array]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp(kind.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_files(folder)
        x = kind.array()
        onnx.save(model(x.shape, kind.dtype, kind.vector), "m.onnx")
        feeds = {"image": x} | ({"v": VECTOR} if kind.vector else {})
        session = ort.InferenceSession("m.onnx")
        names = [output.name for output in session.get_outputs()]
        want = dict(zip(names, session.run(names, feeds), strict=True)) | feeds
        photos = kind.source()
        transform = ("model_transform", "--model_def", "m.onnx", *kind.flags, "--mlir", "m.mlir")
        assert run(*transform, "--test_input", photos, "--test_result", "top.npz") == 0
        deploy = ("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel")
        assert run(*deploy, "--test_input", photos, "--test_reference", "top.npz") == 0
        yield Case(kind, folder, want)


def compiled(case: Case) -> str:
    argv = ("compile", "m.onnx", "-o", "compiled.bmodel", *case.kind.flags)
    assert run(*argv, "--test_input", case.kind.source()) == 0
    return "compiled.bmodel"


def alone(_case: Case) -> str:
    """The bmodel without any file that was beside it, under another name."""
    Path("elsewhere").mkdir(exist_ok=True)
    return shutil.copy("m.bmodel", "elsewhere/other.bmodel")


MADE: dict[str, Callable[[Case], str]] = {"compiled": compiled, "alone": alone}
MODELS = ("m.onnx", "m.mlir", "m_tpu.mlir", "m_final.mlir", "m.bmodel", *MADE)


@pytest.mark.parametrize("named", [False, True], ids=["by_position", "by_name"])
@pytest.mark.parametrize("which", MODELS)
def test_every_command_computes_what_onnx_runtime_does(
    case: Case, which: str, named: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(case.folder)
    path = MADE[which](case) if which in MADE else which
    # An ONNX file records nothing, so the flags are given.
    flags = case.kind.flags if which == "m.onnx" else []
    capsys.readouterr()
    argv = ("model_runner", "--model", path, "--output", "out.npz", *flags)
    assert run(*argv, "--input", case.kind.source(named=named)) == 0
    assert capsys.readouterr().err == ""
    got = npz.load("out.npz")
    for name in got:
        np.testing.assert_array_equal(got[name], case.want[name], err_msg=name)
    assert got.keys() == {"y", *(["z"] if case.kind.vector else [])}


def test_the_validated_input_is_the_array(case: Case) -> None:
    top = npz.load(case.folder / "top.npz")
    for name in ("image", "y"):
        np.testing.assert_array_equal(top[name].astype(np.float64), case.want[name].astype(np.float64))


def test_flags_that_say_the_same_are_no_contradiction(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.folder)
    argv = ("model_runner", "--model", "m.bmodel", "--output", "same.npz", *case.kind.flags)
    assert run(*argv, "--input", case.kind.source()) == 0
    np.testing.assert_array_equal(npz.load("same.npz")["y"], case.want["y"])


def test_ranges_are_measured_on_the_same_array(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(case.folder)
    capsys.readouterr()
    assert run("ranges", "--mlir", "m.mlir", "--test_input", case.kind.source(), "--json") == 0
    y = json.loads(capsys.readouterr().out)["tensors"]["y"]
    assert (y["min"], y["max"]) == (case.want["y"].min(), case.want["y"].max())


def test_the_same_module_gives_the_same_bytes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.folder)
    Path("again").mkdir()
    assert run("model_deploy", "--mlir", "m.mlir", "--model", "again/m.bmodel", "--skip_validation") == 0
    assert Path("again/m.bmodel").read_bytes() == Path("m.bmodel").read_bytes()
    (image,) = (spec for spec in bmodel.read("again/m.bmodel").inputs if spec.name == "image")
    assert image.preprocess
    assert image.preprocess.onnx_type == case.kind.dtype


# --- what is refused, and what is told ------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with pictures and models of several kinds of input."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    models = {
        "f32": model((1, 3, H, W)),
        "two": model((2, 3, H, W)),
        "nhwc": model((1, H, W, 3), "uint8"),
        "i8": model((1, 3, H, W), "int8"),
        "seven": model((1, 7, H, W)),
        "vector": model((1, 3, H, W), vector="first"),
    }
    for name, proto in models.items():
        onnx.save(proto, f"{name}.onnx")
    Path("text.png").write_text("hello")
    Path("notes.txt").write_text("hello")
    np.savez("rest.npz", v=VECTOR)
    np.savez("both.npz", v=VECTOR, image=np.zeros((1, 3, H, W), np.float32))
    return tmp_path


REFUSED = {
    "not_a_picture": ("f32", "text.png", "text.png: expected an image"),
    "no_such_file": ("f32", "no.png", "no.png: no such file"),
    "no_known_suffix": ("f32", "notes.txt", "notes.txt: expected an npz, npy, jpg, png, bmp or yuv file"),
    "two_for_one": ("f32", "rgb0.png,rgb1.png", "image: expected one picture for [1, 3, 6, 9], got 2"),
    "three_for_two": ("two", "rgb0.png,rgb1.png,rgb0.png", "expected 1 or 2 pictures for"),
    "mixed_for_one": ("two", "rgb0.png,vector.npy", "image: expected one npy file, or pictures alone"),
    "channels_last": ("nhwc", "rgb0.png", "--channel_format nhwc would fit"),
    "signed": ("i8", "rgb0.png", "--mean 128 without --scale would fit"),
    "seven_channels": ("seven", "rgb0.png", "got 7 in [1, 7, 6, 9]"),
    "one_for_two_inputs": ("vector", "rgb0.png", "of 2 inputs, got 1 file (the inputs: v, image"),
    "for_the_vector": ("vector", "rgb0.png,rgb1.png", "v: expected an input of rank 4"),
    "wrong_order": ("vector", "rgb0.png,vector.npy", "v: expected an input of rank 4"),
    "unknown_name": ("vector", "photo=rgb0.png", "photo: expected the name of a model input"),
    "one_is_missing": ("vector", "image=rgb0.png", "v: expected an input of this name, got image"),
    "some_are_named": ("vector", "image=rgb0.png,vector.npy", "expected NAME=FILE beside named files"),
    "npz_by_position": ("vector", "rest.npz,rgb0.png", "expected NAME=FILE beside named files and npz files"),
    "twice": ("vector", "image=rgb0.png,both.npz", "image: expected one value, got rgb0.png and both.npz"),
    "two_npz": ("vector", "rest.npz,both.npz", "expected one npz file, got rest.npz, both.npz"),
}  # fmt: skip


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("command", ["model_transform", "compile", "model_runner"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_line(name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    stem, source, message = REFUSED[name]
    argv = {
        "model_transform": ("--model_def", f"{stem}.onnx", "--test_input", source, "--pixel_format", "rgb"),
        "compile": (f"{stem}.onnx", "--test_input", source, "--pixel_format", "rgb"),
        "model_runner": ("--model", f"{stem}.onnx", "--input", source),
    }[command]
    before = sorted(Path().iterdir())
    assert run(command, *argv) == 1
    # A picture may have been read before another input turns out to be wrong, which is a note.
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "note: " not in line)
    assert message in line
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("file", ["f32.onnx", "plain.mlir", "plain.bmodel"])
def test_a_file_that_records_nothing_is_read_by_the_defaults_and_says_so(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled = tpumlir.compile_onnx("f32.onnx")
    compiled.top.module.save("plain.mlir")
    bmodel.write("plain.bmodel", compiled.bmodel)
    assert run("model_runner", "--model", file, "--input", "rgb0.png", "--output", "default.npz") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("model_runner: note: image: no preprocessing is recorded or given")
    argv = ("model_runner", "--model", file, "--input", "rgb0.png", "--output")
    assert run(*argv, "bgr.npz", "--pixel_format", "bgr") == 0
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(npz.load("default.npz")["y"], npz.load("bgr.npz")["y"])
    assert run(*argv, "rgb.npz", "--pixel_format", "rgb", "--mean", "1,2,3") == 0
    (powers,) = (numpy_helper.to_array(t) for t in onnx.load("f32.onnx").graph.initializer)
    want = (RGB[0].astype(np.float32) - np.array([1, 2, 3], np.float32)).transpose(2, 0, 1) * powers
    np.testing.assert_array_equal(npz.load("rgb.npz")["y"], want)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    "flags",
    [("--mean", "1,2,3"), ("--scale", "2"), ("--pixel_format", "bgr"), ("--channel_format", "nhwc"),
     ("--resize_dims", "8,9"), ("--keep_aspect_ratio",), ("--pad_value", "3"), ("--pad_type", "normal")],
    ids=lambda flags: flags[0].strip("-"),
)  # fmt: skip
def test_flags_that_contradict_the_record_are_refused(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("--pixel_format", "rgb", "--mean", "7")
    assert run("compile", "f32.onnx", "-o", "m.bmodel", *argv) == 0
    capsys.readouterr()
    assert run("model_runner", "--model", "m.bmodel", "--input", "rgb0.png", *flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"image: expected the preprocessing that the model records, {flags[0]} " in line
    # The same in other words is no contradiction.
    assert run("model_runner", "--model", "m.bmodel", "--input", "rgb0.png", "--mean", "7,7,7") == 0


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("stem", "flags", "told"),
    [
        ("f32", ("--mean", "1,2"), "image: expected 3 values of mean"),
        ("i8", ("--mean", "100"), "got 128 for pixel 228"),
        ("nhwc", ("--mean", "0.5", "--channel_format", "nhwc"), "got -0.5 for pixel 0"),
        ("f32", ("--resize_dims", "2,2"), "expected resize_dims of at least 6,9"),
        ("i8", (), ""),
        ("seven", (), ""),
    ],
)
def test_flags_that_are_recorded_nowhere_are_told(
    stem: str, flags: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("model_transform", "--model_def", f"{stem}.onnx", "--mlir", "m.mlir", *flags) == 0
    err = capsys.readouterr().err
    assert told in err
    assert err.count("no input takes pictures as the flags say") == bool(told)


@pytest.mark.usefixtures("workspace")
def test_flags_without_a_picture_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for source in ((), ("--input", "both.npz")):
        assert run("model_runner", "--model", "vector.onnx", *source, "--mean", "3") == 2
        assert "--mean says how pictures are read" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_named_files_beside_an_npz_file() -> None:
    flags = ("--pixel_format", "rgb")
    assert (
        run("compile", "vector.onnx", "-o", "m.bmodel", *flags, "--test_input", "image=rgb0.png,rest.npz")
        == 0
    )
    sources = ("image=rgb0.png,rest.npz", "rest.npz,image=rgb0.png", "v=vector.npy,image=rgb0.png")
    results = []
    for source in sources:
        assert run("model_runner", "--model", "m.bmodel", "--input", source, "--output", "o.npz") == 0
        results.append(npz.load("o.npz"))
    for result in results[1:]:
        for name in ("y", "z"):
            np.testing.assert_array_equal(result[name], results[0][name])


@pytest.mark.usefixtures("workspace")
def test_a_name_makes_an_input_of_run_time_also_beside_a_picture() -> None:
    """An input that has a value in the file is read if the test input names it, in any way to name it."""
    proto = model((1, 3, H, W), vector="first")
    proto.graph.initializer.append(numpy_helper.from_array(VECTOR * 2, "v"))
    onnx.save(proto, "default.onnx")
    wanted = {
        "image=rgb0.png": VECTOR * 2,
        "image=rgb0.png,v=vector.npy": VECTOR,
        "rest.npz,image=rgb0.png": VECTOR,
    }
    for source, vector in wanted.items():
        argv = ("--input", source, "--output", "o.npz", "--pixel_format", "rgb")
        assert run("model_runner", "--model", "default.onnx", *argv) == 0
        np.testing.assert_array_equal(npz.load("o.npz")["z"], -vector)
        assert run("compile", "default.onnx", "-o", "m.bmodel", "--test_input", source) == 0
        names = [spec.name for spec in bmodel.read("m.bmodel").inputs]
        assert ("v" in names) == (vector is VECTOR)


@pytest.mark.usefixtures("workspace")
def test_names_and_files_with_equals_signs_and_commas() -> None:
    proto = model((1, 3, H, W))
    for node in proto.graph.node:
        node.input[:] = ["a=b" if name == "image" else name for name in node.input]
    proto.graph.input[0].name = "a=b"
    onnx.save(proto, "equals.onnx")
    for name in ("c=d.png", "e,f.png", "g.png"):
        shutil.copy("rgb0.png", name)
    results = []
    for source in ("c=d.png", "e,f.png", "g.png", "a=b=c=d.png", "a=b=g.png"):
        argv = ("--input", source, "--output", "o.npz", "--pixel_format", "rgb")
        assert run("model_runner", "--model", "equals.onnx", *argv) == 0
        results.append(npz.load("o.npz")["y"])
    for result in results:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.usefixtures("workspace")
def test_a_part_of_a_module_reads_the_same_picture() -> None:
    onnx.save(model((1, 3, H, W), "float16"), "half.onnx")
    flags = ("--pixel_format", "rgb", "--mean", "0.3", "--scale", "0.37")
    assert run("model_transform", "--model_def", "half.onnx", "--mlir", "m.mlir", *flags) == 0
    argv = ("--input_names", "image", "--output_names", "y", "--test_input", "rgb0.png", "-o", "part.mlir")
    assert run("mlir_cut", "--mlir", "m.mlir", *argv) == 0
    results = []
    for path in ("m.mlir", "part.mlir"):
        assert run("model_runner", "--model", path, "--input", "rgb0.png", "--output", "o.npz") == 0
        results.append(npz.load("o.npz")["y"])
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.usefixtures("workspace")
def test_inputs_of_other_compilers(capsys: pytest.CaptureFixture[str]) -> None:
    """A bmodel may have quantised inputs, which no picture fills, and halves, which are converted."""
    from dataclasses import replace

    from tpumlir.road.compile import compile_onnx

    made = compile_onnx("f32.onnx").bmodel
    (image,) = made.inputs
    bmodel.write("scaled.bmodel", replace(made, inputs=(replace(image, scale=0.5),)))
    assert run("model_runner", "--model", "scaled.bmodel", "--input", "rgb0.png") == 1
    assert "got f32 with scale 0.5 and zero point 0 (give an npy or npz file)" in capsys.readouterr().err
    # The commands still read F32, so the numbers mean nothing, but they are those of the same bytes.
    values = RNG.standard_normal((1, 3, H, W)).astype(np.float32)
    npz.save("half.npz", {"image": values})
    for dtype, stored in (("f16", values.astype(np.float16)), ("bf16", npz.to_bf16_bits(values))):
        bmodel.write("half.bmodel", replace(made, inputs=(replace(image, dtype=dtype),)))
        assert run("model_runner", "--model", "half.bmodel", "--input", "half.npz", "--output", "o.npz") == 0
        want = bmodel.read("half.bmodel").run({"image": stored})["y"]
        np.testing.assert_array_equal(npz.load("o.npz")["y"].view(np.uint32), want.view(np.uint32))


@pytest.mark.usefixtures("workspace")
def test_a_batch_by_name() -> None:
    flags = ("--pixel_format", "rgb")
    assert run("compile", "two.onnx", "-o", "m.bmodel", *flags, "--test_input", "rgb0.png,rgb1.png") == 0
    results = []
    for source in ("image=rgb0.png,image=rgb1.png", "rgb0.png,rgb1.png"):
        assert run("model_runner", "--model", "m.bmodel", "--input", source, "--output", "o.npz") == 0
        results.append(npz.load("o.npz")["y"])
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.usefixtures("workspace")
def test_ranges_are_measured_on_a_folder_of_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    for i in range(2):
        shutil.copy(f"rgb{i}.png", f"folder/{i}.png")
    flags = ("--pixel_format", "rgb", "--mean", "1,2,3")
    assert run("model_transform", "--model_def", "f32.onnx", "--mlir", "m.mlir", *flags) == 0
    capsys.readouterr()
    source = ("--test_input", "rgb0.png", "--cali_data", "folder")
    assert run("ranges", "--mlir", "m.mlir", *source, "--json", "--all") == 0
    ranges = json.loads(capsys.readouterr().out)
    assert ranges["samples"] == 3
    shifted = RGB.astype(np.float32) - [1, 2, 3]
    image = ranges["tensors"]["image"]
    assert (image["min"], image["max"]) == (shifted.min(), shifted.max())


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("quantize", ["F16", "BF16"])
def test_half_precisions_read_the_same_array(quantize: str) -> None:
    flags = ("--pixel_format", "rgb", "--mean=123.675,116.28,103.53", "--scale=0.0171,0.0175,0.0174")
    argv = ("compile", "f32.onnx", "-o", "m.bmodel", "--quantize", quantize, *flags)
    assert run(*argv, "--test_input", "rgb0.png") == 0
    for path, given in (("m.bmodel", ()), ("f32.onnx", flags)):
        output = ("--output", f"{path}.npz")
        assert run("model_runner", "--model", path, "--input", "rgb0.png", *output, *given) == 0
    got, want = (npz.load(f"{path}.npz")["y"].astype(np.float64) for path in ("m.bmodel", "f32.onnx"))
    assert np.abs(got - want).max() <= np.abs(want).max() * (2.0**-10 if quantize == "F16" else 2.0**-7)


@pytest.mark.usefixtures("workspace")
def test_what_is_recorded_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--pixel_format", "rgb", "--channel_format", "nhwc")
    assert run("compile", "nhwc.onnx", "-o", "m.bmodel", *flags) == 0
    capsys.readouterr()
    assert run("model_tool", "--info", "m.bmodel") == 0
    out = capsys.readouterr().out
    assert "(uint8 in ONNX)" in out
    assert "pixel_format rgb, channel_format nhwc" in out
