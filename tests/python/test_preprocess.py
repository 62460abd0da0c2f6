"""Images become tensors as TPU-MLIR's flags say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tpumlir.data.preprocess import Preprocess
from tpumlir.errors import InputError

PIXELS = np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path)
    return path


def run(photo: Path, shape: tuple[int, ...], **options: Any) -> np.ndarray:
    return Preprocess(**options).run([photo], shape)


def test_default_is_bgr_nchw_unscaled(photo: Path) -> None:
    got = run(photo, (1, 3, 6, 8))
    np.testing.assert_array_equal(got[0], PIXELS[:, :, ::-1].transpose(2, 0, 1))
    assert got.dtype == np.float32
    assert got.flags.c_contiguous


def test_mean_and_scale_are_in_the_order_of_the_pixel_format(photo: Path) -> None:
    options = {"mean": (1.0, 2.0, 3.0), "scale": (0.5, 0.25, 2.0)}
    want = (PIXELS.astype(np.float32) - [1, 2, 3]) * [0.5, 0.25, 2.0]
    got = run(photo, (1, 6, 8, 3), pixel_format="rgb", channel_format="nhwc", **options)
    np.testing.assert_allclose(got[0], want)
    want = (PIXELS[:, :, ::-1].astype(np.float32) - [1, 2, 3]) * [0.5, 0.25, 2.0]
    np.testing.assert_allclose(run(photo, (1, 3, 6, 8), **options)[0], want.transpose(2, 0, 1))


def test_gray_is_one_channel(photo: Path) -> None:
    got = run(photo, (1, 1, 6, 8), pixel_format="gray", mean=(10.0,), scale=(0.5,))
    want = (np.asarray(Image.fromarray(PIXELS).convert("L"), np.float32) - 10) * 0.5
    np.testing.assert_allclose(got[0, 0], want)


def test_one_image_fills_a_batch(photo: Path) -> None:
    got = run(photo, (3, 3, 6, 8))
    np.testing.assert_array_equal(got[0], got[2])


def test_resize_then_crop_the_middle(photo: Path) -> None:
    got = run(photo, (1, 3, 4, 4), resize_dims=(6, 8), pixel_format="rgb")
    np.testing.assert_array_equal(got[0], PIXELS[1:5, 2:6].transpose(2, 0, 1))


def test_an_odd_middle_of_an_even_picture_is_where_the_vendor_has_it(photo: Path) -> None:
    """As 227 of 256: from row 6 // 2 - 3 // 2 on."""
    got = run(photo, (1, 3, 3, 5), resize_dims=(6, 8), pixel_format="rgb")
    np.testing.assert_array_equal(got[0], PIXELS[2:5, 2:7].transpose(2, 0, 1))


@pytest.mark.parametrize(("pad_type", "top"), [("center", 1), ("normal", 0)])
def test_letterbox_pads(photo: Path, pad_type: Any, top: int) -> None:
    got = run(photo, (1, 3, 8, 8), keep_aspect_ratio=True, pad_value=7, pad_type=pad_type, pixel_format="rgb")
    np.testing.assert_array_equal(got[0, :, top : top + 6], PIXELS.transpose(2, 0, 1))
    rest = np.delete(got[0], range(top, top + 6), axis=1)
    assert (rest == 7).all()


def test_short_side_scale_crops(photo: Path) -> None:
    got = run(
        photo, (1, 3, 6, 6), keep_aspect_ratio=True, keep_ratio_mode="short_side_scale", pixel_format="rgb"
    )
    np.testing.assert_array_equal(got[0], PIXELS[:, 1:7].transpose(2, 0, 1))


def test_short_side_scale_crops_to_resize_dims_first(photo: Path) -> None:
    how = {"keep_aspect_ratio": True, "keep_ratio_mode": "short_side_scale", "pixel_format": "rgb"}
    got = run(photo, (1, 3, 5, 3), resize_dims=(6, 5), **how)
    # Columns 1 to 6 of 8, of these from 5 // 2 - 3 // 2 on.
    np.testing.assert_array_equal(got[0], PIXELS[1:6, 2:5].transpose(2, 0, 1))


GRAY16 = np.array([[0, 255, 256, 65535]], np.uint16)


