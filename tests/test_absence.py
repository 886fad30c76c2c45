"""What sources are where the networks do not hear them."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tagbox
from cli_runner import run_tagbox
from tagbox import audio
from tagbox.corrections import Is, IsNot
from tagbox.methods.absence import log_odds_of_presence, silenced, still_absent, sureness
from tagbox.methods.analysis import Adjustments, Edit, Span

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SINGER, DUET = EXAMPLES / "song" / "mixture.flac", EXAMPLES / "duet" / "mixture.flac"
SECONDS = 5.0
ENTRIES = st.integers(1, 4)


def mixture(path: Path) -> Tensor:
    """Return an excerpt, (1, samples)."""
    return audio.read(path, 2.0, SECONDS).samples


def separated(samples: Tensor, words: list[str], unheard: str, **settings: Any) -> tagbox.Separation:
    return tagbox.separate(samples, audio.read(DUET).rate, words, unheard=unheard, **settings)


@given(ENTRIES, ENTRIES, ENTRIES, st.integers(0, 2**32 - 1))
def test_sureness_is_the_share_where_all_patches_claim_alike(
    classes: int, rows: int, columns: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    shares = torch.rand(classes, generator=random)
    energy = 0.1 + torch.rand(rows, columns, generator=random)
    answers = shares[:, None, None].expand(classes, rows, columns)
    # A mean of equal numbers, of at most 16 patches.
    torch.testing.assert_close(sureness(answers, energy, torch.eye(classes)), shares, rtol=1e-5, atol=1e-6)


def test_one_sure_patch_outweighs_many_that_claim_little() -> None:
    answers = torch.full((1, 10, 10), 0.01)
    doubted = sureness(answers, torch.ones(10, 10), torch.ones(1, 1))
    answers[0, 0, 0] = 1.0
    sure = sureness(answers, torch.ones(10, 10), torch.ones(1, 1))
    assert float(doubted) == pytest.approx(0.01, rel=1e-4) and float(sure) > 0.5
    predicted = torch.tensor([0.5])
    assert log_odds_of_presence(sure, predicted) > 0 > log_odds_of_presence(doubted, torch.tensor([0.01]))


def test_the_residual_takes_what_absent_sources_had() -> None:
    masks = torch.softmax(torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0)), dim=0)
    result = silenced(masks, (0, 2))
    assert not result[[0, 2]].any() and torch.equal(result[1], masks[1])
    # Sums of four float32 numbers of at most one.
    torch.testing.assert_close(result.sum(dim=0), torch.ones(5, 6), rtol=0, atol=1e-6)


def test_whoever_says_that_a_source_is_there_is_believed() -> None:
    spans = (Span(0, 0.0, 1.0, 2.0), Span(1, 0.0, 1.0, -2.0))
    edits = (Edit(2, 0.0, 1.0, 0.0, 100.0, 1.0), Edit(3, 0.0, 1.0, 0.0, 100.0, 1.0, takes=True))
    assert still_absent(range(6), Adjustments(spans=spans, edits=edits, moved={7: 4})) == (1, 3, 5)


@pytest.mark.integration
@pytest.mark.parametrize("preset", ["default", "fast"])
def test_what_is_not_heard_is_silent(preset: str) -> None:
    """A singer and a guitar; no violin."""
    samples = mixture(SINGER)
    kept = separated(samples, ["violin", "vocals"], "kept", preset=preset)
    result = separated(samples, ["violin", "vocals"], "silent", preset=preset)
    assert kept.sources["violin"].abs().max() > 0.01
    assert not result.sources["violin"].any()
    assert torch.equal(result.sources["vocals"], kept.sources["vocals"])
    # What is left of the mixture is computed in float32.
    torch.testing.assert_close(result.residual, samples - result.sources["vocals"], rtol=0, atol=1e-6)
    assert not any(result.manifest["presence"]["parts"]["violin"])


def test_what_is_heard_is_as_without_the_decision() -> None:
    results = [separated(mixture(DUET), ["violin"], each, preset="fast") for each in ("kept", "silent")]
    assert torch.equal(results[0].sources["violin"], results[1].sources["violin"])
    assert results[0].sources["violin"].any()


def test_each_segment_of_a_longer_recording_is_decided_by_itself() -> None:
    samples = torch.cat([mixture(SINGER), mixture(DUET)], dim=-1)
    result = separated(samples, ["violin"], "silent", preset="fast", segment=SECONDS, overlap=0.5)
    rate, violin = audio.read(DUET).rate, result.sources["violin"]
    # The second of three segments, of which a part has the violin, begins at 3.16 s.
    assert not violin[..., : 3 * rate].any()
    assert violin[..., 6 * rate :].square().mean() > 1e-5


def test_corrections_have_the_last_word() -> None:
    with closing(tagbox.open(mixture(SINGER), audio.read(DUET).rate, "fast", unheard="silent")) as project:
        assert project.separate(["vocals"]).sources["vocals"].any()
        # What was found out for other words is taken over, the decision is not.
        assert not project.separate(["violin"]).sources["violin"].any()
        assert not project.correct(IsNot("violin", 1.0, 2.0)).sources["violin"].any()
        assert project.correct(Is("violin", 3.0, 4.0)).sources["violin"].any()
        project.undo()
        assert not project.result.sources["violin"].any()


@pytest.mark.integration
def test_the_command_line_says_what_is_silent(tmp_path: Path) -> None:
    options = ["--preset", "fast", "--duration", "5", "--unheard", "silent"]
    words = ["--tags", "violin", "--tags", "vocals"]
    code, _, err = run_tagbox("separate", SINGER, *words, *options, "-o", tmp_path)
    assert code == 0 and "violin is not heard here" in err and "vocals is not heard" not in err
    said = run_tagbox("refine", tmp_path / "mixture", "--absent", "violin")[2]
    assert "violin is not heard here" not in said
    corrected = run_tagbox("refine", tmp_path / "mixture", "--undo", "--is", "violin:1-2")[2]
    assert "is not heard here" not in corrected
