"""What a step cannot do without, counted on tensors without memory: operations, and bytes moved.

The roofline of a step is the longer of two times: its operations at the pace of the machine's best matrix
product, and its bytes at the pace of a copy. Both are measured, not read from a data sheet.
"""

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.taggers import tagger_of
from tagbox.generators.vqvae import JUKEBOX, VQVAE
from tagbox.taggers import zero_padding

RATE = 16_000


def operations(seconds: float, taggers: Sequence[str], views: int) -> int:
    """Multiplications and additions of one step: level 0 decoded once, every view heard, and the way back.

    Gradients of weights are not in it, nor anything computed twice, nor the silence that fills windows up,
    nor STFTs (a hundredth).
    """
    with torch.device("meta"):
        decoder = VQVAE(JUKEBOX).requires_grad_(False)
        latents = torch.empty(1, JUKEBOX.dimensions, frames(seconds), requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        decoder.decode(latents).sum().backward()
    total = counter.get_total_flops()
    for name in taggers:
        tagger = tagger_of(name, "mtat", "cpu")[0].to("meta")
        samples = round(seconds * RATE)
        shorter = zero_padding.shortened(tagger.frontend, tagger.network, samples, tagger.window)
        frontend, network = shorter or (tagger.frontend, tagger.network)
        shape = frontend(torch.zeros(1, tagger.window)).shape[1:]
        windows = views * -(-samples // tagger.window)
        heard = torch.empty(windows, *shape, device="meta", requires_grad=True)
        # What it hears of silence is known before the first step.
        network(heard)
        with FlopCounterMode(display=False) as counter:
            network(heard).sum().backward()
        total += counter.get_total_flops()
    return total


def traffic(seconds: float, dtype: torch.dtype) -> int:
    """Bytes that the decoder's residual blocks read and write in one step, were each block one pass.

    There: what it hears and what it says. Back: what it heard, the gradient that comes and the one that goes.
    """
    size = torch.empty((), dtype=dtype).element_size()
    rows = sum(frames(seconds) * 2**doubled for doubled in range(JUKEBOX.halvings[0]))
    return 5 * size * rows * JUKEBOX.widths[0] * JUKEBOX.depths[0]


def frames(seconds: float) -> int:
    """Of level 0, whole frames of the coarsest level."""
    coarsest = JUKEBOX.hops[-1]
    return round(seconds * JUKEBOX.rate) // coarsest * coarsest // JUKEBOX.hops[0]
