"""Frames of bytes on the vendor's runtime: the same bits as on our simulator and of ONNX Runtime."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frame_rows import COLOURS, MEAN, SCALE, YUV, Row, judge, top
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


def vendor_fuses(oracle: Path, folder: Path, row: Row, chip: str, align: str, *passes: str) -> str:
    """What the vendor's pass makes of our text, and ``passes`` of that."""
    tool, backend = (oracle / "tpuc" / name for name in ("bin/tpuc-opt", "lib/libbackend_bm1684x.so"))
    if not (tool.exists() and backend.exists()):
        pytest.skip(f"needs the vendor's tpuc-opt and its backends in {oracle}")
    top(replace(row, frame=None)).save(folder / "net.mlir")
    # It needs two attributes that ours leaves out. Its resize_dims are those of the frame, in YUV too.
    h, w = row.frame_size
    said = f'resize_dims = [{h * 3 // 2 if row.format in YUV else h}, {w}], yuv_type = "", scale ='
    text = (folder / "net.mlir").read_text().replace("scale =", said, 1)
    (folder / "net.mlir").write_text(text)
    fuse = f"--fuse-preprocess=mode=BF16 customization_format={row.format} align={align}"
    argv = [str(tool), "net.mlir", "--init", f"--processor-assign=chip={chip} mode=BF16", fuse, *passes]
    argv += ["--deinit", "-o", "out.mlir"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return (folder / "out.mlir").read_text()


def frame_in(text: str) -> tuple[int, ...]:
    (shape,) = re.findall(r'"top.Input".* -> tensor<([x0-9]*)x!quant', text)
    return tuple(map(int, shape.split("x")))


@pytest.mark.parametrize("kind", [*COLOURS, "GRAYSCALE"])
@pytest.mark.parametrize("width", [10, 48, 64, 66])
def test_the_vendor_pads_no_frames_for_this_chip(kind: str, width: int, oracle: Path, tmp_path: Path) -> None:
    """Its flag --aligned_input is this option: frames are ours, with it and without."""
    row = Row(kind, "gray" if kind == "GRAYSCALE" else "rgb", size=(4, width))
    frame, _ = row.frames()
    with_one = (1, *frame.shape) if kind in YUV else frame.shape
    for align in ("False", "True"):
        assert frame_in(vendor_fuses(oracle, tmp_path, row, "bm1684x", align)) == with_one


@pytest.mark.parametrize(
    ("chip", "kind", "shape"),
    [
        ("cv183x", "RGB_PACKED", (1, 1, 4, 32)),
        ("cv182x", "RGB_PACKED", (1, 1, 4, 64)),
        ("cv183x", "GRAYSCALE", (1, 1, 4, 32)),
        ("cv183x", "BGR_PLANAR", (1, 3, 1, 4096)),
        ("cv182x", "BGR_PLANAR", (1, 3, 1, 256)),
    ],
)
def test_it_does_for_others(
    chip: str, kind: str, shape: tuple[int, ...], oracle: Path, tmp_path: Path
) -> None:
    """So the option reaches the pass."""
    row = Row(kind, "gray" if kind == "GRAYSCALE" else "rgb", size=(4, 10))
    assert frame_in(vendor_fuses(oracle, tmp_path, row, chip, "True")) == shape


@pytest.mark.parametrize("kind", ["RGB_PLANAR", "BGR_PACKED", "YUV_NV12"])
@pytest.mark.parametrize(("size", "frame"), [((5, 7), (8, 10)), ((4, 8), (8, 10)), ((6, 9), (10, 12))])
def test_the_vendor_crops_the_same_middle(
    kind: str, size: tuple[int, int], frame: tuple[int, int], oracle: Path, tmp_path: Path
) -> None:
    row = Row(kind, size=size, frame=frame)
    text = vendor_fuses(oracle, tmp_path, row, "bm1684x", "False", "--convert-top-to-tpu", "--canonicalize")
    (offset,) = re.findall(r'"tpu.Slice".* offset = \[0, 0, (\d+), (\d+)\]', text)
    rows, columns = np.indices(frame, np.uint8)
    pixels = np.stack([rows, columns, rows], axis=-1)[None]
    corner = row.host(pixels)[0, :2, 0, 0]
    assert [int(at) for at in corner] == [int(at) for at in offset]
