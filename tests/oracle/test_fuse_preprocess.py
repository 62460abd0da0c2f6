"""Frames of bytes on the vendor's runtime: the same bits as on our simulator and of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_rows import MEAN, SCALE, Row, judge, top
from oracle.runtime import run_bmodel
from tpumlir.bmodel import write

pytestmark = pytest.mark.oracle

ROWS = (
    Row("RGB_PLANAR", "bgr", mean=MEAN, scale=SCALE),
    Row("BGR_PACKED", "rgb", "nhwc", MEAN, SCALE, size=(64, 10)),
    Row("BGR_PACKED", "rgb", mean=MEAN, scale=SCALE, size=(7, 13), batch=2),
    Row("GRAYSCALE", "gray", size=(4, 4), frame=(5, 7), mean=(127.5,)),
    Row("YUV_NV12", mean=MEAN, scale=SCALE, size=(64, 10)),
    Row("YUV420_PLANAR", "bgr", size=(5, 6), frame=(8, 8)),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("opt", [0, 2])
def test_vendor_runtime_gives_the_same_bits(row: Row, opt: int, oracle: Path, tmp_path: Path) -> None:
    frame, pixels = row.frames()
    bmodel = top(row).fuse_preprocess(row.format).lower().finalize(opt=opt).compile()
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    theirs = run_bmodel(oracle, path, {"image": frame})["y"].tobytes()
    assert theirs == bmodel.run({"image": frame})["y"].tobytes()
    assert theirs == judge(row, row.host(pixels)).tobytes()
