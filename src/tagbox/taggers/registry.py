"""Every tagger that TagBox knows by name. A new one is a file with its network and one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from tagbox.errors import TagBoxError
from tagbox.taggers.frontends import HarmonicSpectrogram, LogMel, Waveform
from tagbox.taggers.frontends_pons import PonsMel
from tagbox.taggers.networks import musicnn
from tagbox.taggers.networks.attention import AttentionCNN
from tagbox.taggers.networks.crnn import CRNN
from tagbox.taggers.networks.fcn import FCN
from tagbox.taggers.networks.harmonic_cnn import HarmonicCNN
from tagbox.taggers.networks.listener import WINDOW, LevelledMel, Listener
from tagbox.taggers.networks.pons import PonsMusicnn, build_vgg
from tagbox.taggers.networks.sample_cnn import ExcitedSampleCNN, SampleCNN
from tagbox.taggers.networks.short_chunk_cnn import ShortChunkCNN, ShortChunkResNet
from tagbox.taggers.tagger import FrontEnd, Tagger
from tagbox.tags.vocabularies import TAGS

RATE = 16000


@runtime_checkable
class Stored(Protocol):
    """A front end of which published checkpoints keep a part."""

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of that part."""
        ...

    def restored(self, state: Mapping[str, Tensor]) -> Self:
        """The front end that the checkpoint was trained with; refuses what we do not compute."""
        ...


@dataclass(frozen=True)
class Architecture:
    """How to make a tagger of published weights.

    Attributes:
        build: the data that it was trained on to a network whose forward gives logits.
        frontend: what the network sees.
        window: samples of one window, at 16 kHz.
        order: of two-dimensional convolutions' weights in memory. With channels last they run up to twice as
            fast on a CPU, and round a little more.
    """

    build: Callable[[str], nn.Module]
    frontend: FrontEnd
    window: int
    order: torch.memory_format = torch.channels_last


ARCHITECTURES: dict[str, Architecture] = {
    "fcn": Architecture(lambda data: FCN(), LogMel(96), 464000),
    "musicnn": Architecture(musicnn.build, LogMel(96), 48000),
    "crnn": Architecture(lambda data: CRNN(), LogMel(96), 464000),
    "sample": Architecture(lambda data: SampleCNN(), Waveform(), 59049),
    "se": Architecture(lambda data: ExcitedSampleCNN(), Waveform(), 59049),
    "short": Architecture(lambda data: ShortChunkCNN(), LogMel(128), 59049),
    "short_res": Architecture(lambda data: ShortChunkResNet(), LogMel(128), 59049),
    "attention": Architecture(lambda data: AttentionCNN(), LogMel(128), 240000),
    # Parity leaves this one no room for the rounding of channels last: bands at -100 dB make large sums.
    "hcnn": Architecture(
        lambda data: HarmonicCNN(), HarmonicSpectrogram(), 80000, order=torch.contiguous_format
    ),
    "pons-musicnn": Architecture(lambda data: PonsMusicnn(), PonsMel(), 48128),
    "pons-vgg": Architecture(build_vgg, PonsMel(), 48128),
    "listener": Architecture(lambda data: Listener(), LevelledMel(), WINDOW),
}


def find_architecture(name: str, data: str) -> Architecture:
    """The architecture called `name`, if there is one and there are words for `data`.

    Raises:
        TagBoxError: no architecture or no vocabulary is called so.
    """
    if name not in ARCHITECTURES:
        raise TagBoxError(f"no tagger is called {name!r}; choose one of {', '.join(ARCHITECTURES)}")
    if data not in TAGS:
        raise TagBoxError(f"no tag vocabulary is called {data!r}; choose one of {', '.join(TAGS)}")
    return ARCHITECTURES[name]


@lru_cache(maxsize=64)
def _shapes(name: str, data: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    architecture = find_architecture(name, data)
    stored = architecture.frontend.stored_shapes() if isinstance(architecture.frontend, Stored) else {}
    network = _on_meta(architecture, data).state_dict()
    return (*stored.items(), *((key, tuple(value.shape)) for key, value in network.items()))


def expected_shapes(name: str, data: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all that a checkpoint of this tagger must hold, and nothing else.

    Raises:
        TagBoxError: there is no such tagger.
    """
    return dict(_shapes(name, data))


def from_state_dict(name: str, data: str, state: Mapping[str, Tensor], weights_hash: str) -> Tagger:
    """A tagger with the weights of a published checkpoint, on the CPU.

    Args:
        name: the architecture's.
        data: what it was trained on.
        state: the checkpoint, by names and shapes exactly as published; it is copied.
        weights_hash: SHA-256 of the weights, to be told in manifests.

    Raises:
        TagBoxError: there is no such tagger, names or shapes are not this one's, values are not finite, or it
            was trained on a spectrogram that we do not compute.
    """
    architecture = find_architecture(name, data)
    _check(f"{data}/{name}", state, expected_shapes(name, data))
    frontend = architecture.frontend
    if isinstance(frontend, Stored):
        frontend = frontend.restored(state)
    network = _on_meta(architecture, data)
    own = {key: _own(state[key], value, architecture.order) for key, value in network.state_dict().items()}
    network.load_state_dict(own, assign=True)
    network.eval().requires_grad_(False)
    return Tagger(name, data, RATE, architecture.window, TAGS[data], frontend, network, weights_hash)


def _on_meta(architecture: Architecture, data: str) -> nn.Module:
    """The network without memory for its weights: drawing them at random would only cost time."""
    with torch.device("meta"):
        return architecture.build(data)


def _own(value: Tensor, like: Tensor, order: torch.memory_format) -> Tensor:
    if value.dim() != 4:
        order = torch.contiguous_format
    return value.detach().to(device="cpu", dtype=like.dtype, copy=True, memory_format=order)


def _check(what: str, state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a checkpoint that is not this tagger's, by the first names that show it."""
    missing = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    if missing or extra:
        told = [f"without {_first(missing)}"] * bool(missing) + [f"with {_first(extra)}"] * bool(extra)
        raise TagBoxError(
            f"these are not the weights of {what}: {' and '.join(told)}; use the published file"
        )
    for key, shape in expected.items():
        if tuple(state[key].shape) != shape:
            raise TagBoxError(
                f"these are not the weights of {what}: {key} has the shape {tuple(state[key].shape)} "
                f"where {shape} belongs; use the published file"
            )
        if state[key].is_floating_point() and not torch.isfinite(state[key]).all():
            raise TagBoxError(f"the weights of {what} are damaged: {key} is not finite; pull them again")


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
