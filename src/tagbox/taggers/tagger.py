"""Taggers: from audio to the probability of each tag of a vocabulary.

Audio of any length is cut into windows of the length that the network was trained on, and all windows go
through the network at once. Several taggers of the same audio share windows and spectrograms.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.taggers import zero_padding
from tagbox.taggers.names import TaggerName
from tagbox.taggers.windows import cut_windows, hop_length

SAMPLES_PER_BATCH = 1_000_000
"""Samples that go through a network at a time where no gradient is needed: an hour of music in one batch
would fill the memory."""

INPUT_LAYERS = ("spec_bn", "input_norm", "waveform_encoder")
"""The names of a network's first layer, where its input needs the full precision: decibels, samples."""


class FrontEnd(Protocol):
    """Transforms audio to a network's input. Hashable; equal front ends give equal output."""

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to what the network's forward takes, (batch, ...)."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class TaggerOutput:
    """A tagger's predictions for whole recordings.

    Attributes:
        logits: (batch, tags), the mean over windows.
        probabilities: (batch, tags), the mean over windows of each window's own.
    """

    logits: Tensor
    probabilities: Tensor


@dataclass(frozen=True, eq=False)
class Tagger:
    """A frozen network, its front end, and its vocabulary.

    Attributes:
        name: the architecture's, such as "fcn".
        data: what it was trained on: "mtat", "jamendo", "msd" or "rendered".
        rate: sample rate of the audio, Hz.
        window: samples of one window.
        tags: the vocabulary, in the order of the outputs.
        frontend: transforms audio to the network's input.
        network: in evaluation mode, with frozen weights.
        weights_hash: SHA-256 of its weights.
        hop: samples from one prediction to the next, where the network predicts several times in a window:
            its output is then (windows, window // hop, tags). The window unless given, for (windows, tags).
    """

    name: str
    data: str
    rate: int
    window: int
    tags: tuple[str, ...]
    frontend: FrontEnd
    network: nn.Module
    weights_hash: str
    hop: int | None = None

    def __post_init__(self) -> None:
        if self.window % self.prediction_samples:
            raise TagBoxError(
                f"{self.identifier} predicts every {self.hop} samples, which do not divide its window of "
                f"{self.window}"
            )

    @property
    def prediction_samples(self) -> int:
        """Samples from one prediction to the next, where windows do not overlap."""
        return self.hop or self.window

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        weight = self._first_weight()
        return torch.device("cpu") if weight is None else weight.device

    @property
    def identifier(self) -> str:
        """The name as data/architecture."""
        return str(TaggerName(self.data, self.name))

    @property
    def input_dtype(self) -> torch.dtype:
        """The precision of the network's input. Later layers may compute in another (see `Float32Layer`)."""
        weight = self._first_weight()
        return torch.float32 if weight is None else weight.dtype

    def logits(self, audio: Tensor, padding: str = "repeat", overlap: float = 0.0) -> Tensor:
        """Predict the logits of every window.

        Args:
            audio: (batch, samples) at `rate`, any length.
            padding: how short or left-over audio fills its window, "repeat" or "zeros".
            overlap: of windows, from 0 to below 1.

        Returns:
            (batch, predictions, tags), inside the graph; there is a prediction for each window, or several.

        Raises:
            TagBoxError: the audio is not (batch, samples) or is empty, or a setting is unknown.
        """
        return predict_logits([self], audio, padding, overlap)[0]

    def __call__(self, audio: Tensor, padding: str = "repeat", overlap: float = 0.0) -> TaggerOutput:
        """Predict the tags of whole recordings; arguments and errors as for `logits`."""
        logits = self.logits(audio, padding, overlap)
        return TaggerOutput(logits.mean(dim=1), torch.sigmoid(logits).mean(dim=1))

    def to(self, device: torch.device | str) -> "Tagger":
        """Return the same tagger on `device`; this one stays where it is."""
        device = torch.device(device)
        if self.device == device:
            return self
        return replace(self, network=copy.deepcopy(self.network).to(device))

    def to_precision(self, dtype: torch.dtype) -> "Tagger":
        """Return the same tagger with its network in `dtype`; audio, front end and logits stay float32."""
        weights = [*self.network.parameters()]
        if not weights or dtype == weights[-1].dtype:
            return self
        network = copy.deepcopy(self.network).to(dtype)
        for name in INPUT_LAYERS:
            if hasattr(network, name):
                layer = copy.deepcopy(getattr(self.network, name))
                setattr(network, name, Float32Layer(layer, dtype))
        return replace(self, network=network)

    def _first_weight(self) -> Tensor | None:
        """Return a weight or, of a network that computes by rule, a constant; None where it has neither."""
        return next(itertools.chain(self.network.parameters(), self.network.buffers()), None)


