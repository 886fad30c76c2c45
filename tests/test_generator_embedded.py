"""The generator in the package: it reconstructs music, and style transfer steers it."""

from pathlib import Path

import pytest
import torch

import tagbox
from tagbox import audio, models
from tagbox.generators.base import Generator
from tagbox.methods.latents import encode_padded

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MAX_BYTES = 4_000_000


@pytest.fixture(scope="module")
def embedded() -> Generator:
    return models.load_generator("embedded")


@pytest.fixture(scope="module")
def excerpts() -> list[torch.Tensor]:
    """Three mono recordings, 3 s each."""
    files = (EXAMPLES / name / "mixture.flac" for name in ("duet", "band", "song"))
    return [audio.read(file, 3, 3).samples.mean(dim=0) for file in files]


def snr(generator: Generator, mono: torch.Tensor, level: int) -> float:
    """Measure the signal-to-noise ratio of a reconstruction through the codes of `level`, in dB."""
    with torch.no_grad():
        _, entries = generator.quantise(encode_padded(generator, mono, level), level)
        reconstruction = generator.decode(entries, level)[0, 0, : len(mono)]
    return float(10 * torch.log10(mono.square().sum() / (mono - reconstruction).square().sum()))


@pytest.mark.parametrize(("level", "least"), [(0, 18.0), (1, 8.0), (2, 2.0)])
def test_every_level_reconstructs_music_through_its_codes(
    embedded: Generator, excerpts: list[torch.Tensor], level: int, least: float
) -> None:
    ratios = [snr(embedded, mono, level) for mono in excerpts]
    assert sum(ratios) / len(ratios) > least


def test_it_is_small_and_free(embedded: Generator) -> None:
    assert embedded.hops == (8, 32, 128)
    assert embedded.licence == "MIT"
    file = Path(tagbox.__file__).parent / "generators" / "data" / "embedded.safetensors"
    assert file.stat().st_size < MAX_BYTES


def test_transfer_moves_the_music_towards_the_tag() -> None:
    recording = audio.read(EXAMPLES / "duet" / "mixture.flac", 3, 2)
    result = tagbox.transfer(recording.samples, recording.rate, tags=["guitar"], steps=3)
    probabilities = result.manifest["probabilities"]
    before, after = (probabilities[x]["mtat/pons-musicnn"]["guitar"] for x in ("mixture", "result"))
    assert after > before
    assert result.audio.shape == recording.samples.shape
    assert result.manifest["generator"]["name"] == "embedded"


def test_the_papers_preset_runs_with_it() -> None:
    recording = audio.read(EXAMPLES / "duet" / "mixture.flac", 3, 1)
    result = tagbox.separate(
        recording.samples,
        recording.rate,
        tags=["violin"],
        preset="paper",
        generator="embedded",
        taggers=("mtat/pons-musicnn",),
        steps=3,
    )
    assert result.history.losses[0] < 0
    total = result.sources["violin"] + result.residual
    torch.testing.assert_close(total, recording.samples, atol=1e-5, rtol=0)
