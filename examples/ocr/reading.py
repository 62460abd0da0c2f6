"""Reading a page: where lines are, which way up they stand, and what they say.

The three networks are functions from an array to an array, so the same steps run on ONNX Runtime and on the
simulated chip. All shapes are fixed, for a bmodel has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.floating]
Network = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

PAGE = (640, 480)
"""Height and width of what the detector sees."""
LINE_HEIGHT, DIRECTION_WIDTH, LINE_WIDTH = 48, 192, 480
SHAPES = {
    "detector": (1, 3, *PAGE),
    "classifier": (1, 3, LINE_HEIGHT, DIRECTION_WIDTH),
    "recogniser": (1, 3, LINE_HEIGHT, LINE_WIDTH),
}
# The numbers of PP-OCR.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TEXT, SURE, GROWN, SHORTEST = 0.3, 0.6, 1.6, 3
"""A pixel is text; a region is a line; how far it is grown (the detector shrinks); least side."""
TURNED = 0.9
TALL = 1.5


@dataclass(frozen=True)
class Networks:
    """What is read with."""

    detector: Network
    classifier: Network
    recogniser: Network
    characters: Sequence[str]


@dataclass(frozen=True)
class Line:
    """A line: the corners of its box in the picture, clockwise from its upper left, and what it says."""

    box: Floats
    text: str
    turned: bool


# --- where -------------------------------------------------------------------------


def see_page(image: Image.Image) -> tuple[npt.NDArray[np.float32], float]:
    """What the detector sees of a picture, and how many pixels of the picture one of its pixels is."""
    height, width = PAGE
    scale = max(image.width / width, image.height / height)
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32)
    result = np.zeros((1, 3, height, width), np.float32)
    normal = (pixels[:, :, ::-1] / 255 - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32)
    result[0, :, : size[1], : size[0]] = normal.transpose(2, 0, 1)
    return result, scale


def regions(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """The connected regions of a mask (neighbours touch at a corner), each as rows of (y, from x, to x)."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, begins), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for y in range(1, mask.shape[0]):
        above, here = int(first[y - 1]), int(first[y])
        while above < first[y] and here < first[y + 1]:
            if begins[above] <= ends[here] and begins[here] <= ends[above]:
                parent[root(here)] = root(above)
            # The one that ends first has met all that it can.
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    found: dict[int, list[int]] = {}
    for i in range(len(rows)):
        found.setdefault(root(i), []).append(i)
    return [np.stack([rows[runs], begins[runs], ends[runs]], axis=1) for runs in found.values()]


