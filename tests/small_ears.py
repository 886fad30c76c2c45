"""Small networks of the real classes with random weights, as snapshots in the cache of the hub; a check."""

from pathlib import Path

import pytest
import torch
from examples.small_clap import new_snapshot, save_letters_tokeniser, spread_weights
from torch import Tensor

from tagbox.taggers.tagger import Tagger
from tagbox.tags.audioset import TAGS


def save_small_frames(hub_folder: Path, address: str) -> Path:
    """Save a small PE-A-Frame into the cache `hub_folder`; return its folder."""
    from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioFrameLevelModel

    folder = new_snapshot(hub_folder, address)
    torch.manual_seed(0)
    text = {
        "model_type": "modernbert",
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 130,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
    }
    codec = {"encoder_hidden_size": 2, "hidden_size": 8, "codebook_dim": 8, "sampling_rate": 48_000}
    heard = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
        "dac_config": {"model_type": "dac", "downsampling_ratios": [2, 8, 10, 12], **codec},
    }
    network = PeAudioFrameLevelModel(PeAudioConfig(text_config=text, audio_config=heard))
    spread_weights(network)
    with torch.no_grad():
        network.text_audio_logit_scale.fill_(0.3)
        network.text_audio_logit_bias.fill_(-1.0)
    network.save_pretrained(folder)
    PeAudioFeatureExtractor().save_pretrained(folder)
    save_letters_tokeniser(folder)
    return folder


def save_small_transformer(hub_folder: Path, address: str, labels: tuple[str, ...] = TAGS) -> Path:
    """Save a small Audio Spectrogram Transformer into the cache `hub_folder`; return its folder."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    folder = new_snapshot(hub_folder, address)
    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        frequency_stride=16,
        time_stride=16,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    network = ASTForAudioClassification(config)
    spread_weights(network)
    network.save_pretrained(folder)
    ASTFeatureExtractor().save_pretrained(folder)
    return folder


def assert_gradient(tagger: Tagger, sound: Tensor, direction: Tensor, step: float) -> float:
    """Compare the first logit's slope along `direction` with finite differences, in float64; return it."""
    tagger.network.double()
    leaf = sound.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(tagger.logits(leaf)[0, 0, 0], leaf)
    slope = float((gradient * direction).sum())
    with torch.no_grad():
        ahead, behind = (tagger.logits(sound + sign * step * direction)[0, 0, 0] for sign in (1, -1))
    assert float(ahead - behind) / (2 * step) == pytest.approx(slope, rel=1e-3)
    return slope
