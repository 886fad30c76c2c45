"""The Audio Spectrogram Transformer as a tagger of AudioSet's 527 words.

Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021. The network is that of the library
transformers; the front end is ours.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tagbox.errors import InvalidWeightsError
from tagbox.plugins.descriptions import Model
from tagbox.taggers.hub_models import frozen, load_extractor, load_network, tried, weights_hash
from tagbox.taggers.precise_frontends import KaldiMel
from tagbox.taggers.tagger import Tagger
from tagbox.tags.vocabularies import TAGS


class SpectrogramTransformer(nn.Module):
    """The library's network, from a spectrogram to logits."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, frames, bands) to logits (batch, tags)."""
        logits: Tensor = self.network(input_values=spectrogram).logits
        return logits


def load(model: Model, path: Path, device: torch.device | str) -> Tagger:
    """Load the tagger from a folder of files.

    Raises:
        InvalidWeightsError: the files are damaged, or the network was trained on other tags.
    """
    network = load_network("ASTForAudioClassification", path)
    tags = TAGS[str(model.data)]
    names = network.config.id2label
    if tuple(names.get(i) for i in range(len(names))) != tags:
        raise InvalidWeightsError(
            f"{model.identifier} predicts {len(names)} tags that are not those of {model.data}"
        )
    extractor = load_extractor("ASTFeatureExtractor", path)

    def make() -> Tagger:
        normalises = extractor.do_normalize
        frontend = KaldiMel(
            extractor.num_mel_bins,
            extractor.sampling_rate,
            extractor.max_length,
            extractor.mean if normalises else 0.0,
            2 * extractor.std if normalises else 1.0,
        )
        seconds = int(extractor.max_length * KaldiMel.HOP_SECONDS)
        return Tagger(
            model.name,
            str(model.data),
            extractor.sampling_rate,
            seconds * extractor.sampling_rate,
            tags,
            frontend,
            frozen(SpectrogramTransformer(network)),
            weights_hash(path),
        )

    return tried(make, path, "ASTForAudioClassification").to(device)
