"""The detections of YOLOv8n in INT8 beside those of ONNX Runtime, after a plain suppression of overlaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from tpumlir import npz

NAME = "nudenet_yolov8n"
SURE, SAME_OBJECT, SAME_BOX, LEAST = 0.25, 0.45, 0.9, 0.95
TARGET, TRIALS = "cos=0.99995", 20

Array = npt.NDArray[Any]


class Detection(NamedTuple):
    """A class, how sure it is, and a box as left, top, right, bottom."""

    kind: int
    score: float
    box: Array


def overlap(a: Array, b: Array) -> float:
    """Intersection over union."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared)


def detections(output: Array) -> list[Detection]:
    """What [4 + classes, places] of middle, size and scores says, the surest first."""
    scores = output[4:].max(axis=0)
    kept: list[Detection] = []
    for place in np.argsort(-scores, kind="stable"):
        if scores[place] <= SURE:
            break
        middle, size = output[:2, place], output[2:4, place]
        box = np.concatenate([middle - size / 2, middle + size / 2]).astype(np.float64)
        kind = int(output[4:, place].argmax())
        if all(other.kind != kind or overlap(other.box, box) <= SAME_OBJECT for other in kept):
            kept.append(Detection(kind, float(scores[place]), box))
    return kept


def matched(want: list[Detection], got: list[Detection]) -> int:
    """How many of ``want`` have one of the same class and nearly the same box, each its own."""
    left = list(got)
    count = 0
    for detection in want:
        near = [
            (overlap(detection.box, other.box), place)
            for place, other in enumerate(left)
            if other.kind == detection.kind
        ]
        best, place = max(near, default=(0.0, -1))
        if best >= SAME_BOX:
            count += 1
            del left[place]
    return count


def variants(picture: Array) -> list[Array]:
    """[1, 3, h, w] as it is, mirrored, darker, and each of them moved: few pictures show something."""
    height, width = picture.shape[2:]
    moved = []
    for image in (picture, picture[..., ::-1], picture * np.float32(0.8)):
        for down, right in ((0, 0), (0, 16), (13, 0), (-16, -10), (9, -25)):
            rows = np.clip(np.arange(height) - down, 0, height - 1)
            columns = np.clip(np.arange(width) - right, 0, width - 1)
            moved.append(np.ascontiguousarray(image[:, :, rows][..., columns]))
    return moved


def column(box: tuple[float, float, float, float], kind: int, score: float) -> Array:
    result = np.zeros(7, np.float32)
    result[:4] = box
    result[4 + kind] = score
    return result


def test_overlapping_boxes_of_a_class_are_one() -> None:
    output = np.stack(
        [
            column((50, 50, 20, 20), 0, 0.6),
            column((51, 50, 20, 20), 0, 0.9),  # the surest of its kind
            column((51, 50, 20, 20), 1, 0.5),  # another class
            column((90, 90, 20, 20), 0, 0.3),  # another place
            column((20, 20, 20, 20), 2, 0.2),  # not sure
        ],
        axis=1,
    )
    got = detections(output)
    assert [(d.kind, round(d.score, 2)) for d in got] == [(0, 0.9), (1, 0.5), (0, 0.3)]
    assert got[0].box.tolist() == [41, 40, 61, 60]


def test_what_is_matched_has_the_class_and_the_box() -> None:
    def found(*columns: Array) -> list[Detection]:
        return detections(np.stack(columns, axis=1))

    want = found(column((50, 50, 20, 20), 0, 0.9), column((90, 90, 20, 20), 1, 0.8))
    assert matched(want, want) == 2
    assert matched(want, []) == 0
    assert matched(want, found(column((50, 50, 20, 20), 1, 0.9), column((90, 90, 20, 20), 1, 0.8))) == 1
    assert matched(want, found(column((52, 50, 20, 20), 0, 0.9))) == 0  # 18 / 22 of the box
    assert matched(want, found(column((50.5, 50, 20, 20), 0, 0.4))) == 1
    assert matched(want[:1] * 2, want) == 1


# Maps of probabilities are nearly all nearly 0, which calibration notes.
@pytest.mark.filterwarnings("ignore::tpumlir.errors.Note")
@pytest.mark.corpus
def test_int8_detects_what_float_detects(corpus: Path) -> None:
    import onnxruntime as ort

    model = corpus / f"{NAME}.onnx"
    calibration = [npz.load(path) for path in sorted((corpus / f"{NAME}.calib").glob("*.npz"))]
    judged = npz.load(corpus / f"{NAME}.npz")
    (name,) = judged
    module = tpumlir.load_onnx(model, input_shapes=[list(judged[name].shape)])
    table = tpumlir.calibrate(module, dataset=calibration)
    # Boxes are hundreds, scores at most 1: a cosine of 0.99 says nothing about either.
    mixed = tpumlir.quantize(module, calibration, target=TARGET, calibration_table=table, trials=TRIALS)
    assert mixed.met
    bmodel = module.lower("INT8", calibration_table=table, quantize_table=mixed.table).compile()
    session = ort.InferenceSession(model)
    wanted = found = same = 0
    pictures: list[Array] = []
    # Each picture once; one that shows nothing is looked at as it is, for nothing must be found in it.
    for picture in {sample[name].tobytes(): sample[name] for sample in (judged, *calibration)}.values():
        shows = detections(session.run(None, {name: picture})[0][0])
        pictures += variants(picture) if shows else [picture]
    for picture in pictures:
        (reference,) = session.run(None, {name: picture})
        (chip,) = bmodel.run({name: picture}).values()
        want, got = detections(reference[0]), detections(chip[0])
        wanted, found, same = wanted + len(want), found + len(got), same + matched(want, got)
    print(f"{same} of {wanted} detections matched, {found} found")
    assert wanted >= 20, "too few detections to judge"
    # Those that only one side has count against it: of both together, what is shared.
    share = same / max(wanted, found)
    assert share >= LEAST, f"{same} of {wanted} detections matched, {found} found"
