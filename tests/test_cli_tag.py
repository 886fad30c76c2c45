"""`tagbox tag` and `tagbox tags`: real audio, the tagger that ships with TagBox, bad files."""

import doctest
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import tagbox
from cli_runner import assert_refused, run_tagbox
from tagbox import audio, models, tagging
from tagbox.errors import TagBoxError
from tagbox.tagging import average_by_vocabulary, predict_windows, tag
from tagbox.tags.vocabularies import TAGS
from tagbox.weights import cache_file, catalogue, store

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DUET = str(EXAMPLES / "duet/mixture.flac")
BAND = str(EXAMPLES / "band/mixture.flac")
SONG = str(EXAMPLES / "song/mixture.flac")


@pytest.fixture
def published(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that holds published taggers."""
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    for identifier in ("mtat/fcn", "mtat/musicnn", "jamendo/fcn"):
        data, name = identifier.split("/")
        model = catalogue.find_model("tagger", name, data)
        weights = torch.load(shared / f"weights/{identifier}.pth", map_location="cpu", weights_only=True)
        cache_file.write_cache_file(store.weights_path(model), weights, {"model": identifier})


def rows(out: str) -> dict[str, list[float]]:
    """The table's figures by tag."""
    found = re.findall(r"^ {2}(\S.*?) +[█░]+ +([\d. ]+)$", out, re.MULTILINE)
    return {name: [float(figure) for figure in figures.split()] for name, figures in found}


def test_the_duet_is_violin_and_classical() -> None:
    code, out, err = run_tagbox("tag", DUET)
    assert code == 0, err
    assert "14.5 s, 44100 Hz, mono" in out
    table = rows(out)
    assert len(table) == 10
    assert {"violin", "classical"} <= set(list(table)[:4])
    values = [figures[0] for figures in table.values()]
    assert values == sorted(values, reverse=True)
    # No terminal, no colours.
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("file", "instrument"),
    [("duet/piano", "piano"), ("duet/violin", "violin"), ("band/flute", "flute"), ("band/drums", "drums"),
     ("song/guitar", "guitar"), ("song/vocals", "choir")],
)  # fmt: skip
def test_stems_get_the_tags_of_their_instruments(file: str, instrument: str) -> None:
    _, out, _ = run_tagbox("tag", EXAMPLES / f"{file}.flac", "--top", "5")
    assert instrument in rows(out)


def test_several_taggers_have_a_column_each_and_their_mean(published: None) -> None:
    code, out, _ = run_tagbox("tag", BAND, "--tagger", "fcn", "--tagger", "musicnn", "--top", "50")
    assert code == 0
    assert re.search(r"mtat +mean +fcn +musicnn", out)
    table = rows(out)
    assert set(table) == set(TAGS["mtat"])
    assert all(abs(both - (a + b) / 2) < 0.011 for both, a, b in table.values())
    code, out, _ = run_tagbox(
        "tag", BAND, "--tagger", "fcn", "--data", "mtat", "--data", "jamendo", "--top", "3"
    )
    assert code == 0
    assert "mean" not in out  # nothing to average over two vocabularies
    assert re.search(r"^ {2}mtat", out, re.MULTILINE)
    assert re.search(r"^ {2}jamendo", out, re.MULTILINE)


def test_over_time_covers_the_recording() -> None:
    code, out, _ = run_tagbox("tag", BAND, "--over-time", "--json", "--top", "2")
    assert code == 0
    (result,) = json.loads(out)
    windows = result["taggers"][0]["windows"]
    assert windows[0]["start"] == 0
    assert windows[-1]["end"] == pytest.approx(13.5)
    assert all(a["end"] == b["start"] for a, b in pairwise(windows))
    assert all(len(window["tags"]) == 2 for window in windows)
    code, text, _ = run_tagbox("tag", BAND, "--over-time")
    assert code == 0
    assert len(re.findall(r"^ +\d+:\d\d\.\d to \d+:\d\d\.\d ", text, re.MULTILINE)) == len(windows)


def test_each_window_gets_the_tags_of_what_is_in_it() -> None:
    """A window of flute, then one of piano: each is predicted where it is, and no window is padded."""
    tagger = models.load_tagger()
    parts = []
    for name in ("band/flute", "duet/piano"):
        recording = audio.read(EXAMPLES / f"{name}.flac", 3, 4)
        mono = audio.resample(audio.to_mono(recording.samples), recording.rate, tagger.rate)
        parts.append(mono[: tagger.window])
    (predictions,) = predict_windows(torch.cat(parts)[None], tagger.rate, [tagger])
    assert predictions.windows.shape == (2, 50)
    seconds = tagger.window / tagger.rate
    assert predictions.spans == ((0, seconds), (seconds, 2 * seconds))
    at_flute, at_piano = (predictions.windows[:, predictions.tags.index(name)] for name in ("flute", "piano"))
    assert at_flute[0] > 0.3 > 5 * at_flute[1]
    assert at_piano[1] > 0.3 > 5 * at_piano[0]
    assert torch.allclose(predictions.probabilities, predictions.windows.mean(0))


