"""A compact StyleGAN2 generator with skip connections, from the paper (Karras et al., arXiv:1912.04958).

What makes it hard for a compiler: every convolution of the synthesis network has a filter that the network
computes. The style scales the input channels of the filter (modulation), and each output channel is brought
back to unit length (demodulation). Images of a batch have filters of their own, so a batch is a grouped
convolution with one group per image; up-sampling uses `conv_transpose2d` with such a filter.

The weights are drawn from a seed, not trained: the pictures are abstract, but every layer does its work.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NoiseMode = Literal["const", "random", "none"]
FIR = (1.0, 3.0, 3.0, 1.0)
LEAK, GAIN = 0.2, math.sqrt(2)  # the gain keeps the variance behind a leaky ReLU


class EqualLinear(nn.Module):
    """A fully connected layer whose weights are scaled at run time (equalised learning rate)."""

    def __init__(self, features: int, out_features: int, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, features))
        self.bias = nn.Parameter(torch.full((out_features,), bias))
        self.scale = 1 / math.sqrt(features)

    def forward(self, x: Tensor) -> Tensor:
        """[n, features] -> [n, out_features]."""
        return F.linear(x, self.weight * self.scale, self.bias)


class FirUp(nn.Module):
    """Up-sampling by 2: zeros between the pixels, then a low-pass filter; per channel, in one convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor(FIR) / sum(FIR)
        # Three of four pixels are inserted zeros: four times the filter keeps the brightness.
        self.register_buffer("filter", (4 * torch.outer(row, row)).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, 2h, 2w]."""
        return F.conv_transpose2d(x, self.filter, stride=2, padding=1, groups=x.shape[1])


class FirSmooth(nn.Module):
    """The low-pass filter behind a transposed convolution, which leaves a checkerboard otherwise."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor(FIR) / sum(FIR)
        self.register_buffer("filter", (4 * torch.outer(row, row)).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, 2h + 1, 2w + 1] -> [n, c, 2h, 2w]."""
        return F.conv2d(x, self.filter, padding=1, groups=x.shape[1])


class ModulatedConv(nn.Module):
    """A convolution whose filter is computed from the style, one filter per image."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel: int,
        w_dim: int,
        *,
        up: bool = False,
        demod: bool = True,
    ) -> None:
        super().__init__()
        self.style = EqualLinear(w_dim, channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, channels, kernel, kernel))
        self.scale = 1 / math.sqrt(channels * kernel * kernel)
        self.demod = demod
        self.smooth = FirSmooth(out_channels) if up else None

    def filters(self, w: Tensor) -> Tensor:
        """[n, w_dim] -> the filters [n, oc, c, k, k]."""
        style = self.style(w)
        filters = self.weight.unsqueeze(0) * self.scale * style[:, None, :, None, None]
        if self.demod:
            filters = filters * torch.rsqrt(filters.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
        return filters

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[n, c, h, w] and [n, w_dim] -> [n, oc, h, w], twice as high and wide if `up`."""
        n, c, height, width = x.shape
        filters = self.filters(w)
        oc, kernel = filters.shape[1], filters.shape[-1]
        x = x.reshape(1, n * c, height, width)  # the images become groups
        if self.smooth is None:
            y = F.conv2d(x, filters.reshape(n * oc, c, kernel, kernel), padding=kernel // 2, groups=n)
            return y.reshape(n, oc, height, width)
        turned = filters.transpose(1, 2).reshape(n * c, oc, kernel, kernel)
        y = F.conv_transpose2d(x, turned, stride=2, groups=n)
        return self.smooth(y.reshape(n, oc, 2 * height + 1, 2 * width + 1))


class StyledLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU."""

    def __init__(self, channels: int, out_channels: int, w_dim: int, size: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, out_channels, 3, w_dim, up=up)
        self.register_buffer("noise", torch.randn(1, 1, size, size))
        self.strength = nn.Parameter(torch.tensor(0.1))
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode) -> Tensor:
        """[n, c, h, w] and [n, w_dim] -> [n, oc, size, size]."""
        x = self.conv(x, w)
        if noise_mode == "const":
            x = x + self.noise * self.strength
        elif noise_mode == "random":
            x = x + torch.randn_like(x[:, :1]) * self.strength
        return F.leaky_relu(x + self.bias, LEAK) * GAIN


