"""PE-A-Frame as a tagger of any words: how well texts describe each 40 ms of a sound, beside each other.

Vyas et al., "Pushing the frontier of audiovisual perception with large-scale multimodal correspondence
learning", 2025. The networks are those of the library transformers. There the codec that encodes the waveform
runs without a gradient; here the same layers are called with one, so that words can steer as well.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tagbox.plugins.descriptions import Model
from tagbox.taggers.comparison import check_texts, log_odds_of_shares
from tagbox.taggers.frontends import Waveform
from tagbox.taggers.hub_models import frozen, load_extractor, load_network, tokenise, tried, weights_hash
from tagbox.taggers.tagger import Tagger

WINDOW_SECONDS = 10


class FrameHearing(nn.Module):
    """The half of PE-A-Frame that hears, and what the other half makes of some texts.

    Attributes:
        waveform_encoder: from samples to codec features, first so that it can stay in float32.
    """

    texts: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, network: Any, texts: Tensor) -> None:
        """Take the networks of a `transformers.PeAudioFrameLevelModel`.

        Args:
            network: it.
            texts: in the space of its heads, (texts, dimensions).
        """
        super().__init__()
        embedder = network.audio_encoder.embedder
        self.waveform_encoder = nn.Sequential(AsOneChannel(), embedder.dac_encoder, embedder.bottleneck)
        network.audio_encoder.embedder = ProjectedFeatures(embedder.data_proj)
        self.encoder = network.audio_encoder
        self.head = network.audio_head
        self.register_buffer("texts", texts)
        self.register_buffer("scale", network.text_audio_logit_scale.detach())
        self.register_buffer("bias", network.text_audio_logit_bias.detach())

    def similarities(self, audio: Tensor) -> Tensor:
        """Map (batch, samples) to the network's own logits, (batch, frames, texts)."""
        features = self.waveform_encoder(audio).transpose(1, 2)
        embedded = self.head(self.encoder(input_values=features).last_hidden_state)
        similarities: Tensor = embedded @ self.texts.T * self.scale + self.bias
        return similarities

    def forward(self, audio: Tensor) -> Tensor:
        """Map (batch, samples) to the log odds of each text's share, (batch, frames, texts)."""
        return log_odds_of_shares(self.similarities(audio))


class AsOneChannel(nn.Module):
    """Gives audio the dimension of channels that convolutions take."""

    def forward(self, audio: Tensor) -> Tensor:
        """Map (batch, samples) to (batch, 1, samples)."""
        return audio[:, None]


class ProjectedFeatures(nn.Module):
    """The part of the library's embedder that follows the codec."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, features: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Map codec features (batch, frames, dimensions) to the transformer's input."""
        return self.projection(features), padding_mask


def load(model: Model, path: Path, device: torch.device | str, words: Sequence[str]) -> Tagger:
    """Load the tagger of `words` from a folder of files.

    Raises:
        TagBoxError: there is a single word.
        InvalidWeightsError: the files are damaged, or another model's.
    """
    texts = tuple(words)
    check_texts(texts, model.identifier)
    network = load_network("PeAudioFrameLevelModel", path)
    extractor = load_extractor("PeAudioFeatureExtractor", path)
    with torch.no_grad():
        heard = network.text_model(**tokenise(path, texts), output_hidden_states=True)
        embedded = network.text_audio_head(heard.hidden_states[-1][:, 0])
    hearing = frozen(FrameHearing(network, embedded))

    def make() -> Tagger:
        hop = extractor.hop_length
        return Tagger(
            model.name,
            str(model.data),
            extractor.sampling_rate,
            WINDOW_SECONDS * extractor.sampling_rate // hop * hop,
            texts,
            Waveform(),
            hearing,
            weights_hash(path),
            hop,
        )

    return tried(make, path, "PeAudioFrameLevelModel").to(device)