def pictures(folder: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Files of every mode that a camera or a drawing program writes, and the RGB pixels that they mean."""
    gray = PIXELS[:, :, 0]
    palette = Image.fromarray(PIXELS).quantize(7)
    clear = Image.fromarray(PIXELS).quantize(7)
    clear.info["transparency"] = 0
    bits = Image.fromarray(gray).convert("1")
    alpha = np.dstack([PIXELS, gray])
    cases = {
        "gray.png": (Image.fromarray(gray), np.dstack([gray] * 3)),
        "gray.bmp": (Image.fromarray(gray), np.dstack([gray] * 3)),
        "UPPER.PNG": (Image.fromarray(PIXELS), PIXELS),
        "alpha.png": (Image.fromarray(alpha), PIXELS),
        "gray_alpha.png": (Image.fromarray(alpha).convert("LA"), None),
        "palette.png": (palette, np.asarray(palette.convert("RGB"))),
        "transparent_palette.png": (clear, np.asarray(palette.convert("RGB"))),
        "bits.png": (bits, np.dstack([np.asarray(bits, np.uint8) * 255] * 3)),
        "rgb.bmp": (Image.fromarray(PIXELS), PIXELS),
        "gray16.png": (
            Image.fromarray(np.tile(GRAY16, (6, 2))),
            np.dstack([np.tile(GRAY16 >> 8, (6, 2))] * 3),
        ),
    }
    result = {}
    for name, (image, want) in cases.items():
        image.save(folder / name)
        colours = np.asarray(image.convert("RGB")) if want is None else want
        result[name] = (str(folder / name), colours)
    return result


NAMES = ("gray.png", "gray.bmp", "UPPER.PNG", "alpha.png", "gray_alpha.png", "palette.png",
         "transparent_palette.png", "bits.png", "rgb.bmp", "gray16.png")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_mode_of_picture_gives_its_colours(tmp_path: Path, name: str) -> None:
    path, want = pictures(tmp_path)[name]
    for pixel_format, channels in (("rgb", slice(None)), ("bgr", slice(None, None, -1))):
        got = run(Path(path), (1, 6, 8, 3), pixel_format=pixel_format, channel_format="nhwc")
        np.testing.assert_array_equal(got[0], want[:, :, channels])


def test_alpha_is_a_channel_of_its_own(tmp_path: Path) -> None:
    alpha = np.dstack([PIXELS, np.zeros((6, 8), np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "clear.png")
    got = run(tmp_path / "clear.png", (1, 6, 8, 4), pixel_format="rgba", channel_format="nhwc")
    np.testing.assert_array_equal(got[0], alpha)
    # Resized too: what cannot be seen keeps its colour, as in a picture without alpha.
    resized = run(tmp_path / "clear.png", (1, 3, 4, 4), pixel_format="rgba", channel_format="nhwc")
    Image.fromarray(PIXELS).save(tmp_path / "plain.png")
    plain = run(tmp_path / "plain.png", (1, 3, 4, 4), pixel_format="rgba", channel_format="nhwc")
    np.testing.assert_array_equal(resized[..., :3], plain[..., :3])
    assert (plain[..., 3] == 255).all()
    assert (resized[..., 3] == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    upright = {
        1: PIXELS, 2: PIXELS[:, ::-1], 3: PIXELS[::-1, ::-1], 4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2), 6: np.rot90(PIXELS, -1), 7: PIXELS.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(PIXELS),
    }[orientation]  # fmt: skip
    got = run(tmp_path / "turned.png", (1, *upright.shape), pixel_format="rgb", channel_format="nhwc")
    np.testing.assert_array_equal(got[0], upright)


def test_one_number_is_for_all_channels(photo: Path) -> None:
    for pixel_format, channels in (("rgb", 3), ("rgba", 4), ("gray", 1)):
        for mean in ((5.0,), (5.0, 5.0, 5.0)):
            got = run(photo, (1, channels, 6, 8), pixel_format=pixel_format, mean=mean, scale=(0.5,))
            plain = run(photo, (1, channels, 6, 8), pixel_format=pixel_format)
            np.testing.assert_array_equal(got, (plain - 5) * np.float32(0.5))


@pytest.mark.parametrize(
    ("onnx_type", "mean", "scale", "message"),
    [
        ("uint8", 1.0, 1.0, "whole numbers from 0 to 255, as uint8 holds.*got -1 for pixel 0"),
        ("uint8", 0.0, 2.0, "got 256 for pixel 128"),
        ("uint8", 0.0, 0.5, "got 0.5 for pixel 1"),
        ("int8", 0.0, 1.0, "got 128 for pixel 128 .*--mean 128 without --scale would fit"),
        ("int8", 127.0, 1.0, "got 128 for pixel 255"),
        ("int16", 0.0, 129.0, "got 32895 for pixel 255"),
        ("uint64", 255.0, 1.0, "got -255 for pixel 0"),
        ("int64", 0.0, 2.0**56, "whole numbers"),
        ("int32", 0.5, 1.0, "got -0.5 for pixel 0"),
        ("float16", 0.0, 300.0, "numbers that float16 holds.*got 65700 for pixel 219"),
        ("bool", 0.0, 1.0, "expected an input of numbers to fill from a picture, got bool"),
        ("float32", 0.0, 3e38, "numbers that float32 holds.*got inf"),
    ],
)
def test_numbers_that_the_type_does_not_hold_are_refused(
    photo: Path, onnx_type: str, mean: float, scale: float, message: str
) -> None:
    how = Preprocess(mean=(mean,), scale=(scale,), onnx_type=onnx_type)
    assert not how.fits((1, 3, 6, 8))
    with pytest.raises(InputError, match=message):
        how.run([photo], (1, 3, 6, 8))


@pytest.mark.parametrize(
    ("onnx_type", "mean", "scale"),
    [("int8", 128.0, 1.0), ("int8", 127.5, 1.0 / 3), ("uint8", 255.0, -1.0), ("int64", 0.0, 2.0**55),
     ("float16", 0.0, 0.1), ("bfloat16", 0.1, 0.1), ("float64", 0.1, 0.1)],
)  # fmt: skip
def test_numbers_that_the_type_holds(photo: Path, onnx_type: str, mean: float, scale: float) -> None:
    how = Preprocess(mean=(mean,), scale=(scale,), onnx_type=onnx_type)
    if mean == 127.5:
        assert not how.fits((1, 3, 6, 8))
        return
    plain = run(photo, (1, 3, 6, 8))
    want = (plain - np.float32(mean)) * np.float32(scale)
    got = how.run([photo], (1, 3, 6, 8))
    if onnx_type == "bfloat16":
        assert np.abs(got / want - 1).max() <= 2.0**-8
        assert not (got.view(np.uint32) & 0xFFFF).any()
    else:
        assert got.dtype == onnx_type
        np.testing.assert_array_equal(got, want.astype(onnx_type))


def test_what_another_tool_recorded_is_refused_where_it_is_not_known(photo: Path) -> None:
    attributes = Preprocess().attributes() | {"pixel_format": "rggb"}
    how = Preprocess.from_attributes(attributes)
    assert how
    with pytest.raises(InputError, match="expected a pixel_format of rgb, bgr, gray, rgba, got rggb"):
        how.run([photo], (1, 3, 6, 8))


@pytest.mark.parametrize("cut", [0, 10, 60, -60])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_damaged_pictures_are_refused_with_their_name(tmp_path: Path, suffix: str, cut: int) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=rf"photo\.{suffix}: expected an image"):
        run(path, (1, 3, 6, 8))


def test_attributes_go_there_and_back() -> None:
    one = Preprocess(resize_dims=(3, 4), mean=(1.0, 2.0, 3.0), pixel_format="rgb", keep_aspect_ratio=True)
    assert Preprocess.from_attributes(one.attributes()) == one
    assert Preprocess.from_attributes({"do_preprocess": False}) is None
    assert Preprocess.from_attributes({"do_preprocess": True}) is None


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 4, 6, 8), {}, "expected 3 channels.*--pixel_format rgba would fit"),
        ((1, 1, 6, 8), {}, "expected 3 channels.*--pixel_format gray would fit"),
        ((1, 6, 8, 3), {}, "expected 3 channels.*--channel_format nhwc would fit"),
        ((1, 6, 8, 1), {}, "--channel_format nhwc --pixel_format gray would fit"),
        ((1, 3, 6, 8), {"channel_format": "nhwc"}, "--channel_format nchw would fit"),
        ((1, 7, 6, 8), {}, r"got 7 in \[1, 7, 6, 8\] \(give an npy or npz file"),
        ((1, 2, 3, 6, 8), {}, "expected an input of rank 4"),
        ((1, 3), {}, "expected an input of rank 4"),
        ((1, 3, 6, 8), {"channel_format": "none"}, "expected an input of rank 4"),
        ((1, 3, 6, 8), {"mean": (1.0, 2.0)}, "expected 3 values of mean"),
        ((1, 3, 6, 8), {"resize_dims": (4, 8)}, "expected resize_dims of at least 6,8"),
    ],
)
def test_what_does_not_fit_is_refused(
    photo: Path, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(photo, shape, **options)


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path / "no.png", (1, 3, 6, 8))
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match="expected an image"):
        run(tmp_path / "text.png", (1, 3, 6, 8))
