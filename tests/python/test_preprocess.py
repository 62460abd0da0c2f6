"""Images become tensors as TPU-MLIR's flags say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tpumlir.errors import InputError
from tpumlir.preprocess import Preprocess

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


def test_attributes_go_there_and_back() -> None:
    one = Preprocess(resize_dims=(3, 4), mean=(1.0, 2.0, 3.0), pixel_format="rgb", keep_aspect_ratio=True)
    assert Preprocess.from_attributes(one.attributes()) == one
    assert Preprocess.from_attributes({"do_preprocess": False}) is None
    assert Preprocess.from_attributes({"do_preprocess": True}) is None


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 4, 6, 8), {}, "expected 3 channels"),
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
