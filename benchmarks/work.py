"""Count the operations and the memory traffic that a step of the loop needs at least.

The roofline of a step is the longer of two times: that of its operations at the rate of the machine's fastest
matrix product, and that of its memory traffic at the rate of a copy. Both rates are measured. Operations are
counted on PyTorch's device "meta", where tensors have no memory.
"""

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.taggers import load_or_draw_tagger
from tagbox.generators.vqvae import JUKEBOX, VQVAE
from tagbox.taggers import zero_padding

RATE = 16_000


def count_operations(seconds: float, taggers: Sequence[str], views: int) -> int:
    """Count the multiplications and additions of one step, forward and backward.

    The step decodes level 0 once, and every tagger predicts every view. Gradients of weights, recomputation,
    the silence that windows are padded with, and STFTs (a hundredth) are not counted.

    Args:
        seconds: length of the audio.
        taggers: architectures, trained on MagnaTagATune.
        views: signals that the taggers predict, one for each FFT size.
    """
    with torch.device("meta"):
        decoder = VQVAE(JUKEBOX).requires_grad_(False)
        latents = torch.empty(1, JUKEBOX.dimensions, frames(seconds), requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        decoder.decode(latents).sum().backward()
    operations = counter.get_total_flops()
    for name in taggers:
        tagger = load_or_draw_tagger(name, "mtat", "cpu")[0].to("meta")
        samples = round(seconds * RATE)
        shorter = zero_padding.skip_padding(tagger.frontend, tagger.network, samples, tagger.window)
        frontend, network = shorter or (tagger.frontend, tagger.network)
        shape = frontend(torch.zeros(1, tagger.window)).shape[1:]
        windows = views * -(-samples // tagger.window)
        spectrograms = torch.empty(windows, *shape, device="meta", requires_grad=True)
        # What the network computes for the padding is cached before the first step.
        network(spectrograms)
        with FlopCounterMode(display=False) as counter:
            network(spectrograms).sum().backward()
        operations += counter.get_total_flops()
    return operations


def count_traffic(seconds: float, dtype: torch.dtype) -> int:
    """Count the bytes that the decoder's residual blocks read and write in one step, if each were one pass.

    Forward: input and output. Backward: input, gradient of the output and gradient of the input.
    """
    size = torch.empty((), dtype=dtype).element_size()
    positions = sum(frames(seconds) * 2**doubled for doubled in range(JUKEBOX.halvings[0]))
    return 5 * size * positions * JUKEBOX.widths[0] * JUKEBOX.depths[0]


def frames(seconds: float) -> int:
    """Return the frames of level 0 in `seconds`, rounded to whole frames of the coarsest level."""
    coarsest = JUKEBOX.hops[-1]
    return round(seconds * JUKEBOX.rate) // coarsest * coarsest // JUKEBOX.hops[0]
