"""TagBox's own taggers: the networks for published weights, by the name of the architecture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from tagbox.audio.validation import fingerprint
from tagbox.errors import UnknownModelError
from tagbox.plugins.descriptions import Model
from tagbox.state_dict import check_state_dict
from tagbox.taggers.frontends import HarmonicSpectrogram, LogMel, PonsMel, Waveform
from tagbox.taggers.names import TaggerName
from tagbox.taggers.networks.attention import AttentionCNN
from tagbox.taggers.networks.crnn import CRNN
from tagbox.taggers.networks.efficient_at import mn04, mn10
from tagbox.taggers.networks.fcn import FCN
from tagbox.taggers.networks.harmonic_cnn import HarmonicCNN
from tagbox.taggers.networks.listener import WINDOW_SAMPLES, Listener, NormalisedMel
from tagbox.taggers.networks.musicnn import Musicnn, large_musicnn
from tagbox.taggers.networks.pons import PonsMusicnn, msd_vgg, mtat_vgg
from tagbox.taggers.networks.sample_cnn import ExcitedSampleCNN, SampleCNN
from tagbox.taggers.networks.share_unet import RATE as SHARE_RATE
from tagbox.taggers.networks.share_unet import WINDOW_SAMPLES as SHARE_WINDOW
from tagbox.taggers.networks.share_unet import ShareTagger, StereoFeatures
from tagbox.taggers.networks.short_chunk_cnn import ShortChunkCNN, ShortChunkResNet
from tagbox.taggers.precise_frontends import EmphasisedMel
from tagbox.taggers.tagger import FrontEnd, Tagger
from tagbox.tags.vocabularies import TAGS

RATE = 16000

BuildNetwork = Callable[[], nn.Module]


@runtime_checkable
class CheckpointFrontEnd(Protocol):
    """A front end of which published checkpoints store a part."""

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return names and shapes of that part."""
        ...

    def from_checkpoint(self, state: Mapping[str, Tensor]) -> Self:
        """Return the front end that the checkpoint was trained with; refuse one that is not computed here."""
        ...


@dataclass(frozen=True)
class Architecture:
    """How to build a tagger for published weights.

    Attributes:
        build: makes the network, whose forward gives logits.
        frontend: transforms audio to the network's input.
        window: samples of one window, at `rate`.
        memory_format: of the weights of two-dimensional convolutions. With channels last they run up to twice
            as fast on a CPU, and round a little more.
        variants: makes the network for data for which it was published in another size.
        rate: sample rate of the audio, Hz.
    """

    build: BuildNetwork
    frontend: FrontEnd
    window: int
    memory_format: torch.memory_format = torch.channels_last
    variants: Mapping[str, BuildNetwork] = field(default_factory=dict)
    rate: int = RATE


ARCHITECTURES: dict[str, Architecture] = {
    "fcn": Architecture(FCN, LogMel(96), 464000),
    "musicnn": Architecture(Musicnn, LogMel(96), 48000, variants={"msd": large_musicnn}),
    "crnn": Architecture(CRNN, LogMel(96), 464000),
    "sample": Architecture(SampleCNN, Waveform(), 59049),
    "se": Architecture(ExcitedSampleCNN, Waveform(), 59049),
    "short": Architecture(ShortChunkCNN, LogMel(128), 59049),
    "short_res": Architecture(ShortChunkResNet, LogMel(128), 59049),
    "attention": Architecture(AttentionCNN, LogMel(128), 240000),
    # Parity leaves this one no room for the rounding of channels last: bands at -100 dB make large sums.
    "hcnn": Architecture(HarmonicCNN, HarmonicSpectrogram(), 80000, memory_format=torch.contiguous_format),
    "pons-musicnn": Architecture(PonsMusicnn, PonsMel(), 48128),
    "pons-vgg": Architecture(mtat_vgg, PonsMel(), 48128, variants={"msd": msd_vgg}),
    "mn04": Architecture(mn04, EmphasisedMel(), 320000, rate=32000),
    "mn10": Architecture(mn10, EmphasisedMel(), 320000, rate=32000),
    "listener": Architecture(Listener, NormalisedMel(), WINDOW_SAMPLES),
    "shares": Architecture(ShareTagger, StereoFeatures(), SHARE_WINDOW, rate=SHARE_RATE),
}


