"""Read files as the program does, all the way to what it computes from them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from tagbox.audio.readers import FileReader
from tagbox.errors import InvalidWeightsError
from tagbox.evaluation import result_store
from tagbox.evaluation.summary import summarise
from tagbox.rendering import fluidsynth
from tagbox.rendering.dataset import busiest_excerpt
from tagbox.rendering.midi import encode_midi, read_midi_file
from tagbox.rendering.scores import Note, Part
from tagbox.weights import cache_file, catalogue, checkpoint_reader, verification

BLOCK_SAMPLES = 1 << 15

EVALUATION_REQUEST: dict[str, Any] = {
    "dataset": "examples",
    "layout": "stems",
    "tracks": ["band", "duet"],
    "sources": [],
    "seconds": 1.0,
    "seed": 0,
    "methods": {"silence": {"kind": "control"}, "default": {"kind": "preset", "settings": {"steps": 1}}},
    "versions": {"tagbox": "0"},
}

EVALUATION_RECORDS: list[dict[str, Any]] = [
    {
        "key": f"{track}/violin/{method}",
        "track": track,
        "source": "violin",
        "method": method,
        "kind": kind,
        "status": "ok",
        "split": "",
        "start": 0.0,
        "seconds": 1.0,
        "silent": False,
        "residual": {"si_sdr": 0.5, "si_sdri": 0.1},
        "heard_before": 0.2,
        "heard_after": 0.4,
        "si_sdr": 1.5,
        "si_sdri": 0.5,
        "sdr": 2.0,
        "sdri": 1.0,
        "took": 0.1,
    }
    for track in ("band", "duet")
    for method, kind in (("silence", "control"), ("mixture", "control"), ("default", "preset"))
]


def read_audio(path: Path) -> int:
    """Decode all of a recording, as separation of a long file does; return its length in samples.

    Raises:
        RuntimeError: it has another length than was said before.
    """
    reader = FileReader.of(path)
    spans = [
        (start, min(start + BLOCK_SAMPLES, reader.samples))
        for start in range(0, reader.samples, BLOCK_SAMPLES)
    ]
    decoded = sum(block.shape[1] for block in reader.read_spans(spans))
    if decoded != reader.samples:
        raise RuntimeError(f"{reader.samples} samples were announced, and {decoded} decoded")
    return decoded


def read_weights(path: Path) -> int:
    """Read a checkpoint or a safetensors file, and check it against a model, as `models import` does."""
    model = catalogue.find_model("tagger", "fcn", "mtat")
    if path.suffix == ".safetensors":
        weights = verification.load_safetensors(path)
    else:
        weights = checkpoint_reader.read_state_dict(path)
    with suppress(InvalidWeightsError):
        # No seed is a published file.
        verification.load_verified(model, path, lambda message: None)
    return len(weights)


def read_cached(path: Path) -> int:
    """Verify a file of the cache, as every run does before it loads it."""
    return len(cache_file.verify_cached(catalogue.find_model("tagger", "fcn", "mtat"), path))


def read_request(path: Path) -> int:
    """Resume an evaluation by its run.json."""
    path = path.rename(path.with_name(result_store.REQUEST_FILE))
    result_store.read_request(path.parent)
    return len(result_store.open_run(path.parent, EVALUATION_REQUEST, resume=True))


def read_records(path: Path) -> int:
    """Read the records of an evaluation, and summarise them."""
    path = path.rename(path.with_name(result_store.RECORDS_FILE))
    records = result_store.read_records(path.parent, repair=True)
    if records:
        summarise(records)
    return len(records)


def read_midi(path: Path) -> int:
    """Read a MIDI file, choose the busiest seconds, and encode each part for FluidSynth."""
    score = busiest_excerpt(read_midi_file(path), 4.0)
    return sum(len(encode_midi([part])) for part in score.parts)


def read_soundfont(path: Path) -> int:
    """Render a note with a soundfont."""
    soundfont = fluidsynth.find_soundfont(path)
    return len(fluidsynth.render(encode_midi([Part(0, (Note(0.0, 0.2, 60, 90),))]), soundfont, 0.3))
