"""The OCR demo around its networks: boxes out of a map, lines out of boxes, text out of steps."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("PIL")

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "ocr"


def load(name: str) -> ModuleType:
    """A module of the example, which is no package."""
    spec = importlib.util.spec_from_file_location(f"ocr_demo_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


reading: Any = load("reading")
pages: Any = load("pages")


def steps(*best: int, classes: int = 5) -> npt.NDArray[np.float32]:
    """What a recogniser gives whose likeliest classes are these."""
    result = np.full((len(best), classes), 0.1, np.float32)
    result[np.arange(len(best)), best] = 0.6
    return result


@pytest.mark.parametrize(
    ("best", "text"),
    [
        ([], ""),
        ([0, 0, 0], ""),
        ([1], "a"),
        ([1, 1, 1], "a"),
        ([1, 0, 1], "aa"),
        ([1, 2, 3], "abc"),
        ([0, 1, 1, 0, 0, 2, 2, 3, 0], "abc"),
        ([1, 4, 4, 2], "a b"),
        ([4, 0, 4], "  "),
    ],
)
def test_decode(best: list[int], text: str) -> None:
    assert reading.decode(steps(*best), ["a", "b", "c"]) == text


@pytest.mark.parametrize("classes", [3, 4, 6])
def test_classes_of_other_characters_are_an_error(classes: int) -> None:
    with pytest.raises(ValueError, match=f"expected 5 classes, got {classes}"):
        reading.decode(steps(1, 2, classes=classes), ["a", "b", "c"])


def areas(picture: list[str]) -> list[int]:
    mask = np.array([[mark == "#" for mark in row] for row in picture])
    found = reading.regions(mask)
    painted = np.zeros(mask.shape, int)
    for region in found:
        for y, begin, end in region:
            painted[y, begin:end] += 1
    assert (painted == mask).all()  # every pixel once
    return sorted(int((region[:, 2] - region[:, 1]).sum()) for region in found)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (["...", "..."], []),
        (["###", "###"], [6]),
        (["#.#", "#.#"], [2, 2]),
        (["#..", ".#.", "..#"], [3]),  # corners touch
        (["..#", ".#.", "#.."], [3]),
        (["#.#", "###"], [5]),  # two arms that meet below
        (["###", "#.#"], [5]),
        (["#.#.#", "#####", "#.#.#"], [11]),
        (["#####", ".....", "#####"], [5, 5]),
        (["####", "...#", "##.#", "#..#", "####"], [14]),  # a spiral
        (["#.", "..", ".#"], [1, 1]),
    ],
)
def test_regions(picture: list[str], expected: list[int]) -> None:
    assert areas(picture) == expected


def test_regions_are_those_of_a_flood() -> None:
    mask = np.random.default_rng(3).random((40, 50)) < 0.35
    left, flood = {tuple(p) for p in np.argwhere(mask)}, []
    while left:
        edge = [left.pop()]
        size = 0
        while edge:
            y, x = edge.pop()
            size += 1
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        flood.append(size)
    assert areas(["".join(".#"[int(v)] for v in row) for row in mask]) == sorted(flood)


@pytest.mark.parametrize("degrees", [0, 3, -3, 20, -44, 44])
@pytest.mark.parametrize("size", [(60, 10), (10, 60), (30, 29)])
def test_least_rectangle(degrees: float, size: tuple[int, int]) -> None:
    angle = np.deg2rad(degrees)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    inside = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2)) * size
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * size
    middle, width, height, found = reading.least_rectangle(
        np.concatenate([inside, corners]) @ axes + [70, 40]
    )
    np.testing.assert_allclose(middle, [70, 40], atol=1e-6)
    np.testing.assert_allclose([width, height, found], [*size, angle], atol=1e-6)


@pytest.mark.parametrize(
    "points", [[[2.0, 3.0]], [[0.0, 0.0], [4.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]]
)
def test_points_without_an_area_have_a_rectangle(points: list[list[float]]) -> None:
    _, width, height, _ = reading.least_rectangle(np.array(points))
    assert min(width, height) == pytest.approx(0, abs=1e-9)


def test_a_box_is_grown_by_what_the_detector_shrinks() -> None:
    probability = np.zeros((100, 200), np.float32)
    probability[40:50, 20:120] = 0.9
    (box,) = reading.boxes(probability)
    grown = 100 * 10 * 1.6 / (2 * (100 + 10))
    want = [
        [20 - grown, 40 - grown],
        [120 + grown, 40 - grown],
        [120 + grown, 50 + grown],
        [20 - grown, 50 + grown],
    ]
    np.testing.assert_allclose(box, want, atol=1e-6)


def test_boxes_are_sure_large_enough_and_in_order() -> None:
    probability = np.zeros((100, 200), np.float32)
    probability[70:80, 20:120] = 0.9
    probability[10:20, 100:180] = 0.8
    probability[10:20, 20:80] = 0.7
    probability[40:50, 20:120] = 0.4  # text, but not sure
    probability[90:92, 20:120] = 0.9  # too flat
    middles = [box.mean(axis=0).round().tolist() for box in reading.boxes(probability)]
    assert middles == [[50, 15], [140, 15], [70, 75]]


def test_a_picture_is_seen_whole_and_places_lead_back() -> None:
    from PIL import Image

    image = Image.new("RGB", (1000, 500), (255, 0, 0))
    pixels, scale = reading.see_page(image)
    height, width = reading.PAGE
    assert pixels.shape == (1, 3, height, width)
    assert scale == pytest.approx(1000 / width)
    assert (pixels[0, :, 500 * width // 1000 + 1 :] == 0).all()  # nothing below the picture
    blue, _, red = pixels[0, :, 10, 10]
    assert red == pytest.approx((1 - 0.406) / 0.225, rel=1e-5)
    assert blue == pytest.approx(-0.485 / 0.229, rel=1e-5)


@pytest.mark.parametrize(
    ("size", "wide"), [((100, 48), 100), ((100, 24), 200), ((1, 480), 1), ((5000, 48), 300)]
)
def test_a_line_is_as_high_as_the_network_wants(size: tuple[int, int], wide: int) -> None:
    from PIL import Image

    line = reading.see_line(Image.new("RGB", size, (255, 255, 255)), 300)
    assert line.shape == (1, 3, 48, 300)
    assert (line[..., :wide] == 1).all()
    assert (line[..., wide:] == 0).all()


def test_what_is_in_a_box_is_cut_out_upright() -> None:
    from PIL import Image

    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[20:30, 10:70] = (250, 0, 0)
    pixels[20:30, 10:20] = (0, 250, 0)
    box = np.array([[10, 20], [70, 20], [70, 30], [10, 30]], float)
    strip = np.asarray(reading.cut(Image.fromarray(pixels), box))
    assert strip.shape == (10, 60, 3)
    assert (strip[3:-3, 3:7, 1] > 200).all()
    assert (strip[3:-3, 15:-3, 0] > 200).all()
    tall = reading.cut(Image.fromarray(pixels.transpose(1, 0, 2).copy()), box[[0, 3, 2, 1]][:, ::-1])
    assert tall.size == (60, 10)


@pytest.mark.parametrize(("answer", "turned"), [(0.95, True), (0.85, False), (0.0, False)])
def test_a_line_on_its_head_is_turned_if_that_is_sure(answer: float, turned: bool) -> None:
    from PIL import Image

    pixels = np.zeros((48, 100, 3), np.uint8)
    pixels[:, :50] = 255
    strip, said = reading.upright(
        Image.fromarray(pixels), lambda _: np.array([[1 - answer, answer]], np.float32)
    )
    assert said is turned
    assert (np.asarray(strip)[0, 0, 0] == 0) is np.bool_(turned)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("abc", "abd", 1), ("abc", "ac", 1),
     ("kitten", "sitting", 3), ("ab", "ba", 2)],
)  # fmt: skip
def test_distance(a: str, b: str, expected: int) -> None:
    assert reading.distance(a, b) == expected
    assert reading.distance(b, a) == expected


def test_lines_without_a_partner_are_told() -> None:
    def line(y: float, text: str) -> Any:
        return reading.Line(np.array([[0, y], [100, y], [100, y + 20], [0, y + 20]], float), text, False)

    first = [line(0, "a"), line(50, "b"), line(100, "c")]
    second = [line(2, "A"), line(103, "C"), line(200, "D")]
    got = [tuple(each and each.text for each in pair) for pair in reading.pairs(first, second)]
    assert got == [("a", "A"), ("b", None), ("c", "C"), (None, "D")]


def test_pages_are_the_same_every_time_and_no_sentence_calibrates() -> None:
    lines = pages.words(7)
    assert lines == pages.words(7)
    assert lines != pages.words(8)
    assert max(map(len, lines)) <= pages.LONGEST
    assert not {*lines} & {*pages.LETTER, *pages.NOTICE}
    assert len(pages.LETTER) + len(pages.NOTICE) >= 20
    page = pages.photographed(pages.printed(lines, 7), 7)
    assert page.tobytes() == pages.photographed(pages.printed(lines, 7), 7).tobytes()
    assert page.tobytes() != pages.photographed(pages.printed(lines, 7), 8).tobytes()
