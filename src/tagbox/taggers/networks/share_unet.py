r"""The share network: which share of the energy is of which instrument, for every moment and band.

A mixture's STFT is summed into bands, narrow at the bottom and wide at the top, and bands and frames into
*patches* of two bands by four frames. For every patch a small U-Net answers with shares
:math:`p_c` of the vocabulary's classes, :math:`\sum_c p_c = 1`, and the sum of the shares of the classes that
somebody asked for is a ratio mask for the mixture. What is asked for is never an input.

It hears levels relative to the loudest point of a window, so that gain changes nothing, and where in the
stereo image a patch is. A mono mixture is heard as two equal channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.listener import MIN_SHARE, class_membership
from tagbox.tags.vocabularies import RENDERED_CLASSES

RATE = 44_100
"""Samples a second of the mixtures that the network hears."""
WINDOW = 128
"""Frames that it hears at once: 3 s."""
STRIDE = 64
"""Frames from one window to the next in longer mixtures."""
RANGE = 80.0
"""dB below the loudest point of a window, under which nothing is told apart."""
FEATURES = 13
"""Channels of what the network hears: levels of a patch's points, their place, four of the stereo image."""
OF_SIDES = (9, 11)
"""Those of them that change sign when left and right change places."""
AT_ONCE = 8
"""Windows that go through the network together."""


