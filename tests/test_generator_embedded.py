"""The generator that ships inside: it gives music back, and style transfer moves it."""

from pathlib import Path

import pytest
import torch

import tagbox
from tagbox import audio, models
from tagbox.generators.base import Generator
from tagbox.methods.latents import encode_padded

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LARGEST = 4_000_000  # bytes


@pytest.fixture(scope="module")
def embedded() -> Generator:
    return models.load_generator("embedded")


def snr(generator: Generator, mono: torch.Tensor, level: int) -> float:
    """Of what the codes of `level` keep, in dB."""
    with torch.no_grad():
        _, entries = generator.quantise(encode_padded(generator, mono, level), level)
        back = generator.decode(entries, level)[0, 0, : len(mono)]
    return float(10 * torch.log10(mono.square().sum() / (mono - back).square().sum()))


@pytest.mark.parametrize(("level", "least"), [(0, 18.0), (1, 8.0), (2, 2.0)])
def test_every_level_gives_music_back_through_its_codes(
    embedded: Generator, level: int, least: float
) -> None:
    ratios = []
    for name in ("duet", "band", "song"):
        recording = audio.read(EXAMPLES / name / "mixture.flac", 3, 3)
        ratios.append(snr(embedded, recording.samples.mean(dim=0), level))
    assert sum(ratios) / len(ratios) > least


def test_it_is_small_and_free(embedded: Generator) -> None:
    assert embedded.hops == (8, 32, 128)
    assert embedded.licence == "MIT"
    inside = Path(tagbox.__file__).parent / "generators" / "data" / "embedded.safetensors"
    assert inside.stat().st_size < LARGEST


def test_transfer_moves_the_music_towards_the_tag() -> None:
    recording = audio.read(EXAMPLES / "duet" / "mixture.flac", 3, 3)
    result = tagbox.transfer(recording.samples, recording.rate, tags=["guitar"], steps=8)
    heard = result.manifest["probabilities"]
    before, after = (heard[x]["mtat/pons-musicnn"]["guitar"] for x in ("mixture", "result"))
    assert after > before
    assert result.audio.shape == recording.samples.shape
    assert result.manifest["generator"]["name"] == "embedded"


def test_paper_runs_on_what_ships_inside() -> None:
    recording = audio.read(EXAMPLES / "duet" / "mixture.flac", 3, 2)
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
