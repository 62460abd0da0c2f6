"""Frames of bytes into the chip: the same numbers as preprocessing on the host, in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import tpumlir
from frame_rows import COLOURS, MEAN, ROWS, SCALE, Row, from_yuv, judge, model, top
from onnx import TensorProto, helper, numpy_helper
from tpumlir.bmodel import BModel
from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import TpumlirError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module
from tpumlir.road.compile import compile_onnx, transform

Array = npt.NDArray[Any]


def on_chip(bmodel: BModel, frame: Array) -> Array:
    (spec,) = bmodel.inputs
    assert (spec.dtype, spec.shape, spec.name) == ("u8", frame.shape, "image")
    return bmodel.run({"image": frame}, detect_races=True)["y"]


def test_the_table_is_a_table() -> None:
    assert len(ROWS) == len(set(ROWS)) > 100
    assert {row.format for row in ROWS} == {*COLOURS, "GRAYSCALE"}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_f32_is_bit_equal_to_onnx_runtime_behind_the_host(row: Row) -> None:
    frame, pixels = row.frames()
    want = judge(row, row.host(pixels))
    fused = top(row).fuse_preprocess(row.format)
    assert [(spec.name, spec.shape, spec.dtype) for spec in fused.inputs] == [("image", frame.shape, "ui8")]
    tpu = fused.lower()
    for stage, got in (
        ("Top", ModuleInterpreter(fused).run({"image": frame})["y"]),
        ("Tpu", ModuleInterpreter(tpu).run({"image": frame})["y"]),
        ("bmodel", on_chip(tpu.compile(), frame)),
    ):
        assert got.tobytes() == want.tobytes(), stage


HALVES = [row for row in ROWS if row.mean and row.dtype == "float32" and row.size == (6, 10)]


@pytest.mark.parametrize("mode", ["F16", "BF16"])
@pytest.mark.parametrize("row", [*HALVES[:28:3], Row("RGB_PACKED", dtype="float16")], ids=str)
def test_a_half_is_bit_equal_to_the_model_without_fusion(row: Row, mode: str) -> None:
    frame, pixels = row.frames()
    x = row.host(pixels).astype(np.float32)
    plain, tpu = top(row).lower(mode), top(row).fuse_preprocess(row.format).lower(mode)
    want = ModuleInterpreter(plain).run({"image": x})["y"]
    assert ModuleInterpreter(tpu).run({"image": frame})["y"].tobytes() == want.tobytes()
    assert plain.compile().run({"image": x})["y"].tobytes() == want.tobytes()
    assert on_chip(tpu.compile(), frame).tobytes() == want.tobytes()


@pytest.mark.parametrize("opt", [0, 1, 3])
@pytest.mark.parametrize("row", [ROWS[0], ROWS[9], Row("YUV_NV12", size=(64, 10), mean=(3,))], ids=str)
def test_groups_do_not_change_it(row: Row, opt: int) -> None:
    frame, pixels = row.frames()
    final = top(row).fuse_preprocess(row.format).lower().finalize(opt=opt)
    assert on_chip(final.compile(), frame).tobytes() == judge(row, row.host(pixels)).tobytes()


@pytest.mark.parametrize(
    ("pixels", "layout", "want"),
    [("rgb", "nchw", "RGB_PLANAR"), ("bgr", "nchw", "BGR_PLANAR"), ("rgb", "nhwc", "RGB_PACKED"),
     ("bgr", "nhwc", "BGR_PACKED"), ("gray", "nchw", "GRAYSCALE"), ("gray", "nhwc", "GRAYSCALE")],
)  # fmt: skip
def test_without_a_format_it_is_the_models(pixels: str, layout: str, want: str) -> None:
    row = Row(want, pixels, layout)
    chosen, default = (top(row).fuse_preprocess(kind) for kind in (want, None))
    assert str(chosen) == str(default)


def test_the_module_is_not_changed_and_the_fused_one_reads_its_own_text() -> None:
    row = Row("BGR_PACKED", mean=MEAN, scale=SCALE)
    before = str(top(row))
    fused = top(row).fuse_preprocess(row.format)
    assert str(top(row)) == before
    frame, pixels = row.frames()
    again = Module.parse(str(fused), fused.weights)
    got = ModuleInterpreter(again).run({"image": frame})["y"]
    np.testing.assert_array_equal(got, judge(row, row.host(pixels)))


# Red, green, blue and the Y, U, V that BT.601 gives them in its limited range.
YUV_COLOURS: dict[tuple[int, ...], tuple[int, int, int]] = {
    (0, 0, 0): (16, 128, 128), (255, 255, 255): (235, 128, 128), (255, 0, 0): (82, 90, 240),
    (0, 255, 0): (145, 54, 34), (0, 0, 255): (41, 240, 110), (255, 255, 0): (210, 16, 146),
    (128, 128, 128): (126, 128, 128), (64, 128, 192): (116, 166, 95),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["YUV420_PLANAR", "YUV_NV12", "YUV_NV21"])
@pytest.mark.parametrize("colour", YUV_COLOURS, ids=str)
def test_pictures_become_yuv_and_come_back(kind: str, colour: tuple[int, ...], tmp_path: Path) -> None:
    # The right half is black, so that rows, columns and the two planes cannot be confused.
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = colour
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    frame = Preprocess(customization_format=kind).run([tmp_path / "photo.png"], (1, 6, 8))[0]
    y, u, v = YUV_COLOURS[colour]
    np.testing.assert_array_equal(frame[:4], [[y] * 4 + [16] * 4] * 4)
    us, vs = [u, u, 128, 128], [v, v, 128, 128]
    chroma = {
        "YUV420_PLANAR": [us + us, vs + vs],
        "YUV_NV12": [np.ravel(list(zip(us, vs, strict=True)))] * 2,
        "YUV_NV21": [np.ravel(list(zip(vs, us, strict=True)))] * 2,
    }
    np.testing.assert_array_equal(frame[4:], chroma[kind])
    assert np.abs(from_yuv(frame, kind).astype(int) - pixels).max() <= 2


def test_two_pictures_and_a_batch_of_them() -> None:
    shape = (2, 3, 6, 10)
    nodes = [helper.make_node("Sub", ["a", "b"], ["y"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "ab"]
    graph = helper.make_graph(nodes, "two", inputs, [helper.make_tensor_value_info("y", 1, shape)])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    row = Row("BGR_PACKED", mean=MEAN, scale=SCALE, batch=2)
    module = transform(proto, preprocess=row.preprocess(), validate=False).module
    a, pixels = row.frames()
    b = np.ascontiguousarray(a[::-1])
    bmodel = module.fuse_preprocess(row.format).lower().compile()
    got = bmodel.run({"a": a, "b": b}, detect_races=True)["y"]
    assert got.tobytes() == (row.host(pixels) - row.host(pixels[::-1])).tobytes()


@pytest.mark.parametrize("kind", ["RGB_PACKED", "BGR_PLANAR", "YUV_NV12", "GRAYSCALE"])
@pytest.mark.parametrize(("rank", "batch"), [(4, 1), (4, 2), (3, 1)])
@pytest.mark.parametrize("twice", [False, True])
def test_a_model_that_turns_its_input_reads_planes(kind: str, rank: int, batch: int, twice: bool) -> None:
    gray = kind == "GRAYSCALE"
    row = Row(kind, "gray" if gray else "rgb", "nhwc", (3,), (0.25,), rank=rank, batch=batch)
    order = [0, 3, 1, 2] if rank == 4 else [2, 0, 1]
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=order),
        helper.make_node("Neg", ["t"], ["y"]),
    ]
    shape = [row.shape()[axis] for axis in order]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    if twice:  # then the picture itself is needed
        nodes.append(helper.make_node("Abs", ["image"], ["z"]))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, row.shape()))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, row.shape())]
    proto = helper.make_model(
        helper.make_graph(nodes, "turn", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    frame, pixels = row.frames()
    done = compile_onnx(
        proto, preprocess=row.preprocess(), fuse_preprocess=True, customization_format=kind,
        test_input={"image": frame},
    )  # fmt: skip
    assert all(verdict.passed for verdict in done.validations)
    x = row.host(pixels)
    assert done.bmodel.run({"image": frame})["y"].tobytes() == (-x).transpose(order).tobytes()
    turned = [op.kind for op in done.deployed.tpu.ops()].count("tpu.Permute")
    assert turned == (1 if twice and not gray else 0)


@pytest.mark.parametrize("mode", ["F32", "F16"])
@pytest.mark.parametrize("kind", ["RGB_PLANAR", "BGR_PACKED", "YUV_NV12"])
def test_the_bytes_of_a_frame_do_not_loosen_the_verdict(kind: str, mode: str) -> None:
    row = Row(kind, mean=MEAN, scale=SCALE)
    kinds: dict[str, Any] = {"fuse_preprocess": True, "customization_format": kind}
    fused, plain = (
        compile_onnx(model(row.shape()), preprocess=row.preprocess(), quantize=mode, **given)
        for given in (kinds, {})
    )
    for verdict, usual in zip(fused.validations, plain.validations, strict=True):
        assert verdict.tolerance == usual.tolerance


REFUSED = {
    "gray_for_colours": (Row("GRAYSCALE"), "expected a customization_format with the channels"),
    "colours_for_gray": (Row("RGB_PACKED", "gray"), "expected customization_format GRAYSCALE"),
    "yuv_for_gray": (Row("YUV_NV12", "gray"), "expected customization_format GRAYSCALE"),
    "odd_rows_of_yuv": (Row("YUV_NV12", size=(5, 6)), "expected a frame of even height and width"),
    "odd_columns_of_yuv": (Row("YUV420_PLANAR", size=(6, 5)), "expected a frame of even height and width"),
    "unknown": (Row("NV12"), "expected a customization_format of RGB_PLANAR, RGB_PACKED"),
    "lower_case": (Row("rgb_packed"), "expected a customization_format of RGB_PLANAR, RGB_PACKED"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    row, message = REFUSED[name]
    with pytest.raises(TpumlirError, match=message):
        top(row).fuse_preprocess(row.format)


def test_the_remedy_for_odd_frames_of_yuv_works() -> None:
    row = Row("YUV_NV12", size=(5, 6))
    other = replace(row, frame=(6, 6))
    frame, pixels = other.frames()
    got = ModuleInterpreter(top(other).fuse_preprocess(other.format)).run({"image": frame})["y"]
    np.testing.assert_array_equal(got, judge(other, other.host(pixels)))


def test_a_module_that_records_nothing_is_refused() -> None:
    module = transform(model((1, 3, 6, 10)), validate=False).module
    with pytest.raises(TpumlirError, match=r"image: no preprocessing is recorded \(model_transform"):
        module.fuse_preprocess()


def test_fusing_twice_is_refused() -> None:
    fused = top(Row("RGB_PACKED")).fuse_preprocess("RGB_PACKED")
    with pytest.raises(TpumlirError, match="it is a frame already"):
        fused.fuse_preprocess("RGB_PACKED")


@pytest.mark.parametrize("kind", [*COLOURS, "GRAYSCALE"])
@pytest.mark.parametrize("size", [(6, 10), (4, 64), (2, 66)], ids=str)
def test_align_changes_nothing(kind: str, size: tuple[int, int]) -> None:
    module = top(Row(kind, "gray" if kind == "GRAYSCALE" else "rgb", mean=(3,), size=size))
    plain, aligned = (
        str(module.clone().run_pipeline(f"fuse-preprocess{{customization_format={kind} align={value}}}"))
        for value in ("false", "true")
    )
    assert plain == aligned


@pytest.mark.parametrize(
    ("rows", "columns", "frame"), [(9, 10, (1, 9, 10)), (12, 14, (1, 12, 14))], ids=["whole", "cropped"]
)
def test_resize_dims_beside_a_yuv_type_are_those_of_the_file(
    rows: int, columns: int, frame: tuple[int, ...]
) -> None:
    """As TPU-MLIR's text has it, which says an empty yuv_type where there is none."""
    row = Row("YUV_NV12", mean=MEAN, scale=SCALE, frame=(rows // 3 * 2, columns))
    text = str(transform(model(row.shape()), preprocess=row.preprocess(), validate=False).module)
    old = f"resize_dims = [{row.frame_size[0]}, {row.frame_size[1]}]"
    assert old in text
    values, pixels = row.frames()
    want = judge(row, row.host(pixels))
    for said in (f'{old}, yuv_type = ""', f'resize_dims = [{rows}, {columns}], yuv_type = "YUV_NV12"'):
        fused = Module.parse(text.replace(old, said), top(row).weights).fuse_preprocess(row.format)
        assert [spec.shape for spec in fused.inputs] == [frame]
        got = fused.lower().compile().run({"image": values})["y"]
        np.testing.assert_array_equal(got, want)


def test_resize_dims_that_no_yuv_file_has_are_refused() -> None:
    row = Row("YUV_NV12", frame=(8, 10))
    text = str(top(row)).replace("resize_dims = [8, 10]", 'resize_dims = [8, 10], yuv_type = "YUV_NV12"')
    with pytest.raises(TpumlirError, match=r"expected resize_dims of a YUV file, 3/2 .*, got 8,10"):
        Module.parse(text, top(row).weights).fuse_preprocess(row.format)


@pytest.mark.parametrize("kind", [None, "RGB_PACKED", "GRAYSCALE"])
def test_four_channels_are_refused(kind: str | None) -> None:
    how = Preprocess(pixel_format="rgba")
    module = transform(model((1, 4, 6, 10)), preprocess=how, validate=False).module
    with pytest.raises(TpumlirError, match="bgr or gray pictures to fuse the preprocessing of, got rgba"):
        module.fuse_preprocess(kind)


@pytest.mark.parametrize("kind", ["RGB_PLANAR", "BGR_PACKED", "YUV_NV12"])
def test_integers_take_the_range_of_the_picture(kind: str) -> None:
    row = Row(kind, mean=MEAN, scale=SCALE)
    weights = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["image", "w"], ["y"], pads=[1, 1, 1, 1])]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, row.shape())],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, *row.size))],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    module = transform(proto, preprocess=row.preprocess(), validate=False).module
    frame, pixels = row.frames()
    ranges = tpumlir.calibrate(module, [{"image": row.host(x)} for x in (pixels, 255 - pixels)])
    plain = module.lower("INT8", calibration_table=ranges)
    fused = module.fuse_preprocess(kind).lower("INT8", calibration_table=ranges)
    assert str(plain).count("quant.uniform") > 0
    want = ModuleInterpreter(plain).run({"image": row.host(pixels)})["y"]
    np.testing.assert_array_equal(ModuleInterpreter(fused).run({"image": frame})["y"], want)
    np.testing.assert_array_equal(on_chip(fused.compile(), frame), want)
    done = tpumlir.deploy(
        module, quantize="INT8", calibration_table=ranges, fuse_preprocess=True, customization_format=kind,
        test_input={"image": frame},
    )  # fmt: skip
    assert all(verdict.passed for verdict in done.validations)


def test_an_input_that_is_an_output_too_is_refused() -> None:
    proto = model((1, 3, 6, 10))
    proto.graph.output.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 6, 10)))
    module = transform(proto, preprocess=Preprocess(), validate=False).module
    with pytest.raises(TpumlirError, match="expected an input that is no output too"):
        module.fuse_preprocess()
