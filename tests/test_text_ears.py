"""Words as text: a small random CLAP of the real classes, its numbers, and runs that it hears.

What random weights answer means nothing; that the numbers are the library's own, and that they arrive, does.
"""

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tagbox
from cli_runner import assert_refused, run_tagbox
from hub_snapshots import use_caches
from tagbox import audio, models
from tagbox.errors import InvalidWeightsError, TagBoxError, UnknownTagError
from tagbox.free_text import choose_listeners, tags_heard
from tagbox.presets import PRESETS, override
from tagbox.settings import Settings
from tagbox.taggers.comparison import log_odds_of_shares
from tagbox.taggers.tagger import Tagger
from tagbox.tags.alternatives import COMMON_SOUNDS, compared_texts
from tagbox.weights import catalogue, hub, store

pytest.importorskip("transformers", reason="transformers is not installed")

from examples.small_clap import COMMIT, save_small_clap

from small_ears import assert_gradient

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
WORDS = ("a muted trumpet", "violin", "drums", "music")
RATE = 48_000
LISTENER = "rendered/listener"
TEXT = "clap/larger-general"
QUICK: dict[str, Any] = {"steer": "gates", "components": 2, "factorisations": 1}


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the hub with a small CLAP under the name of the catalogue's, and a fused one."""
    home = tmp_path_factory.mktemp("hf")
    model = catalogue.model_by_identifier(TEXT)
    save_small_clap(home / "hub", str(model.source))
    save_small_clap(home / "hub", "hf:examples/fused", fused=True)
    return home / "hub"


