"""Read pages with PP-OCR in INT8 on the simulated BM1684X, beside ONNX Runtime in F32.

    python examples/ocr/demo.py [--out FOLDER] [PICTURE ...]

Needs `pip install 'tpumlir[demo]'`. Detector, classifier of direction and recogniser come out of the wheel of
rapidocr-onnxruntime, which fetch.py downloads at the first run. They are calibrated with pages of random
words (pages.py), compiled to INT8, and read two pages of sentences, one as printed and one as photographed,
or your pictures. Writes annotated.png, float on the left and INT8 on the right, and ends with 0 if both say
the same for at least 98 % of the characters.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pages
from fetch import FetchError, fetch
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from reading import SHAPES, Line, Network, Networks, distance, pairs, read
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tpumlir
from tpumlir.bmodel import BModel
from tpumlir.bmodel.profile import profile
from tpumlir.errors import Note

Array = npt.NDArray[np.float32]
LEAST = 0.98
"""Share of the characters that both must agree upon."""
CALIBRATION_PAGES = (100, 101, 102, 103)
SAMPLES = {"detector": 4, "classifier": 16, "recogniser": 16}
INPUT = "x"  # of all three


@dataclass
class Page:
    """A picture, what is printed on it if that is known, and what was read."""

    name: str
    image: Image.Image
    printed: Sequence[str] | None = None
    reference: list[Line] = field(default_factory=list)
    chip: list[Line] = field(default_factory=list)


def our_pages() -> list[Page]:
    """The two pages that are judged."""
    letter, notice = pages.printed(pages.LETTER, 1), pages.printed(pages.NOTICE, 2)
    return [
        Page("printed", letter, pages.LETTER),
        Page("photographed", pages.photographed(notice, 2), pages.NOTICE),
    ]


def given_pages(pictures: Sequence[Path]) -> list[Page]:
    """Pictures of the user. Raises: SystemExit: one that cannot be read."""
    result = []
    for path in pictures:
        try:
            result.append(Page(path.name, Image.open(path).convert("RGB")))
        except (OSError, UnidentifiedImageError) as error:
            sys.exit(f"demo: {path}: expected a picture, got: {getattr(error, 'strerror', None) or error}")
    return result


# --- networks ----------------------------------------------------------------------


def on_onnx_runtime(models: dict[str, Path], seen: dict[str, list[Array]] | None = None) -> Networks:
    """The float networks; ``seen`` gathers what they are asked."""
    sessions = {name: ort.InferenceSession(path) for name, path in models.items()}

    def network(name: str) -> Network:
        def run(x: Array) -> Array:
            if seen is not None:
                seen.setdefault(name, []).append(x)
            result: Array = sessions[name].run(None, {INPUT: x})[0]
            return result

        return run

    metadata = sessions["recogniser"].get_modelmeta().custom_metadata_map
    return Networks(**{name: network(name) for name in SHAPES}, characters=metadata["character"].splitlines())


def on_the_chip(bmodels: dict[str, BModel], characters: Sequence[str]) -> Networks:
    """The bmodels on the simulated chip."""

    def network(name: str) -> Network:
        (output,) = (spec.name for spec in bmodels[name].outputs)
        return lambda x: bmodels[name].run({INPUT: x})[output]

    return Networks(**{name: network(name) for name in SHAPES}, characters=characters)


def calibration_samples(models: dict[str, Path]) -> dict[str, list[Array]]:
    """What the networks see when they read pages of random words, every other one photographed."""
    seen: dict[str, list[Array]] = {}
    networks = on_onnx_runtime(models, seen)
    for seed in CALIBRATION_PAGES:
        page = pages.printed(pages.words(seed), seed)
        read(pages.photographed(page, seed) if seed % 2 else page, networks)
    spread = {name: np.linspace(0, len(xs) - 1, SAMPLES[name]).round() for name, xs in seen.items()}
    return {name: [xs[int(i)] for i in spread[name]] for name, xs in seen.items()}


def compile_all(models: dict[str, Path], console: Console) -> dict[str, BModel]:
    """Calibrate and compile each network, and say what INT8 saves."""
    # A note that most of a map of probabilities is 0 in INT8 is no news: most of it is 0.
    warnings.simplefilter("ignore", Note)
    samples = calibration_samples(models)
    table = Table(title="Compiled for BM1684X")
    for column in ("network", "input", "samples", "cycles in F16", "cycles in INT8", "INT8 / F16"):
        table.add_column(column, justify="left" if column in {"network", "input"} else "right")
    bmodels = {}
    for name, path in models.items():
        module = tpumlir.load_onnx(path, input_shapes=[list(SHAPES[name])])
        calibration = tpumlir.calibrate(module, dataset=[{INPUT: x} for x in samples[name]])
        bmodels[name] = module.lower("INT8", calibration_table=calibration).compile()
        cycles = [profile(b, names=False).cycles for b in (module.lower("F16").compile(), bmodels[name])]
        table.add_row(
            name, "x".join(map(str, SHAPES[name])), str(len(samples[name])), f"{cycles[0]:,}",
            f"{cycles[1]:,}", f"{cycles[1] / cycles[0]:.2f}",
        )  # fmt: skip
    console.print(table)
    return bmodels


# --- what came out -----------------------------------------------------------------


def compare(page: Page, console: Console) -> tuple[int, int]:
    """Show both readings of a page; how many characters there are, and how many differ."""
    table = Table(title=f"What does the page say? ({escape(page.name)})")
    for column in ("line", "ONNX Runtime, F32", "bmodels, INT8, simulated BM1684X", "equal"):
        table.add_column(column)
    characters = different = 0
    for number, both in enumerate(pairs(page.reference, page.chip), 1):
        reference, chip = (line.text if line else "" for line in both)
        turned = " (upside down)" if any(line and line.turned for line in both) else ""
        characters += len(reference)
        different += distance(reference, chip)
        table.add_row(
            f"{number}{turned}", escape(reference), escape(chip), "yes" if reference == chip else "NO"
        )
    console.print(table)
    return characters, different


def misread(page: Page, lines: Sequence[Line]) -> int:
    """How far what was read is from what is printed; spaces, which PP-OCR loses, do not count."""
    texts = ("".join(texts) for texts in (page.printed or (), (line.text for line in lines)))
    return distance(*(text.replace(" ", "") for text in texts))


def annotate(read_pages: Sequence[Page], path: Path) -> None:
    """A row for each page: boxes and texts of ONNX Runtime on the left, of the chip on the right."""
    width, height, head = 480, 640, 26
    sheet = Image.new("RGB", (2 * width, (height + head) * len(read_pages)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for row, page in enumerate(read_pages):
        scale = min(width / page.image.width, height / page.image.height)
        small = page.image.resize((round(page.image.width * scale), round(page.image.height * scale)))
        top = row * (height + head) + head
        sides = (
            ("ONNX Runtime, F32", page.reference, (20, 90, 200)),
            ("BM1684X, INT8", page.chip, (200, 60, 0)),
        )
        for column, (title, lines, colour) in enumerate(sides):
            left = column * width
            sheet.paste(small, (left, top))
            draw.text((left + 6, top - 22), f"{page.name}: {title}", font=ImageFont.load_default(16), fill=0)
            for line in lines:
                corners = [(left + float(x) * scale, top + float(y) * scale) for x, y in line.box]
                draw.polygon(corners, outline=colour)
                place = min(x for x, _ in corners), min(y for _, y in corners) - 1
                draw.text(place, line.text, font=ImageFont.load_default(12), fill=colour, anchor="lb")
    sheet.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> int:
    """Fetch, compile, read, compare, draw; 0 if at least 98 % of the characters are the same."""
    parser = argparse.ArgumentParser(description="Read pages in INT8 on the simulated BM1684X.")
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE", help="a page (two of our own)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of annotated.png (the current one)")
    arguments = parser.parse_args()
    read_pages = given_pages(arguments.pictures) or our_pages()
    console = Console() if sys.stdout.isatty() else Console(width=110)
    try:
        models = fetch()
    except FetchError as error:
        sys.exit(f"demo: {error}")
    reference = on_onnx_runtime(models)
    chip = on_the_chip(compile_all(models, console), reference.characters)

    characters = different = 0
    for page in read_pages:
        page.reference, page.chip = read(page.image, reference), read(page.image, chip)
        counts = compare(page, console)
        characters, different = characters + counts[0], different + counts[1]
    share = 1 - different / characters if characters else 0.0
    lines = sum(len(page.reference) for page in read_pages)
    print(f"{share:.2%} of {characters} characters in {lines} lines are the same")
    known = [page for page in read_pages if page.printed]
    if known:
        print(
            f"misread, spaces left out: {sum(misread(p, p.reference) for p in known)} characters by "
            f"ONNX Runtime in F32, {sum(misread(p, p.chip) for p in known)} by the bmodels in INT8"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    annotate(read_pages, arguments.out / "annotated.png")
    print(f"{arguments.out / 'annotated.png'}: both readings, float on the left")
    if share < LEAST:
        print(f"demo: expected at least {LEAST:.0%} of the characters to be the same", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
