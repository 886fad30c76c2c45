"""Make a small CLAP of the real classes with random weights, as a snapshot in the cache of the hub.

It hears nothing: what it answers means nothing. It shows the path from a sentence to a result where there is
no network, and tests compare its numbers with the library's own.
"""

import string
from pathlib import Path
from typing import Any

import torch

from tagbox.weights import hub

REPOSITORY = "examples/small-random-clap"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def save_small_clap(hub_folder: Path, address: str = f"hf:{REPOSITORY}", fused: bool = False) -> str:
    """Save the model into the cache `hub_folder` (HF_HOME/hub), and return its address with its commit.

    Args:
        hub_folder: the cache.
        address: under which the model is to be found.
        fused: whether it is of the kind that fuses pieces of longer recordings.
    """
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    folder = new_snapshot(hub_folder, address)
    torch.manual_seed(0)
    config = ClapConfig(
        text_config={
            "vocab_size": 300,
            "hidden_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 130,
            "projection_dim": 16,
        },
        audio_config={
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [1, 2],
            "patch_stride": [8, 8],
            "patch_size": [8, 8],
            "num_hidden_layers": 2,
            "projection_dim": 16,
            "enable_fusion": fused,
            "fusion_type": "aff_2d" if fused else None,
        },
        projection_dim=16,
    )
    network = ClapModel(config)
    spread_weights(network, 1.5)
    with torch.no_grad():
        norm: Any = network.audio_model.audio_encoder.batch_norm
        norm.running_mean.fill_(-50.0)
        norm.running_var.fill_(400.0)
    network.save_pretrained(folder)
    extractor = ClapFeatureExtractor(
        frequency_min=50, frequency_max=14_000, truncation="fusion" if fused else "rand_trunc"
    )
    extractor.save_pretrained(folder)
    save_letters_tokeniser(folder)
    return str(hub.Address.parse(address).at(folder.name))


def spread_weights(network: Any, gain: float = 1.0) -> None:
    """Draw the weights of `network` again: freshly made networks are close to constant."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(std=gain / weight[0].numel() ** 0.5)


def new_snapshot(hub_folder: Path, address: str) -> Path:
    """Make the folder in which the hub's cache keeps the commit that `address` names, or a made-up one."""
    parsed = hub.Address.parse(address)
    kept = hub_folder / f"models--{parsed.repository.replace('/', '--')}"
    is_commit = len(parsed.revision) == len(COMMIT)
    commit = parsed.revision if is_commit else COMMIT
    folder = kept / "snapshots" / commit
    folder.mkdir(parents=True)
    branch = kept / "refs" / ("main" if is_commit else parsed.revision)
    branch.parent.mkdir(parents=True)
    branch.write_text(commit)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nRandom weights.\n")
    return folder


def save_letters_tokeniser(folder: Path) -> None:
    """Save a tokeniser whose tokens are letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *string.ascii_lowercase, *string.digits, " ", ".", ",", "-"]
    tokeniser = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    tokeniser.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokeniser.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    saved: Any = PreTrainedTokenizerFast
    saved(
        tokenizer_object=tokeniser,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=128,
    ).save_pretrained(folder)
