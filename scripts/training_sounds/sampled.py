"""Play the phrases on recorded notes: real instruments, every note as somebody played it.

    python -m scripts.training_sounds.sampled BANK SOURCES [--phrases 24]

SOURCES holds the repositories and packages of `INSTRUMENTS`, unpacked, each in a folder of its own; what
lacks is said and left out. A note is the nearest recorded one played a little faster or slower, one of its
round robins, and let go within a moment. A phrase keeps to one dynamic where there are several.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from scripts.training_sounds.bank import RATE, SAMPLES, Audio, place, store
from scripts.training_sounds.phrases import Range, scores
from tagbox.audio import resample
from tagbox.rendering.scores import Note

STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
SIGNS = {"": 0, "b": -1, "#": 1, "s": 1}
NOTE = re.compile(r"(?:^|[_\- ])([a-g])([b#s]?)(-?\d)(?=[_ .v]|$)", re.IGNORECASE)
NUMBER = re.compile(r"[_ ](\d+)$")
DYNAMIC = re.compile(r"(?:^|[_ v])(vl\d|pp|p|mp|mf|f|ff|[LH]|LEVEL\d|[flmnbkp]{1}(?=_\d+$))(?=[_ .]|$)")
NOISES = re.compile(r"rel(?:ease)?|noise|breath|scrape|squeak|handling|perc|ghost|growl|close|thump|key|fx")
AROUND = 3
"""Semitones beyond its lowest and highest recorded note that an instrument plays."""
RELEASE = 0.12
LONGEST = 7.0
"""Seconds of a note that are read."""
ONSET = 0.02
"""Of a note's peak: what comes before it is cut off."""


@dataclass(frozen=True)
class Instrument:
    """Recorded notes that sound alike.

    Attributes:
        maker: the folder of the bank.
        kind: the class of the vocabulary.
        detail: the name within it.
        files: a pattern below the folder of sources.
        shift: semitones from the pitch that the file's name says to the one that sounds.
        mapped: whether the pitches stand in .sfz files (or .txt that they include) and not in the names.
        only: what a file's name must contain, as a regular expression.
        amplified: whether a distorting amplifier stands behind it.
    """

    maker: str
    kind: str
    detail: str
    files: str
    shift: int = 0
    mapped: bool = False
    only: str = ""
    amplified: bool = False


def tonejs(name: str, kind: str) -> Instrument:
    """Name an instrument of the npm packages tonejs-instrument-NAME-mp3."""
    return Instrument("tonejs", kind, name, f"tonejs-instrument-{name}-mp3/**/*.mp3")


