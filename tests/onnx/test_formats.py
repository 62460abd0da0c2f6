"""A file that is no ONNX model is named for what it is, with the way to ONNX; a mistyped flag too."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tpumlir.cli.main import main
from tpumlir.errors import OnnxImportError, UnsupportedError
from tpumlir.onnx.load import load


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


# Name and bytes of a file, and what the message says. The suffix does not matter where content tells.
FILES: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("m.pt", _zip("m/data.pkl", "m/code/a.py"), ("a TorchScript model", "torch.onnx.export")),
    ("m.pth", _zip("m/data.pkl", "m/data/0"), ("a PyTorch checkpoint", "torch.onnx.export")),
    ("renamed.onnx", _zip("m/data.pkl", "m/data/0"), ("a PyTorch checkpoint", "torch.onnx.export")),
    ("old.pt", pickle.dumps({"w": [1.0]}, 2), ("a pickle", "torch.onnx.export")),
    ("m.tflite", b"\x1c\0\0\0TFL3" + bytes(40), ("a TensorFlow Lite model", "tf2onnx.convert --tflite")),
    ("m.onnx", b"\x1c\0\0\0TFL3" + bytes(40), ("a TensorFlow Lite model",)),
    ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(80), ("HDF5", "from_keras")),
    ("m.keras", _zip("config.json", "model.weights.h5"), ("a Keras model", "from_keras")),
    ("m.pb", b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder", ("a TensorFlow graph", "tf2onnx.convert --graphdef")),
    ("m.caffemodel", b"\x0a\x04net1\xa2\x06\x05\x0a\x03abc", ("a Caffe model", "prototxt")),
    ("m.prototxt", b'name: "net"\nlayer {}\n', ("a Caffe network", "caffemodel")),
    ("m.json", b"{ not json", ("a truncated file or another format",)),
    ("m.safetensors", (20).to_bytes(8, "little") + b'{"w":{}}', ("a safetensors file", "without a graph")),
    ("lfs.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ("Git LFS", "git lfs pull")),
    ("page.onnx", b"\n<!DOCTYPE html>\n<html></html>", ("an HTML page", "download the file itself")),
    ("m.mlir", b"#loc = loc(unknown)\nmodule {}\n", ("MLIR text", "model_deploy")),
    ("m.bmodel", b"\xee\xaa\x55\xff" + bytes(60), ("a bmodel", "model_runner")),
    ("x.npz", _npz(), ("an npz file", "--test_input")),
    ("m.zip", _zip("a.txt"), ("a zip archive", "unpack")),
    ("m.onnx.gz", b"\x1f\x8b\x08" + bytes(30), ("a gzip archive", "unpack")),
    ("m.ort", b"\x20\0\0\0ORTM" + bytes(30), ("ONNX Runtime's own format",)),
    ("m.xml", b"<?xml version='1.0'?><net></net>", ("OpenVINO",)),
    ("empty.onnx", b"", ("an empty file",)),
    ("junk.onnx", b"\xff\xfe\xfd\xfc" * 9, ("a truncated file or another format",)),
]


@pytest.mark.parametrize(("name", "data", "said"), FILES, ids=[f"{row[0]}-{row[2][0]}" for row in FILES])
def test_another_format_is_named(tmp_path: Path, name: str, data: bytes, said: tuple[str, ...]) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(OnnxImportError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: expected an ONNX model, got ")
    assert [part for part in said if part not in text] == []
    assert "\n" not in text


def _saved_model(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"x")


def _model_inside(folder: Path) -> None:
    (folder / "a.onnx").write_bytes(b"x")


@pytest.mark.parametrize(
    ("make", "said"),
    [(_saved_model, "--saved-model"), (_model_inside, "a.onnx"), (lambda _: None, "give a .onnx file")],
    ids=["saved_model", "model_inside", "empty"],
)
def test_a_directory_is_named(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path)
    with pytest.raises(OnnxImportError, match=r"expected an ONNX model, got a ") as caught:
        load(tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("opset", [1, 6, 99])
def test_an_opset_outside_asks_for_another_export(opset: int) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [2])],
        [value("y", TensorProto.FLOAT, [2])],
    )
    for version, refused in ((opset, True), (17, False)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
        if refused:
            with pytest.raises(UnsupportedError, match="export it again with an opset in this range"):
                load(model)
        else:
            load(model)


FLAGS = [
    ("compile", "--input_shape", "--input_shapes"),
    ("compile", "--quantise", "--quantize"),
    ("compile", "--output-names", "--output_names"),
    ("model_transform", "--model_deff", "--model_def"),
    ("model_deploy", "--Quantize", "--quantize"),
    ("check", "--input_shape=[1,3]", "--input_shapes"),
]


@pytest.mark.parametrize(("command", "given", "meant"), FLAGS, ids=[f"{c}{g}" for c, g, _ in FLAGS])
def test_an_unknown_flag_names_the_nearest(
    command: str, given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, given, "1"])
    assert left.value.code == 2
    flag = given.partition("=")[0]
    assert f"unknown flag {flag}, did you mean {meant}?" in capsys.readouterr().err


def test_a_flag_like_no_other_is_unknown_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compile", "--zzzzzz"])
    assert "unknown flag --zzzzzz (see" in capsys.readouterr().err
