"""Write taggers as ONNX, front end included, for programs without PyTorch: browsers, plug-ins of studios.

ONNX has no complex numbers, so the STFT is made of real matrix products. The metadata of a file name tags,
sample rate, licence and weights.
"""

import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

import tagbox
from tagbox.atomic_files import refuse_to_overwrite, write_atomically
from tagbox.errors import MissingWeightsError, TagBoxError
from tagbox.models import load_tagger
from tagbox.taggers.names import TaggerName
from tagbox.taggers.networks import listener, share_unet
from tagbox.taggers.tagger import Tagger
from tagbox.tags.vocabularies import RENDERED_CLASSES
from tagbox.weights.catalogue import find_model

OPSET = 17
"""Of ONNX 1.12, from 2022."""


class RealSTFT(nn.Module):
    r"""An STFT with a periodic Hann window, centred and reflected, without complex numbers.

    The Fourier transform of N = a b samples takes two steps (Cooley and Tukey 1965), each a product with a
    small matrix: with n = b n_1 + n_2 and k = k_1 + a k_2,

    .. math::  X_k = \sum_{n_2} e^{-2 \pi i n_2 k_2 / b} e^{-2 \pi i n_2 k_1 / N}
               \sum_{n_1} x_n e^{-2 \pi i n_1 k_1 / a}

    Args:
        fft: N, a power of two, samples of the window.
        hop: samples from one frame to the next, a divisor of N.
    """

    def __init__(self, fft: int, hop: int) -> None:
        super().__init__()
        self._fft = fft
        self._hop = hop
        self._first = 2 ** (int(math.log2(fft)) // 2)
        self._second = fft // self._first
        steps = {
            "first": (self._first, self._first, self._first),
            "turn": (self._first, self._second, fft),
            "second": (self._second, self._second, self._second),
        }
        for name, (rows, columns, turn) in steps.items():
            # Whole turns are dropped before the angle is rounded.
            turns = torch.outer(torch.arange(rows), torch.arange(columns)) % turn
            angles = -2 * math.pi / turn * turns.double()
            self.register_buffer(f"{name}_real", angles.cos().float())
            self.register_buffer(f"{name}_imaginary", angles.sin().float())
        self.register_buffer("window", torch.hann_window(fft))

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Transform (batch, samples) to the real and imaginary parts, (batch, bins, frames) each."""
        half, overlap = self._fft // 2, self._fft // self._hop
        padded = functional.pad(audio[:, None], (half, half), mode="reflect")[:, 0]
        blocks = padded[:, : padded.shape[-1] // self._hop * self._hop]
        blocks = blocks.reshape(audio.shape[0], -1, self._hop)
        shifted = [blocks[:, i : (i - overlap + 1) or None] for i in range(overlap)]
        frames = torch.cat(shifted, dim=-1) * self.get_buffer("window")
        x = frames.reshape(audio.shape[0], -1, self._first, self._second)
        real, imaginary = (self.get_buffer(f"first_{part}") @ x for part in ("real", "imaginary"))
        real, imaginary = self._turned(real, imaginary, torch.mul, "turn")
        real, imaginary = self._turned(real, imaginary, torch.matmul, "second")
        bins = self._fft // 2 + 1
        # k = k_1 + a k_2: the columns k_2 come first.
        parts = [part.transpose(2, 3).flatten(2)[..., :bins].transpose(1, 2) for part in (real, imaginary)]
        return parts[0], parts[1]

    def _turned(
        self, real: Tensor, imaginary: Tensor, product: Callable[[Tensor, Tensor], Tensor], name: str
    ) -> tuple[Tensor, Tensor]:
        """Multiply by a complex matrix, element by element or as matrices."""
        cosines, sines = self.get_buffer(f"{name}_real"), self.get_buffer(f"{name}_imaginary")
        return (
            product(real, cosines) - product(imaginary, sines),
            product(real, sines) + product(imaginary, cosines),
        )


@dataclass(frozen=True, eq=False)
class RealPair:
    """A complex tensor as two real ones, as far as `share_unet.features` asks for it."""

    real: Tensor
    imag: Tensor

    def __getitem__(self, index: Any) -> "RealPair":
        return RealPair(self.real[index], self.imag[index])

    def __sub__(self, other: "RealPair") -> "RealPair":
        return RealPair(self.real - other.real, self.imag - other.imag)


class ListenerFromAudio(nn.Module):
    """The listener from audio (batch, samples) at 16 kHz to the shares of the tags (batch, tags)."""

    def __init__(self, tagger: Tagger) -> None:
        super().__init__()
        self._stft = RealSTFT(listener.FFT, listener.HOP)
        self._frontend = listener.NormalisedMel()
        self._network = tagger.network

    def forward(self, audio: Tensor) -> Tensor:
        """Answer with the shares of energy over all samples."""
        real, imaginary = self._stft(audio)
        power = real.square() + imaginary.square()
        return torch.sigmoid(self._network(self._frontend.from_power(power)))


class SharesFromAudio(nn.Module):
    """The share network from audio (batch, 2, samples) at 44.1 kHz to the classes' shares of every patch.

    The shares are (batch, classes, rows, columns), as `share_unet.GRID` lays them out.
    """

    def __init__(self, tagger: Tagger) -> None:
        super().__init__()
        self._stft = RealSTFT(share_unet.GRID.fft, share_unet.GRID.hop_length)
        self._network = cast(share_unet.ShareUNet, tagger.network)

    def forward(self, audio: Tensor) -> Tensor:
        """Answer for one window."""
        left, right = (self._stft(audio[:, channel]) for channel in (0, 1))
        real, imaginary = (torch.stack(parts, dim=1) for parts in zip(left, right, strict=True))
        # What it takes of a complex tensor, a pair of real ones has too.
        heard = share_unet.features(cast(Tensor, RealPair(real, imaginary)))
        return torch.softmax(self._network.patch_logits(heard), dim=1)


@dataclass(frozen=True)
class Exportable:
    """How a tagger is exported.

    Attributes:
        make: makes one network of it, from audio to shares.
        axes: of the audio that it takes.
        names: what the second axis of its answer stands for.
    """

    make: Callable[[Tagger], nn.Module]
    axes: tuple[str, ...]
    names: Callable[[Tagger], tuple[str, ...]]


EXPORTABLE = {
    "rendered/listener": Exportable(ListenerFromAudio, ("batch", "samples"), lambda tagger: tagger.tags),
    "rendered/shares": Exportable(
        SharesFromAudio, ("batch", "channels", "samples"), lambda tagger: RENDERED_CLASSES
    ),
}
"""The taggers that take any length; what is exported does too."""


def export_tagger(path: Path, name: str = "rendered/listener", force: bool = False) -> None:
    """Write the tagger called `name` to `path` as ONNX, completely or not at all.

    The input is called "audio", the output "shares": of the tags for `rendered/listener`, of the classes in
    every patch for `rendered/shares`. Both learnt from windows of 3 s, and take any length.

    Raises:
        TagBoxError: the file exists and `force` is not set, it cannot be written, or the tagger is none of
            `EXPORTABLE`.
        MissingWeightsError: the package onnx is not installed.
    """
    if name not in EXPORTABLE:
        raise TagBoxError(f"{name} cannot be exported; give {' or '.join(EXPORTABLE)}")
    if find_spec("onnx") is None:
        raise MissingWeightsError("the export needs onnx; install it with: pip install 'tagbox[onnx]'")
    refuse_to_overwrite(path, force)
    identifier, exportable = TaggerName.parse(name), EXPORTABLE[name]
    tagger = load_tagger(identifier.architecture, identifier.data)
    metadata = {
        "model": name,
        "tags": json.dumps(exportable.names(tagger)),
        "rate": str(tagger.rate),
        "window": str(tagger.window),
        "licence": find_model("tagger", identifier.architecture, identifier.data).licence,
        "weights": tagger.weights_hash,
        "tagbox": tagbox.__version__,
    }
    with write_atomically(path, force) as temporary:
        _convert(exportable, tagger, temporary)
        _add_metadata(temporary, metadata)


def _convert(exportable: Exportable, tagger: Tagger, path: Path) -> None:
    shape = {"batch": 1, "channels": 2, "samples": tagger.window}
    example = torch.zeros([shape[axis] for axis in exportable.axes])
    dynamic = {i: axis for i, axis in enumerate(exportable.axes) if axis != "channels"}
    with warnings.catch_warnings(), torch.no_grad():
        # PyTorch's newer exporter needs one more package, and does not take these networks at any length.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exportable.make(tagger).eval(),
            (example,),
            path,
            input_names=["audio"],
            output_names=["shares"],
            dynamic_axes={"audio": dynamic, "shares": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def _add_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load_model(path)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