INSTRUMENTS = (
    *(
        Instrument("pastabass", "bass", pasta, f"*karoryfer.pastabass/samples/{pasta}/*.wav", shift=-12)
        for pasta in ("fetuccine", "linguine", "spaghetti", "tagliatelle")
    ),
    Instrument("growlybass", "bass", "sustain", "*karoryfer.growlybass/sustain/*.wav", shift=-12),
    Instrument("growlybass", "bass", "staccato", "*karoryfer.growlybass/staccato/*.wav", shift=-12),
    Instrument("sneakybass", "bass", "finger", "*karoryfer.sneakybass/Samples/finger/*.wav", shift=-12),
    Instrument("sneakybass", "bass", "pluck", "*karoryfer.sneakybass/Samples/pluck/*.wav", shift=-12),
    Instrument("sneakybass", "bass", "mute", "*karoryfer.sneakybass/Samples/mute/*.wav", shift=-12),
    Instrument("fashionbass", "bass", "notes", "*karoryfer.fashionbass/notes/*.wav"),
    Instrument("swagbass", "bass", "notes", "*karoryfer.swagbass/notes/*.wav", shift=-12),
    Instrument("electric-bass-YR", "bass", "finger", "*electric-bass-YR/samples/finger/*.flac", mapped=True),
    Instrument("electric-bass-YR", "bass", "pick", "*electric-bass-YR/samples/pick/*.flac", mapped=True),
    Instrument("meatbass", "bass", "pizzicato", "*karoryfer.meatbass/Samples/pizz/*.wav"),
    Instrument("meatbass", "cello", "arco", "*karoryfer.meatbass/Samples/arco/*.wav"),
    Instrument("double-bass", "bass", "pizzicato", "*dsmolken.double-bass/pizz/pizz_*.wav"),
    Instrument("double-bass", "cello", "arco", "*dsmolken.double-bass/arco/arco_*.wav"),
    Instrument("horse-pulse", "bass", "finger", "*HorsePulse/Samples/f/*.wav", shift=-12),
    Instrument("horse-pulse", "bass", "soft", "*HorsePulse/Samples/mp/*.wav", shift=-12),
    Instrument("shinyguitar", "acoustic guitar", "acoustic", "*shinyguitar/Samples/acoustic/*.wav"),
    Instrument("shinyguitar", "clean guitar", "electric", "*shinyguitar/Samples/electric/*.wav"),
    Instrument(
        "shinyguitar", "distorted guitar", "electric", "*shinyguitar/Samples/electric/*.wav", amplified=True
    ),
    Instrument("emilyguitar", "clean guitar", "notes", "*emilyguitar/notes/*.wav"),
    Instrument("emilyguitar", "distorted guitar", "notes", "*emilyguitar/notes/*.wav", amplified=True),
    *(
        Instrument(
            f"{colour}-guitar",
            "distorted guitar" if amplified else "clean guitar",
            style,
            f"*black-and-green-guitars/Samples/{colour}/{style}/*",
            shift=-12,
            amplified=amplified,
        )
        for colour in ("black", "green")
        for style in ("ord", "stac")
        for amplified in (False, True)
    ),
    Instrument("spanish-guitar", "acoustic guitar", "classical", "*spanish-classical-guitar/samples/*.flac"),
    Instrument("ganjo", "sitar", "banjo", "*ganjo/Common/*.wav", shift=-12),
    Instrument("weresax", "saxophone", "forte", "*weresax/Samples/alto/*.wav", shift=12, only="_f_"),
    Instrument("weresax", "saxophone", "piano", "*weresax/Samples/alto/*.wav", shift=12, only="_p_"),
    Instrument("bear-sax", "saxophone", "bass", "*bear-sax/Samples/*.wav", shift=12, only=r"_vl\d"),
    *(
        Instrument("MTG-sax", "saxophone", name, f"*SoloSax/*/Samples/{name}_[fmp]_*.flac", -1, True)
        for name in ("sop", "alt", "ten", "bar")
    ),
    Instrument("Ixox-flute", "flute", "flute", "*Ixox.Flute/Samples/nor_*.flac", mapped=True),
    Instrument("war-tuba", "horn", "tuba-sustained", "*war-tuba/Samples/*.wav", shift=12, only="_sus_"),
    Instrument("war-tuba", "horn", "tuba-short", "*war-tuba/Samples/*.wav", shift=12, only=r"_s_vl\d"),
    Instrument("squidpipes", "organ", "clean", "*squidpipes/Samples/long_clean/*.wav", shift=-12),
    Instrument("squidpipes", "organ", "dirty", "*squidpipes/Samples/long_dirty/*.wav", shift=-12),
    Instrument("upright-piano", "acoustic piano", "KW", "*upright-piano-KW/samples/*.flac"),
    Instrument("splendid-piano", "acoustic piano", "grand", "*SplendidGrandPiano/Samples/*.flac", shift=12),
    *(
        Instrument(
            "headroom-piano", "acoustic piano", place_, "*HeadroomPiano/Samples/*.flac", only=place_.upper()
        )
        for place_ in ("close", "decca")
    ),
    tonejs("piano", "acoustic piano"),
    tonejs("xylophone", "chromatic percussion"),
    tonejs("organ", "organ"),
    tonejs("harmonium", "accordion"),
    tonejs("guitar-nylon", "acoustic guitar"),
    tonejs("guitar-acoustic", "acoustic guitar"),
    tonejs("guitar-electric", "clean guitar"),
    tonejs("bass-electric", "bass"),
    tonejs("violin", "violin"),
    tonejs("cello", "cello"),
    tonejs("contrabass", "cello"),
    tonejs("harp", "harp"),
    tonejs("trumpet", "trumpet"),
    tonejs("trombone", "horn"),
    tonejs("tuba", "horn"),
    tonejs("french-horn", "horn"),
    tonejs("saxophone", "saxophone"),
    tonejs("bassoon", "oboe"),
    tonejs("clarinet", "clarinet"),
    tonejs("flute", "flute"),
)


@dataclass(frozen=True)
class Take:
    """One recorded note."""

    pitch: int
    dynamic: str
    audio: Audio


def spelled(stem: str) -> int | None:
    """Read a pitch from a file's name.

    >>> spelled("gb2_vl1_rr3"), spelled("FF G#2"), spelled("LEVEL1 DECCA 33"), spelled("hum")
    (42, 44, 33, None)
    """
    found = NOTE.search(stem)
    if found:
        return STEPS[found[1].lower()] + SIGNS[found[2].lower()] + 12 * (int(found[3]) + 1)
    number = NUMBER.search(stem)
    return int(number[1]) if number else None


def key_number(said: str) -> int:
    """Read a key of a .sfz file, a number or a name."""
    if said.lstrip("-").isdigit():
        return int(said)
    found = spelled(said)
    if found is None:
        raise ValueError(f"{said!r} is no key")
    return found


def mapping(folder: Path) -> dict[str, int]:
    """Read which pitch each sample has from the .sfz files of a folder and the .txt files they include."""
    pitches = {}
    for path in sorted([*folder.rglob("*.sfz"), *folder.rglob("*.txt")]):
        for region in path.read_text(errors="replace").split("<region>")[1:]:
            sample = re.search(r"sample=([^\n]*?)\.(?:\$EXT|flac|wav)", region)
            key = re.search(r"(?:pitch_keycenter|\bkey)=(\S+)", region)
            if sample and key:
                name = re.split(r"[\\/]", sample[1])
                pitches["/".join(name[-2:])] = pitches[name[-1]] = key_number(key[1])
    return pitches