def find_architecture(name: str, data: str) -> Architecture:
    """Return the architecture called `name`, if there is a vocabulary for `data`.

    Raises:
        UnknownModelError: no architecture or no vocabulary has the name.
    """
    if name not in ARCHITECTURES:
        raise UnknownModelError(f"no tagger is called {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    if data not in TAGS:
        raise UnknownModelError(f"no tag vocabulary is called {data!r}; choose one of {', '.join(TAGS)}")
    return ARCHITECTURES[name]


def load_published(model: Model, path: Path, device: torch.device | str) -> Tagger:
    """Load the tagger that `model` describes from a safetensors file.

    Raises:
        InvalidWeightsError: the file holds another model's weights.
    """
    from safetensors.torch import load_file

    return from_state_dict(model.name, str(model.data), load_file(path), fingerprint(path)).to(device)


def shapes_of(model: Model) -> dict[str, tuple[int, ...]] | None:
    """Return names and shapes of the weights of `model`; None where TagBox has no network that runs it."""
    return expected_shapes(model.name, str(model.data)) if model.name in ARCHITECTURES else None


def expected_shapes(name: str, data: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all that a checkpoint of this tagger holds.

    Raises:
        UnknownModelError: there is no such tagger.
    """
    return dict(_shapes(name, data))


def from_state_dict(name: str, data: str, state: Mapping[str, Tensor], weights_hash: str) -> Tagger:
    """Build a tagger with the weights of a published checkpoint, on the CPU.

    Args:
        name: the architecture's.
        data: what it was trained on.
        state: the checkpoint, with names and shapes exactly as published; it is copied.
        weights_hash: SHA-256 of the weights, for manifests.

    Raises:
        UnknownModelError: there is no such tagger.
        InvalidWeightsError: names or shapes are not this one's, values are not finite, or it was trained on a
            spectrogram that is not computed here.
    """
    architecture = find_architecture(name, data)
    identifier = str(TaggerName(data, name))
    check_state_dict(state, expected_shapes(name, data), "this checkpoint", identifier)
    frontend = architecture.frontend
    if isinstance(frontend, CheckpointFrontEnd):
        frontend = frontend.from_checkpoint(state)
    network = _on_meta(architecture, data)
    weights = {
        key: _copy_weight(state[key], value.dtype, architecture.memory_format)
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False)
    return Tagger(
        name, data, architecture.rate, architecture.window, TAGS[data], frontend, network, weights_hash
    )


@lru_cache(maxsize=64)
def _shapes(name: str, data: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    architecture = find_architecture(name, data)
    frontend = architecture.frontend
    stored = frontend.stored_shapes() if isinstance(frontend, CheckpointFrontEnd) else {}
    network = _on_meta(architecture, data).state_dict()
    return (*stored.items(), *((key, tuple(value.shape)) for key, value in network.items()))


def _on_meta(architecture: Architecture, data: str) -> nn.Module:
    """Build the network without memory for its weights: drawing them at random would only cost time."""
    with torch.device("meta"):
        return architecture.variants.get(data, architecture.build)()


def _copy_weight(value: Tensor, dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
    """Copy a weight to the CPU, with subnormal numbers as zeros.

    Weight decay has driven a tenth of some published weights below 2^-126, where a CPU computes in microcode:
    with these, networks take 8 to 80 times as long. Nothing that such weights contribute reaches a logit's
    last bit.
    """
    if value.dim() != 4:
        memory_format = torch.contiguous_format
    copied = value.detach().to(device="cpu", dtype=dtype, copy=True, memory_format=memory_format)
    if copied.is_floating_point():
        copied.masked_fill_(copied.abs() < torch.finfo(dtype).tiny, 0)
    return copied
