"""What a file that is no ONNX model is, told by its content before its name, and how to get ONNX from it."""

from __future__ import annotations

import zipfile
from pathlib import Path

_HEAD = 1024
_TORCH = "export it with torch.onnx.export(model.eval(), example_input, 'model.onnx')"
_KERAS = "convert it with tf2onnx.convert.from_keras(model, output_path='model.onnx')"
_TFLITE = "convert it with python -m tf2onnx.convert --tflite {path} --output {stem}.onnx"
_WHOLE = "get the model itself"
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

# First bytes of the file, or of what follows the length that it begins with.
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "fetch it with git lfs pull"),
    (4, b"TFL3", "a TensorFlow Lite model", _TFLITE),
    (4, b"ORTM", "a model in ONNX Runtime's own format", "give the .onnx file it was made from"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", _KERAS),
    (8, b'{"', "a safetensors file: weights without a graph", f"load them into their model, and {_TORCH}"),
    (0, b"\xee\xaa\x55\xff", "a bmodel, already compiled", "run it with model_runner --model {path}"),
    (0, b"GGUF", "a GGUF file: weights without a graph", "export the original model to ONNX"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (0, b"7767517\n", "an ncnn .param file", "export the original model to ONNX"),
    (0, b"\x93NUMPY", "a .npy file: one tensor", _WHOLE),
)  # fmt: skip
# Formats without a mark of their own.
_SUFFIXES: dict[str, tuple[str, str]] = {
    ".pt": ("a PyTorch model", _TORCH),
    ".pth": ("a PyTorch checkpoint", f"load it into its model, and {_TORCH}"),
    ".ckpt": ("a checkpoint", f"load it into its model, and {_TORCH}"),
    ".tflite": ("a damaged TensorFlow Lite model", _WHOLE),
    ".h5": ("a damaged HDF5 file (Keras)", _WHOLE),
    ".keras": ("a Keras model", _KERAS),
    ".pb": (
        "a TensorFlow graph",
        "convert it with python -m tf2onnx.convert --graphdef {path} --inputs X:0 --outputs Y:0"
        " --output {stem}.onnx",
    ),
    ".caffemodel": ("a Caffe model", "convert it to ONNX first, with its .prototxt"),
    ".prototxt": ("a Caffe network description", "convert it to ONNX first, with its .caffemodel"),
    ".pdmodel": ("a PaddlePaddle model", "convert it with paddle2onnx"),
    ".mlmodel": ("a Core ML model", "export the original model to ONNX"),
    ".mlir": ("MLIR text", "give a Top file to model_deploy --mlir {path}"),
    ".engine": ("a TensorRT engine, already compiled", "give the .onnx file it was made from"),
    ".plan": ("a TensorRT engine, already compiled", "give the .onnx file it was made from"),
    ".safetensors": ("a damaged safetensors file", _WHOLE),
}


def name_format(path: Path) -> str:
    """What ``path`` holds and what to do about it, or "" if there is no telling. Only for what is no ONNX."""
    found = _directory(path) if path.is_dir() else _by_content(path) or _SUFFIXES.get(path.suffix.lower())
    if not found:
        return ""
    what, advice = found
    return f"{what} ({advice.replace('{path}', str(path)).replace('{stem}', path.stem)})"


def has_mark(path: Path) -> bool:
    """Whether the first bytes are those of another format. Raises: OSError."""
    return _by_content(path) is not None


def _directory(path: Path) -> tuple[str, str]:
    if (path / "saved_model.pb").is_file():
        return (
            "a TensorFlow SavedModel",
            "convert it with python -m tf2onnx.convert --saved-model {path} --output {stem}.onnx",
        )
    inside = sorted(path.glob("*.onnx"))
    if inside:
        return "a directory", f"give the file, for instance {inside[0]}"
    return "a directory", "give a .onnx file"


def _by_content(path: Path) -> tuple[str, str] | None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file", _WHOLE
    for offset, mark, what, advice in _MAGIC:
        if head[offset : offset + len(mark)] == mark:
            return what, advice
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page", "download the file itself, not the page about it"
    if text.startswith((b"<?xml", b"<net")):
        return "XML, as OpenVINO writes", "export the original model to ONNX"
    if text.startswith((b"module", b"#loc", b"#map")):
        return _SUFFIXES[".mlir"]
    if head.startswith(_PICKLE):
        return "a pickle, as old PyTorch checkpoints are", f"load it into its model, and {_TORCH}"
    return None


def _archive(path: Path) -> tuple[str, str]:
    """What a zip file is, by the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "a damaged zip archive", _WHOLE
    if any(name.endswith("/data.pkl") for name in names):
        scripted = any("/code/" in name for name in names)
        return ("a TorchScript model", _TORCH) if scripted else (
            "a PyTorch checkpoint", f"load it into its model, and {_TORCH}"
        )  # fmt: skip
    if "model.weights.h5" in names:
        return "a Keras model", _KERAS
    if names and all(name.endswith(".npy") for name in names):
        return "an npz file of tensors", "give it as --test_input, and the .onnx file as the model"
    return "a zip archive", "unpack it first"
