"""CLAP as a tagger of any words: how well texts describe a sound, compared with each other.

Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
augmentation", ICASSP 2023. The networks are those of the library transformers; the front end is ours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.errors import InvalidWeightsError
from tagbox.plugins.descriptions import Model
from tagbox.taggers.comparison import check_texts, log_odds_of_shares
from tagbox.taggers.hub_models import frozen, load_extractor, load_network, tokenise, tried, weights_hash
from tagbox.taggers.precise_frontends import ClapMel
from tagbox.taggers.tagger import Tagger

TEMPLATE = "This is a sound of {}."
"""The sentence of the paper's zero-shot experiments; most texts are single words."""
UNRELATED = ("a barking dog", "a violin", "silence", "a crowd that applauds")
MAX_SIMILARITY = 0.99
"""Of unrelated texts, as cosines. Models that work are at 0.2 to 0.3; laion/larger_clap_music, whose weights
were converted wrongly, is at 0.999 (https://github.com/embeddings-benchmark/mteb/issues/5069)."""


class ClapHearing(nn.Module):
    """The half of CLAP that hears, and what the other half makes of some texts.

    Attributes:
        input_norm: the batch norm of the encoder's input, first so that it can stay in float32.
    """

    texts: Tensor
    scale: Tensor

    def __init__(self, encoder: Any, projection: nn.Module, texts: Tensor, scale: Tensor) -> None:
        """Take the networks of a `transformers.ClapModel`.

        Args:
            encoder: its audio model.
            projection: of what the encoder returns to the space of texts.
            texts: of length one in that space, (texts, dimensions).
            scale: by which similarities are multiplied, a scalar.
        """
        super().__init__()
        self.input_norm = BandNorm(encoder.audio_encoder.batch_norm)
        encoder.audio_encoder.batch_norm = nn.Identity()
        self.encoder = encoder
        self.projection = projection
        self.register_buffer("texts", texts)
        self.register_buffer("scale", scale)

    def similarities(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 1, frames, bands) to CLAP's own logits, (batch, texts)."""
        # No window is longer than what the model takes: fusion, where a model has it, is for those.
        longer = torch.zeros(len(spectrogram), 1, dtype=torch.bool, device=spectrogram.device)
        heard = self.encoder(input_features=self.input_norm(spectrogram), is_longer=longer)
        embedded = functional.normalize(self.projection(heard.pooler_output), dim=-1)
        return self.scale * embedded @ self.texts.T

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 1, frames, bands) to the log odds of each text's share, (batch, texts)."""
        return log_odds_of_shares(self.similarities(spectrogram))


class BandNorm(nn.Module):
    """A frozen batch norm over the bands of a spectrogram, as a factor and a summand for each.

    The library transposes the bands to the place of channels. PyTorch's batch norm then takes the memory for
    channels last, and its gradient in evaluation mode is wrong (seen in version 2.13).
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        with torch.no_grad():
            factor = norm.weight / torch.sqrt(variance + norm.eps)
            self.factor = nn.Parameter(factor, requires_grad=False)
            self.summand = nn.Parameter(norm.bias - mean * factor, requires_grad=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Normalise (batch, 1, frames, bands)."""
        return spectrogram * self.factor + self.summand


def load(model: Model, path: Path, device: torch.device | str, words: Sequence[str]) -> Tagger:
    """Load the tagger of `words` from a folder of files.

    Raises:
        TagBoxError: there is a single word.
        InvalidWeightsError: the files are damaged, another model's, or texts are all alike to the model.
    """
    texts = tuple(words)
    check_texts(texts, model.identifier)
    network = load_network("ClapModel", path)
    extractor = load_extractor("ClapFeatureExtractor", path)
    with torch.no_grad():
        tokens = tokenise(path, [TEMPLATE.format(text) for text in (*texts, *UNRELATED)])
        embedded, unrelated = network.get_text_features(**tokens).pooler_output.split(
            [len(texts), len(UNRELATED)]
        )
    check_told_apart(unrelated, model.identifier)
    hearing = ClapHearing(
        network.audio_model, network.audio_projection, embedded, network.logit_scale_a.detach().exp()
    )
    frontend = ClapMel(
        extractor.feature_size,
        extractor.sampling_rate,
        extractor.fft_window_size,
        extractor.hop_length,
        extractor.frequency_min,
        extractor.frequency_max,
        "htk" if extractor.truncation == "fusion" else "slaney",
    )

    def make() -> Tagger:
        return Tagger(
            model.name,
            str(model.data),
            extractor.sampling_rate,
            extractor.nb_max_samples,
            texts,
            frontend,
            frozen(hearing),
            weights_hash(path),
        )

    return tried(make, path, "ClapModel").to(device)


def check_told_apart(embedded: Tensor, name: str) -> None:
    """Check that a model tells unrelated texts apart, by what it makes of them, (texts, dimensions).

    Raises:
        InvalidWeightsError: it does not, so that whatever it hears means nothing.
    """
    unit = functional.normalize(embedded, dim=-1)
    count = len(unit)
    mean = float((unit @ unit.T).sum() - count) / (count * (count - 1))
    if mean > MAX_SIMILARITY:
        raise InvalidWeightsError(
            f"texts are all alike to {name} (similarity {mean:.3f}), so it cannot say which is heard; take "
            "another model of text, such as clap/larger-general"
        )