def test_json_is_for_programs() -> None:
    code, out, err = run_tagbox("tag", DUET, BAND, "--json", "--top", "4")
    assert code == 0, err
    duet, band = json.loads(out)
    assert (duet["file"], duet["channels"], band["channels"]) == (DUET, 1, 2)
    assert duet["taggers"][0]["tagger"] == "mtat/pons-musicnn"
    assert len(duet["taggers"][0]["tags"]) == 4
    assert duet["mean"] == {}


def test_python_predicts_what_the_command_prints() -> None:
    _, out, _ = run_tagbox("tag", DUET, "--json", "--top", "3")
    printed = json.loads(out)[0]["taggers"][0]["tags"]
    samples, rate = soundfile.read(DUET)
    predictions = tagbox.tag(samples, rate, top=3)
    assert list(predictions) == list(printed)
    assert predictions == pytest.approx(printed, abs=1e-4)
    assert tagbox.load_tagger().tags == TAGS["mtat"]
    with pytest.raises(AttributeError, match="nonsense"):
        tagbox.nonsense  # noqa: B018


def test_stereo_is_tagged_as_the_mean_of_its_channels() -> None:
    recording = audio.read(BAND)
    both = tag(recording.samples, recording.rate)
    mono = tag(audio.to_mono(recording.samples), recording.rate)
    assert both == pytest.approx(mono, abs=1e-6)


def test_padding_with_zeros_hides_a_short_clip(published: None) -> None:
    """FCN's window has 29 seconds; four of flute and 25 of silence are no flute to it."""
    flute = {}
    for padding in ("repeat", "zeros"):
        arguments = ("--tagger", "fcn", "--duration", "4", "--padding", padding, "--top", "50", "--json")
        _, out, _ = run_tagbox("tag", EXAMPLES / "band/flute.flac", *arguments)
        flute[padding] = json.loads(out)[0]["taggers"][0]["tags"]["flute"]
    assert flute["repeat"] > 0.5 > 2 * flute["zeros"]


def bad(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.wav"
    rate = 44100
    if kind == "text":
        path.write_text("la la la\n" * 100)
    elif kind == "bytes":
        path.write_bytes(b"")
    elif kind == "empty":
        soundfile.write(path, np.zeros((0, 2)), rate)
    elif kind == "silent":
        soundfile.write(path, np.zeros((rate, 2)), rate)
    elif kind == "dither":
        soundfile.write(path, np.random.default_rng(0).integers(-1, 2, rate).astype(np.int16), rate)
    elif kind == "constant":
        soundfile.write(path, np.full(rate, 0.5), rate)
    elif kind == "one":
        soundfile.write(path, np.array([0.5]), rate)
    elif kind == "nan":
        soundfile.write(path, np.array([0.1, np.nan] * rate), rate, subtype="FLOAT")
    elif kind == "folder":
        path.mkdir()
    return path


BAD = {
    "missing": "there is no file",
    "text": "is a text file",
    "bytes": "is empty (0 bytes)",
    "empty": "holds no audio",
    "silent": "is silent",
    "dither": "is silent (peaks at -",
    "constant": "is silent",
    "one": "lasts 2.27e-05 s (1 sample), too short",
    "nan": "not finite",
    "folder": "is a folder",
}


@pytest.mark.parametrize(("kind", "says"), BAD.items())
def test_a_bad_recording_gets_one_clear_line(tmp_path: Path, kind: str, says: str) -> None:
    assert_refused(run_tagbox("tag", bad(tmp_path, kind)), f"{kind}.wav", says)


def test_one_bad_file_does_not_lose_the_others(tmp_path: Path) -> None:
    code, out, err = run_tagbox(
        "tag", tmp_path / "gone.wav", DUET, bad(tmp_path, "silent"), SONG, "--top", "3"
    )
    assert code == 2
    assert [line for line in out.splitlines() if "44100 Hz" in line and ".flac" in line]
    assert len(rows(out)) >= 3
    assert out.count("44100 Hz") == 2
    assert [line.split()[0] for line in err.splitlines()] == 3 * ["tagbox:"] and "2 of 4" in err
    code, out, _ = run_tagbox("tag", tmp_path / "gone.wav", DUET, "--json")
    assert code == 2
    gone, duet = json.loads(out)
    assert "there is no file" in gone["error"]
    assert "taggers" in duet


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tagger", "musicn"], "musicn"),
        (["--tagger", "itunes/fcn"], "no vocabulary 'itunes'"),
        (["--data", "spotify"], "no vocabulary 'spotify'"),
        (["--padding", "noise"], "'noise'; choose repeat or zeros"),
        (["--device", "abacus"], "'abacus'"),
        (["--start", "99"], "lasts 14.50 s"),
        (["--start", "-1"], "cannot start at -1 s"),
        (["--duration", "0"], "cannot last 0 s"),
    ],
)
def test_a_bad_option_gets_one_clear_line(arguments: list[str], says: str) -> None:
    assert_refused(run_tagbox("tag", DUET, *arguments), says)


