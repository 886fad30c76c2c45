"""What studios do to sources and mixtures, on batches of tensors, on whichever device they are.

All takes a `torch.Generator` of that device, so that a lesson can be given again.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn import functional

RATE = 44_100
EQ_POINTS = 10
FINE_POINTS = 48
FINE_DEVIATION = 3.0
"""Points and dB of the finer curve of a source's own: the body of the instrument."""
LOWEST = 30.0
"""Hz: where the equalisers' curves begin."""


@dataclass(frozen=True)
class Chances:
    """How likely a source or a mixture goes through each of the studio's devices."""

    gated: float = 0.2
    shaped: float = 0.3
    driven: float = 0.2
    filtered: float = 0.8
    cut: float = 0.12
    widened: float = 0.35
    delayed: float = 0.3
    room: float = 0.5
    compressed: float = 0.5
    limited: float = 0.4
    dull: float = 0.2
    noisy: float = 0.4
    mono: float = 0.3
    coded: float = 0.06


CHANCES = Chances()


def rand(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw from 0 to 1."""
    return torch.rand(shape, generator=random, device=random.device)


def randn(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw from a normal distribution."""
    return torch.randn(shape, generator=random, device=random.device)


def between(low: float, high: float, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw evenly from `low` to `high`."""
    return low + (high - low) * rand(shape, random)


def happens(chance: float, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw where something happens."""
    return rand(shape, random) < chance


def played(audio: Tensor, speeds: Tensor, samples: int) -> Tensor:
    """Play (sources, samples) at other speeds, which changes the pitch and the formants too."""
    places = speeds[:, None] * torch.arange(samples, device=audio.device)
    low = places.long()
    part = places - low
    return torch.lerp(audio.gather(1, low), audio.gather(1, low + 1), part)


def envelope(audio: Tensor, samples: int) -> Tensor:
    """Follow the level of (rows, samples) over windows of about `samples`."""
    length = audio.shape[-1]
    block = max(1, samples // 4)
    blocks = functional.avg_pool1d(audio.abs()[:, None], block, block, ceil_mode=True)
    smooth = functional.avg_pool1d(blocks, 5, 1, 2, count_include_pad=False)
    return functional.interpolate(smooth, size=length, mode="linear")[:, 0]


def shaped(audio: Tensor, random: torch.Generator, chances: Chances) -> Tensor:
    """Sharpen or soften the attacks of some sources (sources, samples), and open and shut some."""
    count = len(audio)
    some = happens(chances.shaped, (count,), random).nonzero()[:, 0]
    if len(some):
        quick, slow = envelope(audio[some], RATE // 100), envelope(audio[some], RATE // 8)
        strength = between(-0.6, 0.8, (len(some), 1), random)
        audio = audio.index_copy(0, some, audio[some] * ((quick + 1e-3) / (slow + 1e-3)) ** strength)
    enters = happens(chances.gated, (count, 1), random)
    at = rand((count, 1), random) * audio.shape[-1]
    time = torch.arange(audio.shape[-1], device=audio.device) - at
    fade = torch.sigmoid(time / (0.01 * RATE) * torch.where(rand((count, 1), random) < 0.5, 1.0, -1.0))
    return torch.where(enters, audio * fade, audio)


def driven(audio: Tensor, random: torch.Generator, chances: Chances) -> Tensor:
    """Drive some sources (sources, samples) through an amplifier that bends; the level stays."""
    some = happens(chances.driven, (len(audio),), random).nonzero()[:, 0]
    if not len(some):
        return audio
    clean = audio[some]
    peak = clean.abs().amax(dim=1, keepdim=True).clamp(min=1e-4)
    drive = 10 ** between(0.0, 1.2, (len(some), 1), random)
    bias = between(-0.3, 0.3, (len(some), 1), random)
    bent = torch.tanh(drive * clean / peak + bias) - torch.tanh(bias)
    level = clean.square().mean(1, keepdim=True) / bent.square().mean(1, keepdim=True).clamp(min=1e-9)
    return audio.index_copy(0, some, bent * level.sqrt())


def along_frequency(points: Tensor, bins: int) -> Tensor:
    """Draw curves through points that are evenly apart in pitch: (rows, points) to (rows, bins)."""
    nyquist = RATE / 2
    hertz = torch.linspace(0, nyquist, bins, device=points.device).clamp(min=LOWEST)
    axis = torch.log(hertz / LOWEST) / math.log(nyquist / LOWEST) * (points.shape[-1] - 1)
    low = axis.long().clamp(max=points.shape[-1] - 2)
    return torch.lerp(points[:, low], points[:, low + 1], (axis - low).expand(len(points), -1))


def curves(count: int, bins: int, deviation: float, random: torch.Generator, chances: Chances) -> Tensor:
    """Draw gains (count, bins) of equalisers, in dB, some of them with a low or high cut."""
    points = randn((count, EQ_POINTS), random) * deviation * rand((count, 1), random) * 1.5
    points = points * happens(chances.filtered, (count, 1), random)
    gains = along_frequency(points, bins)
    hertz = torch.linspace(0, RATE / 2, bins, device=gains.device).clamp(min=1.0)
    octaves = torch.log2(hertz)[None]
    low = torch.log2(between(60, 400, (count, 1), random))
    high = torch.log2(between(2500, 12000, (count, 1), random))
    gains = gains - 18 * (low - octaves).clamp(min=0) * happens(chances.cut, (count, 1), random)
    return gains - 24 * (octaves - high).clamp(min=0) * happens(chances.cut, (count, 1), random)


def rooms(count: int, samples: int, random: torch.Generator) -> Tensor:
    """Draw rooms as spectra (count, 2, bins) of what comes back: a few reflections and a dense decay.

    The decay is shorter at high frequencies. Sound that goes round the end of `samples` comes in again at
    the beginning, as from what was played before.
    """
    time = torch.arange(samples, device=random.device) / RATE
    seconds = 10 ** between(-0.85, 0.4, (count, 1, 1), random)
    begin = between(0.002, 0.06, (count, 1, 1), random)
    tail = torch.randn((count, 2, samples), generator=random, device=random.device)
    decay = 10 ** (-3 * (time - begin) / seconds)
    bright = torch.where(time >= begin, decay, torch.zeros_like(decay))
    # Two decays: the upper half of the spectrum dies in half of the time.
    dull = functional.avg_pool1d(tail, 9, 1, 4) * bright
    answer = 0.5 * (tail - functional.avg_pool1d(tail, 9, 1, 4)) * bright**2 + dull
    taps = (between(0.003, 0.08, (count, 2, 6), random) * RATE).long().clamp(max=samples - 1)
    answer = answer / answer.square().sum(dim=-1, keepdim=True).sqrt()
    answer = answer.scatter_add(2, taps, 0.25 * randn((count, 2, 6), random))
    answer = answer / answer.square().sum(dim=-1, keepdim=True).sqrt()
    return torch.fft.rfft(answer)


def placed(
    audio: Tensor, mixtures: Tensor, room_spectra: Tensor, random: torch.Generator, chances: Chances
) -> Tensor:
    """Put sources (sources, samples) into the stereo image: (sources, 2, samples).

    Each has its own equaliser, pan by level and at times by delay, width and distance; all of a mixture
    are in one room.
    """
    count, samples = audio.shape
    spectrum = torch.fft.rfft(audio)
    bins = spectrum.shape[-1]
    gains = curves(count, bins, 4.5, random, chances)
    fine = randn((count, FINE_POINTS), random) * FINE_DEVIATION * rand((count, 1), random)
    spectrum = spectrum * 10 ** ((gains + along_frequency(fine, bins)) / 20)

    # Most parts of music stand near the middle, some far out.
    angle = torch.tanh(randn((count,), random) * 0.8 * rand((count,), random)) * math.pi / 4 + math.pi / 4
    levels = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1) * math.sqrt(2)
    late = between(0, 0.0009, (count,), random) * happens(chances.delayed, (count,), random)
    late = late * torch.where(rand((count,), random) < 0.5, 1.0, -1.0)
    hertz = torch.linspace(0, RATE / 2, bins, device=audio.device)
    wide = happens(chances.widened, (count, 1), random) * between(0.3, 3.0, (count, 1), random)
    phase = along_frequency(randn((count, 40), random), bins) * wide
    phase = phase - 2 * math.pi * hertz * late[:, None]
    left = spectrum * levels[:, :1]
    right = spectrum * torch.polar(levels[:, 1:].expand(-1, bins).contiguous(), phase)
    both = torch.stack([left, right], dim=1)

    in_room = happens(chances.room, (int(mixtures.max()) + 1,), random)[mixtures]
    which = torch.randint(
        len(room_spectra), (int(mixtures.max()) + 1,), generator=random, device=audio.device
    )[mixtures]
    distance = 10 ** between(-1.6, -0.1, (count, 1, 1), random)
    some = in_room.nonzero()[:, 0]
    if len(some):
        middle = both[some].mean(dim=1, keepdim=True)
        wet = both[some] + distance[some] * middle * room_spectra[which[some]]
        both = both.index_copy(0, some, wet)
    return torch.fft.irfft(both, n=samples)


def mastered(mixture: Tensor, random: torch.Generator, chances: Chances) -> Tensor:
    """Compress, limit and bend some mixtures (mixtures, 2, samples), both channels alike."""
    count = len(mixture)
    peak = mixture.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-4)
    audio = mixture / peak
    loud = envelope(audio.abs().amax(dim=1), RATE // 12)
    threshold = 10 ** between(-1.3, -0.2, (count, 1), random)
    ratio = between(0.1, 0.75, (count, 1), random) * happens(chances.compressed, (count, 1), random)
    gain = (loud / threshold).clamp(min=1) ** -ratio
    audio = audio * gain[:, None]
    bend = 10 ** between(-0.3, 0.7, (count, 1, 1), random)
    limited = torch.tanh(bend * audio) / bend
    return torch.where(happens(chances.limited, (count, 1, 1), random), limited, audio)


def coded(audio: Tensor, random: np.random.Generator) -> Tensor:
    """Encode and decode one mixture (2, samples) as MP3 or Ogg Vorbis of some quality."""
    kind, subtype = ("MP3", "MPEG_LAYER_III") if random.random() < 0.6 else ("OGG", "VORBIS")
    peak = float(audio.abs().max())
    file = io.BytesIO()
    samples = (audio * (0.9 / max(peak, 1e-6))).cpu().numpy().T
    soundfile.write(
        file, samples, RATE, format=kind, subtype=subtype, compression_level=float(random.uniform(0.1, 0.95))
    )
    file.seek(0)
    back, _ = soundfile.read(file, dtype="float32", always_2d=True)
    fitted = np.zeros_like(samples)
    fitted[: min(len(back), len(fitted))] = back[: len(fitted)]
    return torch.from_numpy(fitted.T.copy()).to(audio) * (max(peak, 1e-6) / 0.9)
