"""The example generator, in a small size: every filter of its convolutions is computed, a batch is groups."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import tpumlir
from tpumlir import npz
from tpumlir.errors import UnsupportedError
from tpumlir.gen_shell import generate

EXAMPLE = Path(__file__).parents[2] / "examples" / "draggan"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's tracing exporter


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pytest.importorskip("torch", reason="torch is an optional extra (tpumlir[torch])")
    monkeypatch.syspath_prepend(EXAMPLE)
    return module


def generator(torch: Any, batch: int) -> tuple[Any, Any]:
    """A generator of pictures of 16x16, and styles for it."""
    from stylegan2 import Generator  # type: ignore[import-not-found, unused-ignore]

    module = Generator(size=16, width=256, w_dim=32)
    with torch.no_grad():
        ws = module.mapping(torch.randn(batch, 32, generator=torch.Generator().manual_seed(1)))
    return module, ws


@pytest.mark.parametrize("batch", [1, 3])
def test_the_chip_draws_what_torch_draws(torch: Any, tmp_path: Path, batch: int) -> None:
    sys.modules.pop("demo", None)
    from demo import PSNR, psnr  # type: ignore[import-not-found, unused-ignore]

    module, ws = generator(torch, batch)
    with torch.no_grad():
        wanted = module(ws).numpy()
    workspace = generate("DragGan", module, {"ws": ws}, tmp_path)
    inputs = npz.load(tmp_path / "data.npz")
    compiled = tpumlir.compile_onnx(workspace.model, test_input=inputs)
    assert all(validation.passed for validation in compiled.validations)
    (picture,) = compiled.bmodel.run(inputs).values()
    assert psnr(picture, wanted) >= PSNR["f32"]


def test_random_noise_is_refused_layer_by_layer(torch: Any, tmp_path: Path) -> None:
    module, ws = generator(torch, 1)
    with pytest.raises(UnsupportedError) as caught:
        generate("DragGan", module, {"ws": ws, "noise_mode": "random"}, tmp_path)
    layers = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    assert len(caught.value.diagnostics) == len(layers)
    for layer, diagnostic in zip(layers, caught.value.diagnostics, strict=True):
        assert f"RandomNormalLike in synthesis.{layer} draws new numbers" in diagnostic.message
