r"""The codebook entries nearest to latents: the same entries, with all distances of a few frames in a cache.

Plain twin: `torch.cdist` and `argmin`. Parity test: tests/test_generator.py.

:math:`|x - k|^2` less :math:`|x|^2`, which is the same for all entries k, is one product:
:math:`(x, 1) \cdot (-2k, |k|^2)`.
"""

import torch
from torch import Tensor
from torch.nn import functional

FRAMES_PER_PRODUCT = 512
"""Frames compared with the codebook at a time: with 2048 entries that makes 4 MB, which a cache holds."""


@torch.no_grad()
def nearest_entries(latents: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Find the entries of `codebook` (entries, dimensions) nearest to `latents` (batch, dimensions, frames).

    Returns:
        codes (batch, frames) and entries (batch, dimensions, frames).
    """
    batch, dimensions, frames = latents.shape
    flat = latents.transpose(1, 2).reshape(-1, dimensions)
    lifted = functional.pad(flat, (0, 1), value=1.0)
    against = torch.cat([-2 * codebook, codebook.square().sum(dim=1, keepdim=True)], dim=1).T
    codes = torch.empty(len(flat), dtype=torch.long, device=flat.device)
    # Every part writes where the one before did, so that it stays in the cache.
    distances = flat.new_empty(min(FRAMES_PER_PRODUCT, len(flat)), len(codebook))
    smallest = flat.new_empty(len(distances))
    parts, code_parts = torch.split(lifted, FRAMES_PER_PRODUCT), torch.split(codes, FRAMES_PER_PRODUCT)
    for part, part_codes in zip(parts, code_parts, strict=True):
        part_distances = distances[: len(part)]
        torch.mm(part, against, out=part_distances)
        torch.min(part_distances, dim=1, out=(smallest[: len(part)], part_codes))
    entries = codebook[codes].view(batch, frames, dimensions).transpose(1, 2)
    return codes.view(batch, frames), entries