def test_a_tagger_that_is_not_there_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path))
    assert_refused(run_tagbox("tag", DUET, "--tagger", "fcn"), "tagbox models pull mtat/fcn")


def test_audio_of_another_shape_is_refused() -> None:
    with pytest.raises(TagBoxError, match="shape"):
        tag(np.zeros((44100, 2)), 44100)
    with pytest.raises(TagBoxError, match="silent"):
        tag(np.zeros(44100), 44100)
    with pytest.raises(TagBoxError, match="not finite"):
        tag(np.full(44100, np.nan), 44100)


def test_the_mean_is_by_vocabulary(published: None) -> None:
    taggers = [
        models.load_tagger("fcn", "mtat"),
        models.load_tagger("fcn", "jamendo"),
        models.load_tagger("musicnn", "mtat"),
    ]
    recording = audio.read(SONG)
    shares: list[float] = []
    predictions = predict_windows(recording.samples, recording.rate, taggers, on_progress=shares.append)
    assert [one.name for one in predictions] == ["mtat/fcn", "jamendo/fcn", "mtat/musicnn"]
    (average,) = average_by_vocabulary(predictions)
    assert average.data == "mtat"
    assert torch.allclose(
        average.probabilities, (predictions[0].probabilities + predictions[2].probabilities) / 2
    )
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    # A tag that two vocabularies share takes the mean of both; one's own keeps its own.
    together = tag(recording.samples, recording.rate, [("fcn", "mtat"), ("fcn", "jamendo")], top=100)
    assert len(together) == len({*TAGS["mtat"], *TAGS["jamendo"]})


def test_batches_of_windows_change_nothing(published: None) -> None:
    """The predictions are those of the tagger for the whole recording."""
    tagger = models.load_tagger("musicnn", "mtat")
    recording = audio.read(BAND)
    (predictions,) = predict_windows(recording.samples.repeat(1, 4), recording.rate, [tagger])
    mono = audio.resample(audio.to_mono(recording.samples.repeat(1, 4))[None], recording.rate, tagger.rate)
    with torch.no_grad():
        expected = tagger(mono).probabilities[0]
    assert torch.allclose(predictions.probabilities, expected, atol=1e-5)


def test_tags_says_what_a_word_means() -> None:
    code, out, _ = run_tagbox("tags", "fiddle")
    assert code == 0
    assert re.search(r"jamendo +instrument---violin", out)
    assert re.search(r"msd +cannot express it", out)
    code, out, _ = run_tagbox("tags", "violin", "drums", "--json", "--data", "mtat")
    assert json.loads(out) == {"violin": {"mtat": ["violin"]}, "drums": {"mtat": ["drums", "beat", "beats"]}}


def test_tags_lists_every_tag_and_preset() -> None:
    code, out, _ = run_tagbox("tags")
    assert code == 0
    flat = " ".join(out.split())
    assert all(one in flat for tags in TAGS.values() for one in tags)
    assert "female vocals" in flat
    code, out, _ = run_tagbox("tags", "--data", "msd")
    assert "instrument---violin" not in out
    assert "Hip-Hop" in out
    code, out, _ = run_tagbox("tags", "--json")
    assert json.loads(out)["vocabularies"]["jamendo"] == list(TAGS["jamendo"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["vilin"], "did you mean violin?"),
        (["violin", "kazoo"], "no tagger knows 'kazoo'"),
        (["--data", "itunes"], "no vocabulary 'itunes'"),
        ([""], "no tagger knows ''"),
    ],
)
def test_tags_says_what_it_does_not_know(arguments: list[str], says: str) -> None:
    assert_refused(run_tagbox("tags", *arguments), says)


def test_help_has_examples() -> None:
    for command in ("tag", "tags"):
        code, out, _ = run_tagbox(command, "--help")
        assert code == 0
        assert f"tagbox {command}" in out.split("Examples")[1]


def test_the_example_in_the_docstring_runs() -> None:
    result = doctest.testmod(tagging)
    assert result.attempted > 0
    assert result.failed == 0
