"""Compile PP-OCR's text-direction classifier for BM1684X and ask the simulated chip about a line of text.

    python examples/text_direction/demo.py [IMAGE]

Needs `pip install 'tpumlir[demo]'`. The model comes out of the wheel of rapidocr-onnxruntime, which fetch.py
downloads at the first run. The image is asked about twice: as it is, and upside down.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from fetch import FetchError, fetch
from PIL import Image
from rich.console import Console
from rich.table import Table

import tpumlir

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 48, 192
DIRECTIONS = ("0 degrees", "180 degrees")


def find_model() -> Path:
    """The classifier. Raises: SystemExit: it cannot be had."""
    try:
        return fetch()
    except FetchError as error:
        sys.exit(f"demo: {error}")


def prepare(image: Image.Image) -> npt.NDArray[np.float32]:
    """What the classifier was trained on: [1, 3, 48, 192], BGR in [-1, 1], zeros right of the picture."""
    width = min(WIDTH, math.ceil(HEIGHT * image.width / image.height))
    pixels = np.asarray(image.convert("RGB").resize((width, HEIGHT), Image.Resampling.BILINEAR), np.float32)
    result = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)
    result[0, :, :, :width] = (pixels[:, :, ::-1] / 255 - 0.5).transpose(2, 0, 1) / 0.5
    return result


def main() -> int:
    """Compile, show the validations, run; 0 if all three passed and both sides say the same."""
    console = Console() if sys.stdout.isatty() else Console(width=110)
    image = Image.open(sys.argv[1] if len(sys.argv) > 1 else HERE / "line.png")
    model = find_model()
    x = prepare(image)

    start = time.perf_counter()
    compiled = tpumlir.compile_onnx(model, input_shapes={"x": x.shape}, test_input={"x": x})
    seconds = time.perf_counter() - start

    table = Table(title=f"{model.name}: compiled and validated in {seconds:.1f} s")
    for column in ("validation", "tensors", "worst tensor", "cosine", "euclid", "verdict"):
        table.add_column(column, overflow="fold")
    for validation in compiled.validations:
        worst = validation.worst
        table.add_row(
            validation.label,
            str(validation.compared),
            worst.name if worst else "-",
            f"{validation.minimum('cosine'):.7f}",
            f"{validation.minimum('euclid'):.7f}",
            "passed" if validation.passed else "FAILED",
        )
    console.print(table)

    bmodel = compiled.bmodel
    (output,) = (spec.name for spec in bmodel.outputs)
    session = ort.InferenceSession(model)
    table = Table(title="What is the direction of the text?")
    for column in ("image", "bmodel on the simulated BM1684X", "ONNX Runtime"):
        table.add_column(column)
    agree = True
    for label, picture in (("as it is", image), ("turned by 180 degrees", image.rotate(180))):
        inputs = {"x": prepare(picture)}
        chip = bmodel.run(inputs)[output][0]
        reference = session.run([output], inputs)[0][0]
        agree &= int(chip.argmax()) == int(reference.argmax())
        answers = (f"{DIRECTIONS[int(p.argmax())]}, p = {p.max():.6f}" for p in (chip, reference))
        table.add_row(label, *answers)
    console.print(table)
    return 0 if agree and all(validation.passed for validation in compiled.validations) else 1


if __name__ == "__main__":
    sys.exit(main())