@pytest.fixture
def cache(hub_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """That cache in use, without the network."""
    use_caches(monkeypatch, hub_folder.parent, tmp_path / "tagbox")
    return hub_folder


@pytest.fixture
def empty_cache(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache that holds no text model."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    yield


@pytest.fixture
def clap(cache: Path) -> Tagger:
    return models.load_tagger("larger-general", "clap", words=WORDS)


@pytest.fixture(scope="module")
def duet() -> Tensor:
    """Twelve seconds of a real recording, mono, (1, samples) at the rate of CLAP."""
    recording = audio.read(DUET, 0, 12)
    return audio.resample(recording.samples.mean(dim=0), recording.rate, RATE)[None]


@pytest.mark.parametrize("address", [TEXT, "hf:examples/fused"])
def test_numbers_are_those_of_the_library(cache: Path, duet: Tensor, address: str) -> None:
    import transformers

    from tagbox.taggers.clap import TEMPLATE, ClapHearing
    from tagbox.taggers.hub_models import tokenise

    model = store.describe_identifier(address)
    folder = store.locate_model(model)
    tagger = models.load_tagger(model.name, str(model.data), words=WORDS)
    assert isinstance(tagger.network, ClapHearing)
    window = duet[:, : tagger.window]
    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)
    theirs: Any = transformers.ClapModel.from_pretrained(folder).eval()
    features = extractor(window[0].numpy(), sampling_rate=RATE, return_tensors="pt")["input_features"]
    ours = tagger.frontend(window)
    # Decibels; of a fused model every one of four equal parts.
    assert float((ours - features).abs().max()) < 1e-4
    with torch.no_grad():
        logits = theirs(
            **tokenise(folder, [TEMPLATE.format(word) for word in WORDS]),
            input_features=features,
            is_longer=torch.zeros(1, 1, dtype=torch.bool),
        ).logits_per_audio
        assert float((tagger.network.similarities(ours) - logits).abs().max()) < 1e-4
        shares = tagger(window).probabilities
    assert float((shares - logits.softmax(dim=-1)).abs().max()) < 1e-5
    # The weights react to what they hear, or the comparison would say little.
    assert float((tagger(0.1 * torch.randn_like(window)).probabilities - shares).abs().max()) > 1e-3


def test_the_gradient_to_the_waveform_is_that_of_finite_differences(clap: Tagger, duet: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    sound = duet[:, 2 * RATE : 2 * RATE + RATE // 2].double()
    # Decibels of silence bend too much for finite differences.
    sound = sound + 0.01 * torch.randn(sound.shape, generator=generator)
    direction = torch.randn(sound.shape, generator=generator, dtype=torch.float64)
    # Second-order terms and the rounding of a difference of 1e-6 are both below a thousandth of the slope.
    assert abs(assert_gradient(clap, sound, direction, step=1e-6)) > 1e-3


def test_any_length_by_windows_and_nothing_is_random(clap: Tagger, duet: Tensor) -> None:
    assert duet.shape[1] > clap.window
    logits = clap.logits(duet)
    assert logits.shape == (1, 2, len(WORDS))
    assert torch.equal(clap.logits(duet), logits)
    first = clap.logits(duet[:, : clap.window])
    torch.testing.assert_close(logits[:, :1], first, atol=1e-5, rtol=0)
    # A short sound is repeated, as by the library's padding "repeat".
    assert clap.logits(duet[:, :1000]).shape == (1, 1, len(WORDS))


def test_log_odds_belong_to_the_softmax() -> None:
    similarities = torch.tensor([[1.0, 2.0, -3.0], [200.0, 0.0, -200.0]])
    odds = log_odds_of_shares(similarities)
    torch.testing.assert_close(torch.sigmoid(odds), similarities.softmax(dim=-1))
    # Where one is far ahead, its odds still say by how much.
    assert float(odds[1, 0]) == pytest.approx(200.0)


def test_in_half_precision_the_spectrogram_is_normalised_in_full(clap: Tagger, duet: Tensor) -> None:
    half = clap.to_precision(torch.bfloat16)
    assert half.input_dtype == torch.float32
    with torch.no_grad():
        difference = (half(duet).probabilities - clap(duet).probabilities).abs().max()
    # Eight bits of mantissa through a handful of layers.
    assert float(difference) < 0.1


def test_weights_that_are_missing_are_not_made_up(cache: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from tagbox.taggers.clap import load

    model = catalogue.model_by_identifier(TEXT)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in store.locate_model(model).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["audio_projection.linear1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidWeightsError, match=r"audio_projection\.linear1\.weight"):
        load(model, folder, "cpu", WORDS)
    (folder / "config.json").write_text('{"audio_config": 1}')
    with pytest.raises(InvalidWeightsError, match=f"replace {folder}"):
        load(model, folder, "cpu", WORDS)
    with pytest.raises(TagBoxError, match="one alone"):
        models.load_tagger("larger-general", "clap", words=("violin",))


def test_a_model_to_which_texts_are_all_alike_is_refused(cache: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from tagbox.taggers.clap import load

    model = catalogue.model_by_identifier(TEXT)
    folder = shutil.copytree(store.locate_model(model), tmp_path / "collapsed")
    weights = load_file(folder / "model.safetensors")
    weights["text_projection.linear2.weight"] *= 1e-3
    weights["text_projection.linear2.bias"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidWeightsError, match=r"alike.*clap/larger-general"):
        load(model, folder, "cpu", WORDS)


def test_code_of_a_tokeniser_is_not_run_even_where_somebody_would_agree(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagbox.taggers.clap import load

    model = catalogue.model_by_identifier(TEXT)
    folder = shutil.copytree(store.locate_model(model), tmp_path / "hostile")
    ran = tmp_path / "ran"
    (folder / "tokenizer_code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Hostile: ...\n")
    foreign = {
        "config.json": {"model_type": "hostile"},
        "tokenizer_config.json": {
            "tokenizer_class": "Hostile",
            "auto_map": {"AutoTokenizer": ["tokenizer_code.Hostile"] * 2},
        },
    }
    for name, entries in foreign.items():
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | entries))
    monkeypatch.setattr("builtins.input", lambda prompt="": "y")
    with pytest.raises(InvalidWeightsError, match="tokeniser"):
        load(model, folder, "cpu", WORDS)
    assert not ran.exists()


def test_a_word_is_heard_by_the_listener_where_it_has_it_and_as_text_otherwise(cache: Path) -> None:
    settings = Settings()
    queries = ("violin", "a muted trumpet")
    assert choose_listeners(["violin"], settings).settings == settings
    chosen = choose_listeners(queries, settings)
    assert chosen.settings.taggers == (LISTENER, TEXT)
    assert chosen.note is not None and "muted trumpet" in chosen.note and "violin" not in chosen.note
    vocabularies = ["rendered", "clap"]
    assert tags_heard("violin", vocabularies, chosen.settings) == (("violin",), ())
    assert tags_heard("a muted trumpet", vocabularies, chosen.settings) == ((), ("a muted trumpet",))
    # The network of shares knows its classes alone.
    network = override(settings, steer="shares+gates")
    assert choose_listeners(["violin"], network).settings == network
    text_only = choose_listeners(["a muted trumpet"], network).settings
    assert (text_only.steer, text_only.taggers) == ("gates", (TEXT,))
    # What a source is to be without has to be understood as well.
    dry = choose_listeners(["violin"], override(settings, without=["reverb"])).settings
    assert dry.taggers == (TEXT,)
    # Other taggers' words are text to the listener's preset; who steers has to understand all.
    assert choose_listeners(["opera"], settings).settings.taggers == (TEXT,)
    with pytest.raises(UnknownTagError, match="--tagger clap"):
        choose_listeners(["a muted trumpet"], PRESETS["steered"].settings)
    steered = override(PRESETS["steered"].settings, taggers=(TEXT,))
    assert choose_listeners(["a muted trumpet"], steered).settings == steered
    # What may be a slip of the pen is said to be heard as text.
    note = choose_listeners(["violinn"], settings).note
    assert note is not None and "did you mean violin?" in note
    with pytest.raises(TagBoxError, match="201 characters"):
        choose_listeners(["x" * 201], settings)
    with pytest.raises(TagBoxError, match="201 characters"):
        choose_listeners(["a muted trumpet"], override(settings, without=["x" * 201]))
    # The same text in another spelling is the same text.
    for without in (["a muted trumpet"], ["reverb", " A muted  Trumpet"]):
        with pytest.raises(TagBoxError, match="nothing is left"):
            choose_listeners(["a muted trumpet"], override(settings, without=without))


def test_without_a_text_model_it_is_said_how_to_get_one(
    empty_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownTagError, match="tagbox models pull clap/larger-general"):
        choose_listeners(["a muted trumpet"], Settings())
    with pytest.raises(UnknownTagError, match="did you mean violin"):
        choose_listeners(["violinn"], Settings())
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "tagbox.plugins.discovery.find_spec", lambda name: None if name == "transformers" else found(name)
    )
    with pytest.raises(UnknownTagError, match=r"pip install 'tagbox\[hf\]'"):
        choose_listeners(["a muted trumpet"], Settings())


def test_a_library_that_is_missing_is_a_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "tagbox.plugins.discovery.find_spec", lambda name: None if name == "transformers" else found(name)
    )
    out = tmp_path / "out"
    result = run_tagbox("separate", DUET, "--tags", "a horn", "--tagger", TEXT, "-o", out)
    assert_refused(result, "transformers", "pip install 'tagbox[hf]'", path=out)


def test_texts_are_compared_with_what_else_may_be_there() -> None:
    texts = compared_texts(["a muted trumpet", "guitar"], ["reverb"])
    assert texts[:3] == ("a muted trumpet", "guitar", "reverb")
    # What is asked for does not compete with itself, by another name.
    assert not {"trumpet", "electric guitar", "acoustic guitar"} & set(texts)
    assert {"trombone", "violin", "drum kit", "music"} <= set(texts)
    assert len(texts) == len(set(texts)) and set(texts[3:]) <= set(COMMON_SOUNDS)
    for wrong in ("", " ", "?", "x" * 201):
        with pytest.raises(TagBoxError):
            compared_texts([wrong])
    assert "double bass" not in compared_texts(["the bass"])


def test_a_sentence_from_the_command_line(cache: Path, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    samples = audio.read(DUET, 0, 3)
    audio.write(song, samples.samples, samples.rate)
    options = ["--components", 2, "--factorisations", 1, "--without", "reverb"]
    tags = ["--tags", "a muted trumpet", "--tags", "a cello far away+a deep voice"]
    code, out, err = run_tagbox("separate", song, *tags, *options, "-o", tmp_path / "out")
    assert code == 0, err
    assert "heard as text by clap/larger-general" in err and "predicts a muted trumpet" in out
    folder = tmp_path / "out" / "song"
    manifest = json.loads((folder / "run.json").read_text())
    (tagger,) = manifest["taggers"]
    assert tagger["name"] == TEXT and tagger["source"] == str(catalogue.model_by_identifier(TEXT).source)
    assert tagger["words"][:4] == ["a muted trumpet", "a cello far away", "a deep voice", "reverb"]
    assert "drum kit" in tagger["words"] and "cello" not in tagger["words"]
    assert manifest["settings"]["without"] == ["reverb"] and manifest["settings"]["steer"] == "gates"
    assert manifest["notes"] and list(manifest["tags"]["a muted trumpet"]) == [TEXT]
    tracks = [audio.read(folder / name).samples for name in manifest["files"]]
    assert len(tracks) == 3
    # Float samples of three files, each rounded to 24 bits of mantissa.
    assert float((sum(tracks) - samples.samples).abs().max()) < 1e-6
    again = run_tagbox("separate", song, *tags, *options, "-o", tmp_path / "out")
    assert again[0] == 0 and "done already" in again[1]


def test_listener_and_text_together_and_steering(cache: Path) -> None:
    recording = audio.read(DUET, 0, 3)
    result = tagbox.separate(recording.samples, recording.rate, ["violin", "a muted trumpet"], **QUICK)
    assert {query: list(by) for query, by in result.manifest["tags"].items()} == {
        "violin": [LISTENER],
        "a muted trumpet": [TEXT],
    }
    total = sum([*result.sources.values(), result.residual])
    assert float((total - recording.samples).abs().max()) < 1e-5
    steered = tagbox.separate(
        recording.samples,
        recording.rate,
        "a muted trumpet",
        preset="steered",
        taggers=(TEXT,),
        steps=4,
        components=4,
    )
    losses = steered.history.losses
    assert len(losses) == 4 and losses[-1] < losses[0]


def test_a_long_recording_is_surveyed_by_text_too(cache: Path) -> None:
    recording = audio.read(DUET, 0, 8)
    result = tagbox.separate(
        recording.samples, recording.rate, ["violin", "a muted trumpet"], segment=4.0, overlap=0.5, **QUICK
    )
    assert len(result.runs) == 2 or result.manifest["streamed"]
    total = sum([*result.sources.values(), result.residual])
    np.testing.assert_allclose(total.numpy(), recording.samples.numpy(), atol=1e-5)


def test_what_a_text_gave_can_be_corrected(cache: Path) -> None:
    from tagbox.corrections import Absent

    recording = audio.read(DUET, 0, 3)
    project = tagbox.open(recording.samples, recording.rate, **QUICK)
    first = project.separate(["a muted trumpet", "violin"])
    assert list(first.manifest["tags"]["a muted trumpet"]) == [TEXT] and first.manifest["notes"]
    second = project.correct(Absent("a muted trumpet"))
    before, after = (float(each.sources["a muted trumpet"].square().sum()) for each in (first, second))
    assert after < 0.01 * before
    total = sum([*second.sources.values(), second.residual])
    assert float((total - recording.samples).abs().max()) < 1e-5


def test_tags_of_a_recording_are_texts(cache: Path) -> None:
    tagger = ("--tagger", TEXT, "--word", "a muted trumpet", "--top", 99, "--json")
    code, out, err = run_tagbox("tag", DUET, "--duration", 2, *tagger)
    assert code == 0, err
    (recording,) = json.loads(out)
    shares = recording["taggers"][0]["tags"]
    assert "a muted trumpet" in shares and "drum kit" in shares and "trumpet" not in shares
    # Each rounded to six digits.
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    duet = audio.read(DUET, 0, 2)
    found = tagbox.tag(
        duet.samples, duet.rate, [("larger-general", "clap")], words=["a muted trumpet"], top=99
    )
    assert found == pytest.approx(shares, abs=1e-5)


def test_words_for_a_tagger_that_has_its_own_are_refused(cache: Path) -> None:
    assert_refused(run_tagbox("tag", DUET, "--word", "a muted trumpet"), f"--tagger {TEXT}")
    assert_refused(run_tagbox("tags", "a muted trumpet"), f"--tagger {TEXT}")
    with pytest.raises(UnknownTagError, match="mtat/pons-musicnn"):
        tagbox.tag(torch.randn(RATE), RATE, words=["a muted trumpet"])


def test_the_page_takes_a_text(cache: Path) -> None:
    processing = pytest.importorskip("tagbox.ui.processing", reason="gradio is not installed")
    request = processing.JobRequest(DUET, ("a muted trumpet",), "fast", {"without": ("reverb",)})
    assert request.settings().taggers == (TEXT,)
    with pytest.raises(UnknownTagError):
        processing.JobRequest(DUET, ("a muted trumpet",), "steered").settings()


def test_the_example_of_a_sentence(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from examples.separate_by_sentence import main

    main("a distant horn", 3.0)
    assert "a distant horn" in capsys.readouterr().out


def test_a_model_of_the_catalogue_names_its_commit(cache: Path) -> None:
    sources = [str(model.source) for model in catalogue.models() if store.is_on_hub(model)]
    assert all(re.fullmatch(r"hf:.*@[0-9a-f]{40}", source) for source in sources) and len(sources) > 8
    assert store.availability(catalogue.model_by_identifier(TEXT)) == "cached"
    assert hub.pinned("hf:examples/fused") == f"hf:examples/fused@{COMMIT}"
    assert hub.pinned("hf:nobody/nothing@main") == "hf:nobody/nothing@main"