def read(path: Path) -> Audio:
    """Read a note from where it begins, mono, with a peak of 1."""
    info = soundfile.info(path)
    audio, rate = soundfile.read(path, frames=round(LONGEST * info.samplerate), always_2d=True)
    mono = audio.mean(axis=1).astype(np.float32)
    if rate != RATE:
        mono = resample(torch.from_numpy(mono), rate, RATE).numpy()
    peak = float(np.abs(mono).max(initial=0.0))
    if peak < 1e-4:
        return mono[:0]
    begin = max(0, int(np.argmax(np.abs(mono) > ONSET * peak)) - RATE // 200)
    return mono[begin:] / peak


def takes(instrument: Instrument, sources: Path) -> list[Take]:
    """Read all recorded notes of an instrument."""
    made = []
    known: dict[str, int] = {}
    for path in sorted(sources.glob(instrument.files)):
        if NOISES.search(path.stem) or not re.search(instrument.only, path.stem):
            continue
        if instrument.mapped:
            known = known or mapping(sources / path.relative_to(sources).parts[0])
            pitch = known.get(f"{path.parent.name}/{path.stem}", known.get(path.stem))
        else:
            pitch = spelled(path.stem)
        if pitch is None or path.suffix not in (".wav", ".flac", ".mp3"):
            continue
        dynamic = DYNAMIC.search(path.stem)
        audio = read(path)
        if len(audio):
            made.append(Take(pitch + instrument.shift, dynamic[1] if dynamic else "", audio))
    return made


def play(notes: tuple[Note, ...], recorded: list[Take], random: np.random.Generator) -> Audio:
    """Play a phrase, (samples,)."""
    row = np.zeros(SAMPLES + round((LONGEST + 1) * RATE), np.float32)
    dynamic = str(random.choice(sorted({take.dynamic for take in recorded})))
    for note in notes:
        apart = min(abs(take.pitch - note.pitch) for take in recorded)
        nearest = [take for take in recorded if abs(take.pitch - note.pitch) == apart]
        fitting = [take for take in nearest if take.dynamic == dynamic] or nearest
        take = fitting[int(random.integers(len(fitting)))]
        speed = 2 ** ((note.pitch - take.pitch) / 12)
        places = np.arange(0, len(take.audio) - 1, speed)
        sound = np.interp(places, np.arange(len(take.audio)), take.audio).astype(np.float32)
        held, release = round(note.length * RATE), round(RELEASE * RATE)
        sound = sound[: held + release]
        sound[held:] *= np.linspace(1, 0, release, dtype=np.float32)[: max(0, len(sound) - held)]
        at = round(note.start * RATE)
        row[at : at + len(sound)] += (note.velocity / 127) ** 1.3 * sound
    return row[:SAMPLES]


def amplified(row: Audio, random: np.random.Generator) -> Audio:
    """Play through an amplifier that distorts, and its loudspeaker."""
    spectrum = np.fft.rfft(row / max(1e-6, float(np.abs(row).max())))
    hertz = np.fft.rfftfreq(len(row), 1 / RATE)
    low, middle = random.uniform(60, 250), random.uniform(500, 1500)
    spectrum *= hertz / np.hypot(hertz, low)
    spectrum *= 1 + random.uniform(0, 2) * np.exp(-((np.log2(np.maximum(hertz, 1) / middle)) ** 2))
    bias = random.uniform(0, 0.3)
    bent = np.tanh(10 ** random.uniform(0.7, 2.2) * np.fft.irfft(spectrum, len(row)) + bias)
    spectrum = np.fft.rfft(bent - bent.mean())
    high, order = random.uniform(3000, 6500), int(random.integers(2, 5))
    spectrum *= hertz / np.hypot(hertz, 80) / np.sqrt(1 + (hertz / high) ** (2 * order))
    dips = random.normal(0, 2.5, 24)
    spectrum *= 10 ** (np.interp(np.log2(np.maximum(hertz, 30)), np.linspace(5, 14.5, 24), dips) / 20)
    return np.fft.irfft(spectrum, len(row)).astype(np.float32)


def main() -> None:
    """Play every instrument that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--phrases", type=int, default=24)
    args = parser.parse_args()
    for instrument in INSTRUMENTS:
        target = place(args.bank, instrument.maker, instrument.kind, instrument.detail)
        if target.exists():
            continue
        recorded = takes(instrument, args.sources)
        if not recorded:
            print(f"nothing found for {instrument.maker}, {instrument.detail}", flush=True)
            continue
        pitches = [take.pitch for take in recorded]
        within = Range(min(pitches) - AROUND, max(pitches) + AROUND)
        seed = tuple(f"{instrument.maker}/{instrument.detail}".encode())
        random = np.random.default_rng(seed)
        phrases = scores(instrument.kind, within, args.phrases, seed)
        rows = [play(phrase, recorded, random) for phrase in phrases]
        if instrument.amplified:
            rows = [amplified(row, random) for row in rows]
        store(np.stack(rows), target)


if __name__ == "__main__":
    main()
