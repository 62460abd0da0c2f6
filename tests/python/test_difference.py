"""The charts of a difference: what they say, for tensors of every shape."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tpumlir.difference import Difference, page, picture
from tpumlir.errors import TpumlirError

Array = npt.NDArray[Any]
SHAPES = [
    (),
    (1,),
    (7,),
    (1000,),
    (1, 1, 1),
    (3, 5),
    (2, 3, 4),
    (1, 4, 6, 8),
    (2, 3, 2, 3, 4),
    (1, 2, 700, 9),
]


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    want = rng.standard_normal(shape).astype(np.float32)
    return (want + 0.01 * rng.standard_normal(shape)).astype(np.float32), want


def document(content: bytes) -> dict[str, Any]:
    text = content.decode()
    found = re.search(r"const data = (\{.*\});\n", text)
    assert found
    loaded: dict[str, Any] = json.loads(found.group(1))
    return loaded


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_page_and_a_picture_of_every_shape(shape: tuple[int, ...]) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    difference = Difference.of("t", *pair(shape))
    found = document(page(difference))
    assert len(found["figures"]) == 4
    got, want, error = (np.array(trace["z"], float) for trace in found["figures"][0]["traces"])
    assert max(got.shape) <= 320
    assert np.nanmax(np.abs(error)) == pytest.approx(np.abs(difference.error).max())
    assert np.allclose(got - want, error, equal_nan=True)
    counts = found["figures"][1]["traces"][0]["y"]
    assert sum(counts) == max(int(np.prod(shape)), 1)
    with Image.open(io.BytesIO(picture(difference))) as image:
        assert image.format == "PNG"
        assert image.width > 400


def test_the_plane_goes_through_the_greatest_error() -> None:
    got, want = pair((2, 3, 5, 1, 4))
    got[1, 2, 3, 0, 1] += 5
    difference = Difference.of("t", got, want)
    where, planes = difference.plane()
    assert difference.worst == (1, 2, 3, 0, 1)
    assert where == "[1, 2, :, 0, :]"
    assert np.array_equal(planes["got"], got[1, 2, :, 0, :])


def test_a_cell_shows_the_element_that_is_off_most() -> None:
    want = np.zeros((1000, 650), np.float32)
    got = want.copy()
    got[[3, 501, 999], [640, 0, 649]] = [1, -2, 3]
    _, planes = Difference.of("t", got, want).plane()
    error = planes["got - want"]
    assert error.shape == (250, 217)
    assert sorted(error[error != 0]) == [-2, 1, 3]
    assert (error[0, 213], error[125, 0], error[249, 216]) == (1, -2, 3)


@pytest.mark.parametrize(("axis", "chosen"), [(None, 1), (0, 0), (-1, 3)])
def test_channels_are_those_of_the_axis(axis: int | None, chosen: int) -> None:
    got, want = pair((2, 3, 4, 5))
    difference = Difference.of("t", got, want, axis)
    noise, largest, signal = difference.channels()
    others = tuple(i for i in range(4) if i != chosen)
    error = got.astype(np.float64) - want
    assert noise == pytest.approx(np.sqrt((error**2).mean(axis=others)))
    assert largest == pytest.approx(np.abs(error).max(axis=others))
    assert signal == pytest.approx(np.sqrt((want.astype(np.float64) ** 2).mean(axis=others)))


def test_what_is_not_finite_is_counted_and_drawn_as_no_number() -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    got, want = pair((4, 4))
    got[0, 0], want[0, 0] = np.nan, np.nan  # the same
    got[1, 1], want[1, 1] = np.inf, np.inf
    got[2, 2] = -np.inf
    difference = Difference.of("t", got, want)
    assert (difference.strange, difference.worst) == (1, (2, 2))
    assert np.isfinite(difference.relative())
    assert "1 of them NaN or infinite on one side" in difference.summary()
    traces = document(page(difference))["figures"][0]["traces"]
    assert traces[0]["z"][0][0] is traces[0]["z"][2][2] is None
    assert picture(difference)
    nothing = Difference.of("t", np.full(3, np.nan, np.float32), np.ones(3, np.float32))
    assert page(nothing)
    assert picture(nothing)


def test_names_cannot_end_the_script() -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    nasty = "</script><b>é\u2028"
    content = page(Difference.of(nasty, *pair((3, 4))))
    assert document(content)["title"] == f"{nasty}: got and want"
    assert content.count(b"</script>") == 2
    assert picture(Difference.of(nasty, *pair((3, 4))))


@pytest.mark.parametrize(
    ("got", "want", "axis", "message"),
    [
        (np.zeros(3), np.zeros(4), None, r"expected shape \[4\], got \[3\]"),
        (np.array(["a"]), np.array(["a"]), None, "expected numbers, got <U1"),
        (np.zeros((2, 3)), np.zeros((2, 3)), 2, "expected an axis from -2 to 1, got 2"),
    ],
)
def test_what_cannot_be_drawn(got: Array, want: Array, axis: int | None, message: str) -> None:
    with pytest.raises(TpumlirError, match=message):
        Difference.of("t", got, want, axis)


def test_no_elements_are_no_picture() -> None:
    empty = Difference.of("t", np.zeros((2, 0)), np.zeros((2, 0)))
    assert empty.summary() == "no elements"
    for draw in (page, picture):
        with pytest.raises(TpumlirError, match=r"expected elements to draw, got shape \[2, 0\]"):
            draw(empty)


def test_integers_and_bools_are_numbers() -> None:
    difference = Difference.of("t", np.array([[True, False]]), np.array([[1, 1]], np.int64))
    assert difference.worst == (0, 1)
    assert picture(difference)
