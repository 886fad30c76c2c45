"""A tagger hears audio and says how likely each word of its vocabulary is.

Audio of any length is cut into windows of the length that the network was trained on; all of them go through
the network at once. Several taggers that listen together share windows and spectrograms.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from tagbox.errors import TagBoxError
from tagbox.taggers import zero_padding
from tagbox.taggers.windows import cut, hop_of

# Without gradients an hour of music need not be in memory as one batch; so many samples go at a time.
SAMPLES_AT_ONCE = 1_000_000

FIRST_NORMS = ("spec_bn", "input_norm")
"""What networks call the norm of what they hear, where they have one."""


class FrontEnd(Protocol):
    """What a network sees of the audio. Hashable, and equal front ends give equal output."""

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) to what the network's forward takes, (batch, ...)."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class TaggerOutput:
    """What a tagger heard in whole recordings.

    Attributes:
        logits: (batch, tags), the mean over windows.
        probabilities: (batch, tags), the mean over windows of each window's own.
    """

    logits: Tensor
    probabilities: Tensor


@dataclass(frozen=True, eq=False)
class Tagger:
    """A frozen network with what it takes to listen.

    Attributes:
        name: the architecture's, such as "fcn".
        data: what it was trained on: "mtat", "jamendo" or "msd".
        rate: Hz of the audio it hears.
        window: samples of one window.
        tags: the vocabulary, in the order of the outputs.
        frontend: what the network sees of the audio.
        network: in evaluation mode, without gradients of its own.
        weights_hash: SHA-256 of its weights.
    """

    name: str
    data: str
    rate: int
    window: int
    tags: tuple[str, ...]
    frontend: FrontEnd
    network: nn.Module
    weights_hash: str

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    @property
    def identifier(self) -> str:
        """The name as data/architecture."""
        return f"{self.data}/{self.name}"

    def logits(self, audio: Tensor, padding: str = "repeat", overlap: float = 0.0) -> Tensor:
        """What each window sounds like.

        Args:
            audio: (batch, samples) at `rate`, any length.
            padding: how short or left-over audio fills its window, "repeat" or "zeros".
            overlap: of windows, from 0 to below 1.

        Returns:
            (batch, windows, tags), inside the graph.

        Raises:
            TagBoxError: the audio is not (batch, samples) or is empty, or a setting is unknown.
        """
        return predict_logits([self], audio, padding, overlap)[0]

    def __call__(self, audio: Tensor, padding: str = "repeat", overlap: float = 0.0) -> TaggerOutput:
        """What the whole recordings sound like; arguments and errors as `logits`."""
        logits = self.logits(audio, padding, overlap)
        return TaggerOutput(logits.mean(dim=1), torch.sigmoid(logits).mean(dim=1))

    def to(self, device: torch.device | str) -> "Tagger":
        """The same tagger on `device`; this one stays where it is."""
        where = torch.device(device)
        if self.device == where:
            return self
        return replace(self, network=copy.deepcopy(self.network).to(where))

    def to_precision(self, dtype: torch.dtype) -> "Tagger":
        """Return the same tagger, its network computing in `dtype`; audio, front end and answers stay float32."""
        if dtype == [*self.network.parameters()][-1].dtype:
            return self
        network = copy.deepcopy(self.network).to(dtype)
        for name in FIRST_NORMS:
            if hasattr(network, name):
                norm = copy.deepcopy(getattr(self.network, name))
                setattr(network, name, Float32Norm(norm, dtype))
        return replace(self, network=network)


class Float32Norm(nn.Module):
    """A first norm in float32, for what comes after it in `dtype`.

    Decibels span a hundred and more, so bfloat16 would round them to half a dB; normed, to a hundredth of
    their spread.
    """

    def __init__(self, norm: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = norm
        self._dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed.to(self._dtype)


def _heard_in(tagger: Tagger) -> torch.dtype:
    """The precision in which a network takes what it hears."""
    return next(tagger.network.parameters()).dtype


def predict_logits(
    taggers: Sequence[Tagger], audio: Tensor, padding: str = "repeat", overlap: float = 0.0
) -> list[Tensor]:
    """All taggers' answers to the same audio; what two of them would both compute is computed once.

    Args:
        taggers: all at one rate.
        audio: (batch, samples) at that rate, any length, on the taggers' device.
        padding: how short or left-over audio fills its window, "repeat" or "zeros".
        overlap: of windows, from 0 to below 1.

    Returns:
        For each tagger its logits (batch, windows, tags), inside the graph.

    Raises:
        TagBoxError: the taggers' rates differ, the audio is not (batch, samples) or is empty, or a setting is
            unknown.
    """
    rates = sorted({tagger.rate for tagger in taggers})
    if len(rates) > 1:
        raise TagBoxError(f"taggers that listen together need one rate; these have {rates} Hz")
    answers: dict[int, Tensor] = {}
    for window in sorted({tagger.window for tagger in taggers}):
        alike = {i: tagger for i, tagger in enumerate(taggers) if tagger.window == window}
        windows = cut(audio, window, hop_of(window, overlap), padding)
        if padding == "zeros":
            alike = {i: _skip_padding(tagger, audio.shape[1]) for i, tagger in alike.items()}
        heard = _forward(list(alike.values()), windows.flatten(0, 1))
        for i, logits in zip(alike, heard, strict=True):
            answers[i] = logits.reshape(*windows.shape[:2], -1)
    return [answers[i] for i in range(len(taggers))]


def _skip_padding(tagger: Tagger, samples: int) -> Tagger:
    """The tagger for windows in which zeros follow the first `samples`, if that makes it faster."""
    shorter = zero_padding.shortened(tagger.frontend, tagger.network, samples, tagger.window)
    return tagger if shorter is None else replace(tagger, frontend=shorter[0], network=shorter[1])


def _forward(taggers: Sequence[Tagger], windows: Tensor) -> list[Tensor]:
    """Logits (windows, tags) for each of `taggers`, all of which hear `windows` (windows, samples)."""
    graph = torch.is_grad_enabled() and windows.requires_grad
    at_once = len(windows) if graph else max(1, SAMPLES_AT_ONCE // windows.shape[1])
    heard: list[list[Tensor]] = [[] for _ in taggers]
    for part in torch.split(windows, at_once):
        seen: dict[FrontEnd, Tensor] = {}
        for answers, tagger in zip(heard, taggers, strict=True):
            if tagger.frontend not in seen:
                seen[tagger.frontend] = tagger.frontend(part)
            spectrogram = seen[tagger.frontend]
            answers.append(tagger.network(spectrogram.to(_heard_in(tagger))).to(spectrogram.dtype))
    return [torch.cat(answers) if len(answers) > 1 else answers[0] for answers in heard]
