"""Pages of text that are drawn here: as they come from a printer, and as a camera sees them.

The font is the one that Pillow carries. What a page says is known, so is what it is calibrated with: lines of
random words, none of the sentences that are judged.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 960, 1280
MARGIN, TOP = 90, 70
LINES = 12
PITCH = (HEIGHT - 2 * TOP) / LINES
FONT_SIZES = (38, 44)
LONGEST = 26

LETTER = (
    "Dear Anna, the boat is in.",
    "We left Bergen at 6:45 and",
    "saw 14 seals by the pier.",
    "Rain fell all of Tuesday;",
    "the cook made fish soup.",
    "Your parcel weighs 2.8 kg",
    "and cost me 37.50 to send.",
    "Please water the lemons,",
    "feed Tom twice a day, and",
    "lock gate number 9 again.",
    "Back on 23 October, I hope.",
    "Yours as ever, Kristian",
)
NOTICE = (
    "Workshop rules, edition 5",
    "Wear goggles near a lathe.",
    "Jackets stay on the hooks.",
    "No drinks within 3 metres",
    "of the band saw or press.",
    "Sweep your bench by 17:30.",
    "Oil cans go to shelf B-12.",
    "Report each broken blade",
    "to Ms. Quigley, room 408.",
    "Fire? Pull the red lever,",
    "leave by door C, call 112.",
    "Visitors must sign twice!",
)
UPSIDE_DOWN = 4
"""This line of each page stands on its head: something to do for the classifier."""

_WORDS = (
    "amber", "bridge", "candle", "Dover", "eleven", "forest", "guitar", "Hamburg", "island", "jungle",
    "kettle", "lantern", "Madrid", "nephew", "orchid", "pocket", "quartz", "ribbon", "SILVER", "thunder",
    "umbrella", "velvet", "winter", "xylem", "yellow", "zebra", "CAUTION", "open", "after", "if", "its",
)  # fmt: skip


def words(seed: int, lines: int = LINES) -> list[str]:
    """Lines of random words, numbers and prices."""
    generator = np.random.default_rng(seed)
    result = []
    for _ in range(lines):
        line = ""
        while True:
            kind = int(generator.integers(8))
            number = int(generator.integers(1, 1000))
            word = str(generator.choice(_WORDS))
            word = {0: str(number), 1: f"{number / 100:.2f}", 2: f"{word},", 3: f"{word}."}.get(kind, word)
            if len(line) + 1 + len(word) > LONGEST:
                break
            line = f"{line} {word}".strip()
        result.append(line)
    return result


def printed(lines: Sequence[str], seed: int = 0) -> Image.Image:
    """A page with these lines in black on white."""
    generator = np.random.default_rng(seed)
    page = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    for i, line in enumerate(lines):
        font = ImageFont.load_default(int(generator.integers(*FONT_SIZES, endpoint=True)))
        strip = Image.new("RGB", (WIDTH - MARGIN, round(PITCH)), (255, 255, 255))
        ink = tuple(int(value) for value in generator.integers(0, 60, 3))
        ImageDraw.Draw(strip).text((4, PITCH / 2), line, font=font, fill=ink, anchor="lm")
        if i == UPSIDE_DOWN:
            strip = strip.crop((0, 0, WIDTH - 2 * MARGIN, strip.height)).rotate(180)
        page.paste(strip, (MARGIN, round(TOP + i * PITCH)))
    return page


def photographed(page: Image.Image, seed: int = 0) -> Image.Image:
    """The page as a camera sees it: askew, in uneven light, a little out of focus, with noise, as a JPEG."""
    generator = np.random.default_rng(seed)
    # Each corner of the picture looks at a place within or beside the page.
    far = np.array([[0, 0], [0, HEIGHT], [WIDTH, HEIGHT], [WIDTH, 0]], float)
    turn = np.deg2rad(generator.uniform(1.0, 2.5) * generator.choice([-1, 1]))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    corners = (far - middle) @ rotation.T * 1.02 + middle + generator.uniform(-14, 14, (4, 2))
    picture = page.transform(
        page.size, Image.Transform.PERSPECTIVE, _perspective(far, corners), Image.Resampling.BICUBIC,
        fillcolor=(92, 84, 78),
    ).filter(ImageFilter.GaussianBlur(1.0))  # fmt: skip
    pixels = np.asarray(picture, np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    light = 0.84 + 0.14 * (np.cos(angle) * (x / WIDTH - 0.5) + np.sin(angle) * (y / HEIGHT - 0.5))
    pixels = pixels * light[..., None] * np.array([1.0, 0.98, 0.93], np.float32)
    pixels += generator.normal(0, 6, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return Image.open(buffer).convert("RGB")


def _perspective(at: np.ndarray, source: np.ndarray) -> tuple[float, ...]:
    """The eight numbers of the projection that takes the points ``at`` to ``source``."""
    rows, values = [], []
    for (x, y), (u, v) in zip(at, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(float(value) for value in np.linalg.solve(np.array(rows), np.array(values)))