def hull(points: Floats) -> Floats:
    """The corners of the convex hull in order."""
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def half(chain: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        corners: list[tuple[float, float]] = []
        for x, y in chain:
            while len(corners) > 1:
                (ax, ay), (bx, by) = corners[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                corners.pop()
            corners.append((x, y))
        return corners[:-1]

    return np.array(half(ordered) + half(ordered[::-1]) or ordered)


def least_rectangle(points: Floats) -> tuple[Floats, float, float, float]:
    """The least rectangle around points: middle, width, height, and angle in -45 to 45 degrees."""
    corners = hull(points)
    sides = np.roll(corners, -1, axis=0) - corners
    best: tuple[float, Floats, float, float, float] | None = None
    for angle in np.unique(np.arctan2(sides[:, 1], sides[:, 0]) % (np.pi / 2)):
        along = angle if angle <= np.pi / 4 else angle - np.pi / 2
        axes = np.array([[np.cos(along), np.sin(along)], [-np.sin(along), np.cos(along)]])
        turned = corners @ axes.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        width, height = high - low
        if best is None or width * height < best[0] - 1e-9:
            best = (width * height, (low + high) / 2 @ axes, width, height, float(along))
    assert best is not None
    return best[1], float(best[2]), float(best[3]), best[4]


def boxes(probability: Floats) -> list[Floats]:
    """The boxes of lines in the detector's map, from top to bottom: corners clockwise from the upper left."""
    result = []
    for region in regions(probability > TEXT):
        values = np.concatenate([probability[y, begin:end] for y, begin, end in region])
        if values.mean() < SURE:
            continue
        y, begin, end = region.T
        corners = [np.stack([x, y + down], axis=1) for x in (begin, end) for down in (0, 1)]
        middle, width, height, angle = least_rectangle(np.concatenate(corners).astype(float))
        if min(width, height) < SHORTEST:
            continue
        grow = width * height * GROWN / (width + height)  # twice the distance: area * ratio / perimeter
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [(width + grow) / 2, (height + grow) / 2]
        axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        result.append(half @ axes + middle)
    return sorted(result, key=lambda box: (float(box[:, 1].mean()), float(box[:, 0].mean())))


# --- what --------------------------------------------------------------------------


def cut(image: Image.Image, box: Floats) -> Image.Image:
    """What is in a box, upright; a tall one is laid down."""
    width = max(1, round(float(np.linalg.norm(box[1] - box[0]))))
    height = max(1, round(float(np.linalg.norm(box[3] - box[0]))))
    corners = tuple(float(value) for i in (0, 3, 2, 1) for value in box[i])
    strip = image.transform((width, height), Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
    return strip.transpose(Image.Transpose.ROTATE_90) if height > TALL * width else strip


def see_line(strip: Image.Image, width: int) -> npt.NDArray[np.float32]:
    """[1, 3, 48, width], BGR in [-1, 1], zeros right of the line; one that is too long is squeezed."""
    wide = min(width, max(1, math.ceil(LINE_HEIGHT * strip.width / strip.height)))
    pixels = np.asarray(
        strip.convert("RGB").resize((wide, LINE_HEIGHT), Image.Resampling.BILINEAR), np.float32
    )
    result = np.zeros((1, 3, LINE_HEIGHT, width), np.float32)
    result[0, :, :, :wide] = (pixels[:, :, ::-1] / 255 - 0.5).transpose(2, 0, 1) / 0.5
    return result


def decode(probability: Floats, characters: Sequence[str]) -> str:
    """The likeliest character of each step [steps, characters + 2]; repeated ones are one, 0 is none.

    The last class is the space. Raises: ValueError: the classes are not those of the characters.
    """
    if probability.shape[1] != len(characters) + 2:
        raise ValueError(f"expected {len(characters) + 2} classes, got {probability.shape[1]}")
    best = probability.argmax(axis=1)
    new = np.ones(len(best), bool)
    new[1:] = best[1:] != best[:-1]
    return "".join([*characters, " "][i - 1] for i in best[new] if i)


def upright(strip: Image.Image, classifier: Network) -> tuple[Image.Image, bool]:
    """The line on its feet, and whether it stood on its head."""
    turned = float(classifier(see_line(strip, DIRECTION_WIDTH))[0, 1]) > TURNED
    return (strip.transpose(Image.Transpose.ROTATE_180) if turned else strip), turned


def read(image: Image.Image, networks: Networks) -> list[Line]:
    """The lines of a picture, from top to bottom."""
    pixels, scale = see_page(image)
    lines = []
    for box in boxes(networks.detector(pixels)[0, 0]):
        strip, turned = upright(cut(image, box * scale), networks.classifier)
        text = decode(networks.recogniser(see_line(strip, LINE_WIDTH))[0], networks.characters).strip()
        if text:
            lines.append(Line(box * scale, text, turned))
    return lines


# --- the same? ---------------------------------------------------------------------


def distance(a: str, b: str) -> int:
    """How many characters must be changed, put in or taken out to make one text of the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        corner, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            corner, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, corner + (x != y))
    return row[-1]


def pairs(first: Sequence[Line], second: Sequence[Line]) -> list[tuple[Line | None, Line | None]]:
    """Lines whose boxes overlap by half, and those without a partner, from top to bottom."""
    left = list(second)
    result: list[tuple[Line | None, Line | None]] = []
    for line in first:
        partner = max(left, key=lambda other: _overlap(line.box, other.box), default=None)
        if partner is not None and _overlap(line.box, partner.box) < 0.5:
            partner = None
        result.append((line, partner))
        left = [other for other in left if other is not partner]
    result += [(None, other) for other in left]
    return sorted(result, key=lambda pair: min(float(line.box[:, 1].mean()) for line in pair if line))


def _overlap(a: Floats, b: Floats) -> float:
    """Shared over common area of the upright boxes around both."""
    low, high = np.maximum(a.min(axis=0), b.min(axis=0)), np.minimum(a.max(axis=0), b.max(axis=0))
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / (float(np.prod(np.ptp(a, axis=0)) + np.prod(np.ptp(b, axis=0))) - shared)