class Float32Layer(nn.Module):
    """The layer on a network's input, in float32, while the layers after it compute in `dtype`.

    Decibels span a hundred and more, so bfloat16 would round them to half a dB; normalised, to a hundredth of
    their spread.
    """

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = layer
        self._dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out.to(self._dtype)


def predict_logits(
    taggers: Sequence[Tagger],
    audio: Tensor,
    padding: str = "repeat",
    overlap: float = 0.0,
    rate: int | None = None,
) -> list[Tensor]:
    """Predict the logits of all taggers for the same audio; spectrograms that they share are computed once.

    Args:
        taggers: any.
        audio: (batch, samples), any length, on the taggers' device.
        padding: how short or left-over audio fills its window, "repeat" or "zeros".
        overlap: of windows, from 0 to below 1.
        rate: of the audio, Hz; the taggers', which is then the same for all, unless given.

    Returns:
        For each tagger its logits (batch, predictions, tags), inside the graph.

    Raises:
        TagBoxError: the taggers' rates differ and none is given, the audio is not (batch, samples) or is
            empty, or a setting is unknown.
    """
    rates = sorted({tagger.rate for tagger in taggers})
    if len(rates) > 1 and rate is None:
        raise TagBoxError(f"taggers at different rates ({rates} Hz) need to know the audio's; give rate")
    logits_by_position: dict[int, Tensor] = {}
    for own_rate in rates:
        resampled = audio if rate is None else resample(audio, rate, own_rate)
        of_rate = {i: tagger for i, tagger in enumerate(taggers) if tagger.rate == own_rate}
        logits_by_position |= _predict_at_own_rate(of_rate, resampled, padding, overlap)
    return [logits_by_position[i] for i in range(len(taggers))]


def _predict_at_own_rate(
    taggers: Mapping[int, Tagger], audio: Tensor, padding: str, overlap: float
) -> dict[int, Tensor]:
    """Predict the logits of `taggers`, by position, for audio (batch, samples) at their rate."""
    logits_by_position: dict[int, Tensor] = {}
    for window in sorted({tagger.window for tagger in taggers.values()}):
        same_window = {i: tagger for i, tagger in taggers.items() if tagger.window == window}
        windows = cut_windows(audio, window, hop_length(window, overlap), padding)
        if padding == "zeros":
            same_window = {i: _skip_padding(tagger, audio.shape[1]) for i, tagger in same_window.items()}
        predictions = _forward(list(same_window.values()), windows.flatten(0, 1))
        for i, logits in zip(same_window, predictions, strict=True):
            # (batch windows, tags), or (batch windows, predictions of each, tags).
            logits_by_position[i] = logits.reshape(windows.shape[0], -1, logits.shape[-1])
    return logits_by_position


def _skip_padding(tagger: Tagger, samples: int) -> Tagger:
    """Return an equal tagger for windows with `samples` before zeros, faster where it supports that."""
    faster = zero_padding.skip_padding(tagger.frontend, tagger.network, samples, tagger.window)
    return tagger if faster is None else replace(tagger, frontend=faster[0], network=faster[1])


def _forward(taggers: Sequence[Tagger], windows: Tensor) -> list[Tensor]:
    """Predict the logits of each of `taggers` for `windows` (windows, samples)."""
    needs_gradient = torch.is_grad_enabled() and windows.requires_grad
    batch = len(windows) if needs_gradient else max(1, SAMPLES_PER_BATCH // windows.shape[1])
    predictions: list[list[Tensor]] = [[] for _ in taggers]
    for part in torch.split(windows, batch):
        spectrograms: dict[FrontEnd, Tensor] = {}
        for own, tagger in zip(predictions, taggers, strict=True):
            if tagger.frontend not in spectrograms:
                spectrograms[tagger.frontend] = tagger.frontend(part)
            spectrogram = spectrograms[tagger.frontend]
            own.append(tagger.network(spectrogram.to(tagger.input_dtype)).to(spectrogram.dtype))
    return [torch.cat(own) if len(own) > 1 else own[0] for own in predictions]