class ToRGB(nn.Module):
    """One pixel wide, modulated but not demodulated: the colours that a resolution adds to the picture."""

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, 3, 1, w_dim, demod=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[n, c, h, w] and [n, w_dim] -> [n, 3, h, w]."""
        return self.conv(x, w) + self.bias


class Block(nn.Module):
    """One resolution: up-sampling layer (not in the first block), second layer, colours."""

    def __init__(self, channels: int, out_channels: int, w_dim: int, size: int) -> None:
        super().__init__()
        self.first = size == 4
        if not self.first:
            self.conv0 = StyledLayer(channels, out_channels, w_dim, size, up=True)
            self.up = FirUp(3)
        self.conv1 = StyledLayer(out_channels, out_channels, w_dim, size)
        self.torgb = ToRGB(out_channels, w_dim)

    def forward(
        self, x: Tensor, image: Tensor | None, ws: list[Tensor], noise_mode: NoiseMode
    ) -> tuple[Tensor, Tensor]:
        """Features and picture of the resolution before -> those of this one; takes a style per layer."""
        if not self.first:
            x = self.conv0(x, ws[0], noise_mode)
        x = self.conv1(x, ws[-2], noise_mode)
        colours = self.torgb(x, ws[-1])
        return x, colours if image is None else self.up(image) + colours


class Synthesis(nn.Module):
    """Styles -> picture, from a learned constant of 4x4 pixels."""

    def __init__(self, w_dim: int, sizes: dict[int, int]) -> None:
        super().__init__()
        channels = sizes[4]
        self.const = nn.Parameter(torch.randn(1, channels, 4, 4))
        self.resolutions = tuple(sizes)
        for size, out_channels in sizes.items():
            setattr(self, f"b{size}", Block(channels, out_channels, w_dim, size))
            channels = out_channels
        self.num_ws = 2 * len(sizes)

    def forward(self, ws: Tensor, noise_mode: NoiseMode) -> Tensor:
        """[n, num_ws, w_dim] -> [n, 3, size, size]."""
        styles = list(ws.unbind(1))
        x, image = self.const.repeat(ws.shape[0], 1, 1, 1), None
        for i, size in enumerate(self.resolutions):
            # The colours of a block share the style of the next block's first layer.
            used = styles[:2] if i == 0 else styles[2 * i - 1 : 2 * i + 2]
            x, image = getattr(self, f"b{size}")(x, image, used, noise_mode)
        return image


class Generator(nn.Module):
    """StyleGAN2 with seeded weights: `mapping` makes styles of noise, a call makes a picture of styles."""

    def __init__(
        self, size: int = 64, width: int = 512, w_dim: int = 64, layers: int = 4, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # As in the paper the number of channels halves with the resolution, up to a limit.
            sizes = {4 << i: min(64, width // (4 << i)) for i in range(int(math.log2(size)) - 1)}
            self.synthesis = Synthesis(w_dim, sizes)
            self.fully_connected = nn.ModuleList(EqualLinear(w_dim, w_dim) for _ in range(layers))
        self.w_dim = w_dim

    def mapping(self, z: Tensor) -> Tensor:
        """[n, w_dim] -> [n, num_ws, w_dim]; noise becomes one style, used by every layer."""
        w = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.fully_connected:
            w = F.leaky_relu(layer(w), LEAK) * GAIN
        return w.unsqueeze(1).repeat(1, self.synthesis.num_ws, 1)

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        """[n, num_ws, w_dim] -> picture [n, 3, size, size], about -1 to 1."""
        return self.synthesis(ws, noise_mode)
