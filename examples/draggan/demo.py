"""Take a StyleGAN2 generator from torch to BM1684X and compare the two pictures.

    pip install 'tpumlir[torch,image]'
    python examples/draggan/demo.py [FOLDER]

Writes the workspace with `gen_shell`, runs its `convert.sh`, runs each bmodel on the simulated chip, and
draws torch's picture and theirs side by side into `pictures.png`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from stylegan2 import Generator

from tpumlir import bmodel, npz
from tpumlir.gen_shell import generate

Array = npt.NDArray[np.float32]
NAME = "DragGan"
ENLARGED = 256
# Least similarity of the pictures, as peak signal-to-noise ratio in dB. BF16 has 8 bits of mantissa.
PSNR = {"f32": 40.0, "f16": 30.0, "bf16": 20.0}


def psnr(picture: Array, reference: Array) -> float:
    """Peak signal-to-noise ratio in dB; the peak is the range of the reference."""
    error = float(np.mean((picture.astype(np.float64) - reference) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(float(np.ptp(reference)) ** 2 / error)


def draw(pictures: list[Array], path: Path) -> None:
    """Write pictures [1, 3, h, w] side by side, all with the brightness and contrast of the first."""
    limit = 2.5 * float(pictures[0].std())
    rows = [np.clip(p[0] / limit, -1, 1).transpose(1, 2, 0) * 127.5 + 127.5 for p in pictures]
    images = [Image.fromarray(row.round().astype(np.uint8)).resize((ENLARGED, ENLARGED)) for row in rows]
    sheet = Image.new("RGB", (ENLARGED * len(images), ENLARGED))
    for i, image in enumerate(images):
        sheet.paste(image, (ENLARGED * i, 0))
    sheet.save(path)


def main() -> int:
    """Scaffold, convert, run, draw; 0 if every picture is similar enough."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "draggan_workspace")
    generator = Generator().eval()
    with torch.no_grad():
        ws = generator.mapping(torch.randn(1, generator.w_dim, generator=torch.Generator().manual_seed(7)))
        reference = generator(ws).numpy()

    workspace = generate(NAME, generator, {"ws": ws, "noise_mode": "const"}, folder)
    subprocess.run(["bash", str(workspace.script)], check=True)

    inputs = npz.load(folder / "data.npz")
    pictures, similar = [reference], True
    for precision, least in PSNR.items():
        path = folder / f"{NAME}_{precision}.bmodel"
        if not path.exists():
            continue
        (picture,) = bmodel.read(path).run(inputs).values()
        pictures.append(picture)
        value = psnr(picture, reference)
        similar &= value >= least
        print(f"{precision:>4}: PSNR against torch {value:.1f} dB, at least {least:.0f} wanted")
    draw(pictures, folder / "pictures.png")
    print(f"{folder / 'pictures.png'}: torch first, then the bmodels in this order")
    return 0 if similar else 1


if __name__ == "__main__":
    sys.exit(main())
