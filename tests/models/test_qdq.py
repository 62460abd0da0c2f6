"""Corpus models that ONNX Runtime's own quantiser has quantised, in integers against ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir

pytestmark = pytest.mark.corpus

Array = npt.NDArray[Any]


def _samples(corpus: Path, name: str) -> list[dict[str, Array]]:
    return [dict(np.load(path)) for path in sorted((corpus / f"{name}.calib").glob("*.npz"))]


def quantized(corpus: Path, name: str, folder: Path, activations: str, form: str) -> Path:
    """``name`` by onnxruntime.quantization: static, in a ``form`` of it, a scale for each output channel.

    Weights have 7 bits: where a processor has no VNNI, ONNX Runtime's sums of products of u8 and s8 saturate.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    samples = _samples(corpus, name)
    model = onnx.load(corpus / f"{name}.onnx")
    for value in model.graph.input:
        if value.name in samples[0]:
            for dim, extent in zip(
                value.type.tensor_type.shape.dim, samples[0][value.name].shape, strict=True
            ):
                dim.ClearField("dim_param")
                dim.dim_value = extent
    model = onnx.version_converter.convert_version(model, 13) if _opset(model) < 13 else model
    plain, prepared, result = (folder / f"{name}_{step}.onnx" for step in ("plain", "prepared", activations))
    onnx.save(model, plain)
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Array]] = iter(samples)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.left, None)

    quantize_static(
        str(prepared),
        str(result),
        Reader(),
        quant_format=QuantFormat[form],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8 if activations == "u8" else QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    return result


def _opset(model: onnx.ModelProto) -> int:
    return int(next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")))


def cosine(a: Array, b: Array) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def run_onnx(path: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.mark.parametrize("activations", ["u8", "s8"])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("name", ["ppocr_cls", "mtcnn_onet", "oww_embedding"])
@pytest.mark.filterwarnings("ignore")
def test_a_quantised_model_computes_what_onnx_runtime_does(
    name: str, form: str, activations: str, corpus: Path, tmp_path: Path
) -> None:
    path = quantized(corpus, name, tmp_path, activations, form)
    inputs = dict(np.load(corpus / f"{name}.npz"))
    tpu = tpumlir.load_onnx(path).lower("INT8")
    computed = tpumlir.ModuleInterpreter(tpu).run(inputs)
    chip = tpu.compile().run(inputs, detect_races=True)
    for key, expected in run_onnx(path, inputs).items():
        # A BatchNormalization between two pairs is computed in halves; in F32 nothing would differ.
        least = 0.998 if (name, form) == ("oww_embedding", "QOperator") else 0.999
        assert cosine(expected, computed[key]) >= least, key
        assert cosine(computed[key], chip[key]) >= 0.99999, key
    text = tpu.print()
    products = re.findall(r'"tpu\.(?:Conv2D|MatMul)"\(.*-> tensor<[0-9x]*(!quant)?', text)
    assert products.count("!quant") > len(products) / 2