@dataclass(frozen=True)
class Grid:
    """The points at which the network hears and the patches for which it answers.

    Attributes:
        fft: samples of the STFT's window.
        hop_length: samples between frames.
        zones: (bins in a band, first bin after the zone), from the bottom up.
        bands_per_patch: neighbouring bands that share an answer.
        frames_per_patch: neighbouring frames that share an answer.
    """

    fft: int = 4096
    hop_length: int = 1024
    zones: tuple[tuple[int, int], ...] = ((1, 96), (2, 256), (4, 512), (8, 896), (36, 2048))
    bands_per_patch: int = 2
    frames_per_patch: int = 4

    @property
    def widths(self) -> tuple[int, ...]:
        """Count the bins of each band; the bin at half the sampling rate is left out."""
        begins = (0, *(end for _, end in self.zones))
        return tuple(
            width
            for (width, end), begin in zip(self.zones, begins, strict=False)
            for _ in range((end - begin) // width)
        )

    @property
    def bands(self) -> int:
        """Count the bands."""
        return len(self.widths)

    @property
    def rows(self) -> int:
        """Count the patches above each other."""
        return self.bands // self.bands_per_patch

    def stft(self, audio: Tensor) -> Tensor:
        """Transform (batch, channels, samples) to a complex spectrum (batch, channels, bins, frames)."""
        window = torch.hann_window(self.fft, device=audio.device, dtype=audio.dtype)
        made = torch.stft(audio.flatten(0, 1), self.fft, self.hop_length, window=window, return_complex=True)
        return made.reshape(*audio.shape[:2], *made.shape[1:])

    def istft(self, spectrum: Tensor, samples: int) -> Tensor:
        """Transform a spectrum (batch, channels, bins, frames) back to (batch, channels, samples)."""
        window = torch.hann_window(self.fft, device=spectrum.device, dtype=spectrum.real.dtype)
        made = torch.istft(spectrum.flatten(0, 1), self.fft, self.hop_length, window=window, length=samples)
        return made.reshape(*spectrum.shape[:2], samples)

    def into_bands(self, values: Tensor) -> Tensor:
        """Sum what is additive over the bins of each band: (..., bins, frames) to (..., bands, frames)."""
        begins = (0, *(end for _, end in self.zones))
        return torch.cat(
            [
                values[..., begin:end, :].reshape(*values.shape[:-2], -1, width, values.shape[-1]).sum(dim=-2)
                for (width, end), begin in zip(self.zones, begins, strict=False)
            ],
            dim=-2,
        )

    def into_patches(self, values: Tensor) -> Tensor:
        """Sum bands over patches: (..., bands, frames) to (..., rows, columns); the last may be cut short."""
        padded = functional.pad(values, (0, -values.shape[-1] % self.frames_per_patch))
        each = padded.reshape(*padded.shape[:-1], -1, self.frames_per_patch).sum(dim=-1)
        return each.reshape(*each.shape[:-2], -1, self.bands_per_patch, each.shape[-1]).sum(dim=-2)

    def over_bins(self, patches: Tensor, frames: int) -> Tensor:
        """Give every bin and frame its patch's value: (..., rows, columns) to (..., bins, frames)."""
        widths = torch.tensor(self.widths, device=patches.device)
        of_rows = widths.reshape(-1, self.bands_per_patch).sum(dim=-1)
        of_rows[-1] += self.fft // 2 + 1 - int(widths.sum())
        return patches.repeat_interleave(of_rows, dim=-2).repeat_interleave(self.frames_per_patch, dim=-1)[
            ..., :frames
        ]


GRID = Grid()
WINDOW_SAMPLES = (WINDOW - 1) * GRID.hop_length
"""As many as make `WINDOW` frames."""


def power(spectrum: Tensor) -> Tensor:
    """Square the magnitudes of a complex spectrum; its gradient at 0 is 0."""
    return spectrum.real.square() + spectrum.imag.square()


def features(spectrum: Tensor, grid: Grid = GRID) -> Tensor:
    """Make what the network hears of a spectrum.

    Args:
        spectrum: of a mixture, complex, (batch, channels, bins, frames) with one or two channels.
        grid: where it is heard.

    Returns:
        (batch, `FEATURES`, rows, columns): the levels of a patch's points in units of 20 dB, how high it lies
        from -1 to 1, its balance between left and right, how much of it is unlike in the two channels and
        out of phase, and how wide the whole is. The last four are 0 for mono and for two equal channels.
    """
    left, right = spectrum[:, 0], spectrum[:, -1]
    shape = (-1, grid.rows, grid.bands_per_patch)

    of_left, of_right = (grid.into_bands(power(channel)) for channel in (left, right))
    energy = of_left + of_right
    energy = functional.pad(energy, (0, -energy.shape[-1] % grid.frames_per_patch))
    widths = torch.tensor(grid.widths, device=energy.device, dtype=energy.dtype)
    density = energy / widths[:, None]
    loudest = density.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    # A floor that is added, not a clamp: what lies below it keeps a gradient.
    level = 10 * torch.log10(density / loudest + 10 ** (-RANGE / 10))
    points = level.reshape(*shape, level.shape[-1] // grid.frames_per_patch, grid.frames_per_patch)
    points = points.permute(0, 2, 4, 1, 3).flatten(1, 2) / 20 + RANGE / 40

    total = grid.into_patches(energy) + 1e-9 * loudest
    balance = (grid.into_patches(of_left) - grid.into_patches(of_right)) / total
    # Of the difference of the channels, not one minus their product: exactly 0 where they are equal.
    unlike = grid.into_patches(grid.into_bands(power(left - right)))
    crossed = left.imag * right.real - left.real * right.imag
    turned = 2 * grid.into_patches(grid.into_bands(crossed)) / total
    width = unlike.sum(dim=(1, 2), keepdim=True) / total.sum(dim=(1, 2), keepdim=True)
    width = (width + 1e-4).sqrt() - 1e-2
    place = torch.linspace(-1, 1, grid.rows, device=total.device, dtype=total.dtype)[:, None]
    image = [place.expand_as(total), balance, unlike / total, turned, width.expand_as(total)]
    return torch.cat([points, torch.stack(image, dim=1)], dim=1)


class Layer(nn.Module):
    """A convolution, batch norm and ReLU; `folded` puts the norm into the convolution.

    Args:
        given: channels that come in.
        made: channels that come out.
        size: of the kernel, in both directions.
        stride: of rows and columns.
        learning: whether there is a batch norm.
    """

    def __init__(
        self, given: int, made: int, size: int = 3, stride: tuple[int, int] = (1, 1), learning: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, size, stride, size // 2, bias=not learning)
        self.norm = nn.BatchNorm2d(made) if learning else nn.Identity()

    def linear(self, x: Tensor) -> Tensor:
        """Convolve and normalise (batch, channels, rows, columns), without the ReLU."""
        made: Tensor = self.norm(self.conv(x))
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, channels, rows, columns)."""
        return functional.relu(self.linear(x))


class Residual(nn.Module):
    """Two layers beside a way that leads past them."""

    def __init__(self, channels: int, learning: bool) -> None:
        super().__init__()
        self.first = Layer(channels, channels, learning=learning)
        self.second = Layer(channels, channels, learning=learning)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (batch, channels, rows, columns)."""
        return functional.relu(x + self.second.linear(self.first(x)))


class Context(nn.Module):
    """All rows at once, some seconds of columns, and the mean of the window: what else sounds.

    Args:
        channels: of each of the rows.
        rows: that come in.
        hidden: channels of the context.
    """

    def __init__(self, channels: int, rows: int, hidden: int) -> None:
        super().__init__()
        self.gather = nn.Conv1d(channels * rows, hidden, 1)
        self.along = nn.ModuleList(
            [nn.Conv1d(hidden, hidden, 3, padding=apart, dilation=apart) for apart in (1, 2)]
        )
        self.whole = nn.Linear(hidden, hidden)
        self.spread = nn.Conv1d(hidden, channels * rows, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the context to (batch, channels, rows, columns)."""
        heard = functional.relu(self.gather(x.flatten(1, 2)))
        for conv in self.along:
            heard = heard + functional.relu(conv(heard))
        heard = heard + functional.relu(self.whole(heard.mean(dim=-1)))[..., None]
        added: Tensor = functional.relu(self.spread(heard))
        return x + added.reshape(x.shape)


class ShareUNet(nn.Module):
    """A U-Net from features of patches to the classes' logits: 4.3 million weights.

    Args:
        channels: at each depth; each halves the rows, and every second one the columns too.
        hidden: channels of the context at the bottom.
        dropout: part of the channels that are silent while it learns, at the bottom and before the end.
        learning: with batch norms, which `folded` afterwards puts into the convolutions before them.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (48, 64, 96, 128, 192),
        hidden: int = 320,
        dropout: float = 0.1,
        learning: bool = False,
    ) -> None:
        super().__init__()
        pairs = list(pairwise(channels))
        strides = [(2, 1 + depth % 2) for depth in range(len(pairs))]
        self.columns = 2 ** sum(across == 2 for _, across in strides)
        self.begin = Layer(FEATURES, channels[0], learning=learning)
        self.encoders = nn.ModuleList([Residual(above, learning) for above, _ in pairs])
        self.down = nn.ModuleList(
            [
                Layer(above, below, stride=stride, learning=learning)
                for (above, below), stride in zip(pairs, strides, strict=True)
            ]
        )
        self.middle = Residual(channels[-1], learning)
        self.context = Context(channels[-1], GRID.rows // 2 ** len(pairs), hidden)
        self.joints = nn.ModuleList(
            [Layer(above + below, above, size=1, learning=learning) for above, below in pairs]
        )
        self.decoders = nn.ModuleList([Residual(above, learning) for above, _ in pairs])
        self.forget = nn.Dropout2d(dropout)
        self.end = nn.Conv2d(channels[0], len(RENDERED_CLASSES), 1)

    def patch_logits(self, x: Tensor) -> Tensor:
        """Answer `features` (batch, FEATURES, rows, columns) with logits (batch, classes, rows, columns)."""
        columns = x.shape[-1]
        x = self.begin(functional.pad(x, (0, -columns % self.columns)))
        passed = []
        for encoder, down in zip(self.encoders, self.down, strict=True):
            x = encoder(x)
            passed.append(x)
            x = down(x)
        x = self.context(self.forget(self.middle(x)))
        for joint, decoder in zip(reversed(self.joints), reversed(self.decoders), strict=True):
            beside = passed.pop()
            x = functional.interpolate(x, size=beside.shape[-2:], mode="nearest")
            x = decoder(joint(torch.cat([x, beside], dim=1)))
        logits: Tensor = self.end(self.forget(x))
        return logits[..., :columns]

    def forward(self, x: Tensor) -> Tensor:
        """Answer for every patch, as `patch_logits` does."""
        return self.patch_logits(x)


class ShareTagger(ShareUNet):
    r"""The same network as a tagger: which tags a window has, and how much of it.

    A tag's logit is the log-odds of its share of the window's energy, so that a sigmoid gives the share, the
    mean of the patches' shares :math:`p_c` weighted by their energies.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map `features` (batch, FEATURES, rows, columns) to logits (batch, tags), classes first."""
        shares = torch.softmax(precise(self.patch_logits(x)), dim=1)
        energy = energy_of_patches(precise(x))
        energy = energy / energy.sum(dim=(1, 2), keepdim=True)
        present = torch.einsum("bcrt,brt->bc", shares, energy) @ class_membership().to(shares)
        present = present.clamp(0, 1)
        return torch.log((present + MIN_SHARE) / (1 - present + MIN_SHARE))


@dataclass(frozen=True)
class StereoFeatures:
    """The front end of the share network as a tagger: mono audio, heard as two equal channels.

    Attributes:
        grid: of the network.
    """

    grid: Grid = GRID

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) at `RATE` to `features`."""
        return features(self.grid.stft(audio[:, None]), self.grid)


def energy_of_patches(heard: Tensor, grid: Grid = GRID) -> Tensor:
    """Compute the patches' energies (batch, rows, columns), relative to the loudest point, of `features`."""
    points = grid.bands_per_patch * grid.frames_per_patch
    levels = 10 ** ((20 * heard[:, :points] - RANGE / 2) / 10)
    widths = torch.tensor(grid.widths, device=heard.device, dtype=heard.dtype)
    of_points = widths.reshape(-1, grid.bands_per_patch).T.repeat_interleave(grid.frames_per_patch, dim=0)
    return torch.einsum("bprt,pr->brt", levels, of_points)


def precise(x: Tensor) -> Tensor:
    """Convert what is less than single precision to it."""
    return x.float() if x.element_size() < 4 else x


def shares_of_spectrum(network: ShareUNet, spectrum: Tensor, grid: Grid = GRID) -> Tensor:
    """Ask for the classes' shares of every patch of a mixture, however long.

    Longer mixtures are heard in windows that overlap by half, and where two hear the same, the one in whose
    middle it lies counts more.

    Args:
        network: a `ShareUNet`.
        spectrum: complex, (batch, channels, bins, frames).
        grid: that of the network.

    Returns:
        (batch, classes, rows, columns), adding up to one over the classes.
    """
    batch, _, _, frames = spectrum.shape
    beyond = max(0, -(-(frames - WINDOW) // STRIDE)) * STRIDE + WINDOW - frames
    padded = functional.pad(spectrum, (0, beyond))
    windows = padded.unfold(-1, WINDOW, STRIDE).movedim(-2, 1).flatten(0, 1)
    dtype = next(network.parameters()).dtype
    each = []
    for some in torch.split(windows, AT_ONCE):
        heard = features(some, grid).to(dtype, memory_format=torch.channels_last)
        each.append(torch.softmax(precise(network.patch_logits(heard)), dim=1))
    answers = torch.cat(each)
    answers = answers.reshape(batch, -1, *answers.shape[1:])
    columns, stride = WINDOW // grid.frames_per_patch, STRIDE // grid.frames_per_patch
    weight = torch.hann_window(columns + 1, periodic=False, device=answers.device, dtype=answers.dtype)
    weight = weight[:-1] + 0.02
    whole = stride * (answers.shape[1] - 1) + columns
    made = answers.new_zeros(*answers.shape[:1], *answers.shape[2:4], whole)
    weights = answers.new_zeros(whole)
    for index in range(answers.shape[1]):
        here = slice(index * stride, index * stride + columns)
        made[..., here] = made[..., here] + answers[:, index] * weight
        weights[here] += weight
    wanted: Tensor = (made / weights)[..., : -(-frames // grid.frames_per_patch)]
    return wanted


def shares(network: ShareUNet, mixture: Tensor, grid: Grid = GRID) -> tuple[Tensor, Tensor]:
    """Ask for the classes' shares of every patch of a mixture.

    Args:
        network: a `ShareUNet`.
        mixture: (batch, channels, samples) at `RATE`, one or two channels.
        grid: that of the network.

    Returns:
        shares (batch, classes, rows, columns), and the patches' energies (batch, rows, columns).
    """
    spectrum = grid.stft(functional.pad(mixture, (0, max(0, grid.fft - mixture.shape[-1]))))
    energy = power(spectrum).sum(dim=1)
    return shares_of_spectrum(network, spectrum, grid), grid.into_patches(grid.into_bands(energy))


def folded(learnt: Mapping[str, Tensor], epsilon: float = 1e-5) -> dict[str, Tensor]:
    """Turn the weights of a network that was `learning` into those of one that no longer is."""
    made = dict(learnt)
    for key in [key for key in learnt if key.endswith(".norm.weight")]:
        layer = key.removesuffix(".norm.weight")
        mean, variance = made.pop(f"{layer}.norm.running_mean"), made.pop(f"{layer}.norm.running_var")
        scale = made.pop(key) / torch.sqrt(variance + epsilon)
        made[f"{layer}.conv.bias"] = made.pop(f"{layer}.norm.bias") - scale * mean
        made[f"{layer}.conv.weight"] = made[f"{layer}.conv.weight"] * scale[:, None, None, None]
        made.pop(f"{layer}.norm.num_batches_tracked", None)
    return made
