"""Sing phrases: recorded singers and speakers sing new melodies by way of the vocoder WORLD.

    python -m scripts.training_sounds.singing BANK SOURCES [--phrases 24]

A line is taken apart into pitch, envelope and breath (Morise et al., "WORLD", 2016), stretched, moved to a
melody with glides and vibrato, its formants shifted a little, put together again, and at times doubled or
driven as records have it. Choirs are several of these voices on the tones of a chord.

SOURCES holds the recordings of `SINGERS`, each in a folder of its own; what lacks is left out. Programs that
speak need: apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k espeak-ng. The vocoder needs:
pip install pyworld "setuptools<81" (it asks for pkg_resources, which later ones no longer have).
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from scripts.training_sounds.bank import FREE, RATE, SAMPLES, SECONDS, Audio, place, store
from scripts.training_sounds.phrases import BEAT, CHORDS, near
from tagbox.audio import resample

try:
    import pyworld
except ModuleNotFoundError as missing:
    raise SystemExit(f'{missing}; pip install pyworld "setuptools<81"') from missing

FRAME = 0.005
"""Seconds between the vocoder's frames."""
FRAMES = round(SECONDS / FRAME)
LONGEST_LINE = 8.0
"""Seconds of a recording that are analysed at once."""
MOST_LINES = 12
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Singer:
    """Somebody who sings.

    Attributes:
        maker: the folder of the bank.
        name: the file in it.
        low: lowest pitch that this voice is asked for, as a MIDI number.
        high: highest one.
        files: a pattern of recordings below the folder of sources.
        command: or what writes {text} to {wav}, which reads the text from standard input too.
        sings: whether the recordings are sung, so that they are taken as they are, too.
    """

    maker: str
    name: str
    low: int
    high: int
    files: str = ""
    command: tuple[str, ...] = ()
    sings: bool = False


def flite(name: str, low: int, high: int) -> Singer:
    """Name a voice of flite's."""
    options = ("--setf", "duration_stretch=1.3", "-t", "{text}", "-o", "{wav}")
    return Singer("speech-programs", f"flite-{name}", low, high, command=("flite", "-voice", name, *options))


def festival(name: str, low: int, high: int) -> Singer:
    """Name a voice of festival's."""
    command = ("text2wave", "-eval", f"(voice_{name})", "-o", "{wav}")
    return Singer("speech-programs", f"festival-{name}", low, high, command=command)


def espeak(name: str, low: int, high: int) -> Singer:
    """Name a voice of espeak-ng's: LANGUAGE+VARIANT."""
    command = ("espeak-ng", "-v", name, "-s", "120", "-w", "{wav}", "{text}")
    return Singer("speech-programs", f"espeak-{name.replace('+', '-')}", low, high, command=command)


SINGERS = (
    Singer("vocadito", "vocadito-1", 50, 70, "vocadito/vocadito_1.wav", sings=True),
    Singer("vocadito", "vocadito-10", 50, 72, "vocadito/vocadito_10.wav", sings=True),
    Singer("vocadito", "vocadito-14", 52, 74, "vocadito/vocadito_14.wav", sings=True),
    Singer("sms-tools", "female", 57, 79, "*sms-tools-materials/sounds/singing-female.wav", sings=True),
    Singer("sms-tools", "vignesh", 45, 66, "*sms-tools-materials/sounds/vignesh.wav", sings=True),
    Singer("sms-tools", "speaker-female", 55, 77, "*sms-tools-materials/sounds/speech-female.wav"),
    Singer("sms-tools", "speaker-male", 43, 64, "*sms-tools-materials/sounds/speech-male.wav"),
    Singer("iona", "iona", 57, 78, "*utsu/**/Iona_Beta/*.wav"),
    Singer("merry-orks", "vowels", 50, 72, "*merry-orks/samples/vowels/*.wav"),
    Singer("merry-orks", "diphthongs", 52, 74, "*merry-orks/samples/dipthongs/*.wav"),
    Singer("merry-orks", "growls", 45, 67, "*merry-orks/samples/misc/*.wav"),
    Singer("arctic", "aew", 43, 64, "*pyroomacoustics/**/cmu_arctic_us_aew*.wav"),
    Singer("arctic", "axb", 55, 76, "*pyroomacoustics/**/cmu_arctic_us_axb*.wav"),
    *(
        Singer("speakers", number, low, low + 21, f"*Voice-Cloning/samples/{number}_*.mp3")
        for number, low in (
            ("1320", 45),
            ("3575", 55),
            ("6829", 55),
            ("8230", 43),
            ("p240", 56),
            ("p260", 43),
        )
    ),
    flite("slt", 57, 76),
    flite("rms", 45, 64),
    flite("awb", 47, 66),
    festival("kal_diphone", 43, 62),
    festival("ked_diphone", 45, 66),
    espeak("en-us+f2", 57, 79),
    espeak("it+f3", 55, 77),
    espeak("es+m3", 43, 64),
    espeak("de+f4", 55, 76),
    espeak("fr+m7", 45, 67),
    espeak("pt+m1", 43, 65),
)
LINES = (
    "oh the evening sun is going down behind the silver hill",
    "ah ah ah, la la la, sing along with me, hey",
    "you and I will never leave the river in the morning light",
    "why do all the birds fly away, far away, over the sea",
    "baby tell me how many roads are left for us to go",
    "ooh, no one knows my name, no one calls me home",
)


@dataclass(frozen=True)
class Line:
    """What the vocoder makes of a line.

    Attributes:
        pitch: in Hz, 0 where there is none, (frames,).
        envelope: of the spectrum, (frames, bins).
        breath: which part of it has no pitch, (frames, bins).
    """

    pitch: Curve
    envelope: Curve
    breath: Curve


def spoken(singer: Singer, text: str) -> tuple[Audio, int]:
    """Let a program speak."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "line.wav")
        command = [part.format(text=text, wav=wav) for part in singer.command]
        subprocess.run(command, check=True, input=text, text=True, capture_output=True)
        audio, rate = soundfile.read(wav, dtype="float32")
    return audio, rate


def recordings(singer: Singer, sources: Path) -> list[tuple[Audio, int]]:
    """Read what there is of a singer, mono, each with its rate."""
    if singer.command:
        return [spoken(singer, text) for text in LINES]
    made = []
    for path in sorted(sources.glob(singer.files)):
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        made.append((audio.mean(axis=1), rate))
    return made


def analysed(audio: Audio, rate: int) -> Line:
    """Take a line apart, at `RATE`; what the recording lacks at the top is made up of breath."""
    full = resample(torch.from_numpy(audio), rate, RATE).numpy() if rate != RATE else audio
    samples = np.ascontiguousarray(full, dtype=np.float64)
    pitch, times = pyworld.dio(samples, RATE, frame_period=FRAME * 1000)
    pitch = pyworld.stonemask(samples, pitch, times, RATE)
    envelope = pyworld.cheaptrick(samples, pitch, times, RATE)
    breath = pyworld.d4c(samples, pitch, times, RATE)
    edge = round(0.46 * rate / RATE * 2 * (envelope.shape[1] - 1))
    if edge < envelope.shape[1]:
        octaves = np.log2(np.arange(edge, envelope.shape[1]) / edge)
        top = envelope[:, edge - 12 : edge].mean(axis=1, keepdims=True)
        envelope[:, edge:] = top * 10 ** (-1.2 * octaves)
        breath[:, edge:] = 1.0
    return Line(pitch, envelope, breath)


def lines_of(found: Sequence[tuple[Audio, int]], random: np.random.Generator) -> list[Line]:
    """Analyse some of the recordings; short ones are joined, long ones cut."""
    pieces = []
    for audio, rate in found:
        piece = round(LONGEST_LINE * rate)
        pieces += [(audio[begin : begin + piece], rate) for begin in range(0, len(audio), piece)]
    order = random.permutation(len(pieces))
    joined: list[tuple[Audio, int]] = []
    for index in order:
        audio, rate = pieces[index]
        if len(audio) < rate // 8:
            continue
        if joined and joined[-1][1] == rate and len(joined[-1][0]) + len(audio) < LONGEST_LINE * rate:
            joined[-1] = (np.concatenate([joined[-1][0], audio]), rate)
        else:
            joined.append((audio, rate))
    return [analysed(audio, rate) for audio, rate in joined[:MOST_LINES]]


def tune(low: int, high: int, aligned: bool, random: np.random.Generator) -> Curve:
    """Make up the pitch at every frame, MIDI numbers: notes that glide into each other, long ones vibrate."""
    beat = BEAT if aligned else random.uniform(0.3, 0.8)
    key = 0 if aligned else int(random.integers(12))
    pitch, now, walk = np.zeros(FRAMES), 0.0, random.uniform(low + 4, high - 4)
    depth, speed = random.choice([0.0, 0.2, 0.4, 0.7]), random.uniform(4.6, 6.4)
    while int(now / FRAME) < FRAMES:
        length = beat * float(random.choice([0.5, 0.5, 1, 1, 2, 3]))
        chord = CHORDS[int(now / (3 * beat)) % 4]
        walk = float(np.clip(walk + random.normal(0, 3), low, high))
        note = near((int(random.choice(chord)) + key) % 12, walk)
        begin, end = int(now / FRAME), min(FRAMES, int((now + length) / FRAME))
        held = np.arange(end - begin) * FRAME
        trembling = depth * np.clip((held - 0.2) / 0.3, 0, 1) * np.sin(2 * np.pi * speed * held)
        pitch[begin:end] = note + trembling
        now += length
    return smooth(pitch, random)


def held_tone(tone: int, low: int, high: int, random: np.random.Generator) -> Curve:
    """Hold a tone of each chord of the progression, three beats each, as choirs do."""
    pitch = np.zeros(FRAMES)
    for begin in range(0, FRAMES, round(3 * BEAT / FRAME)):
        chord = CHORDS[begin // round(3 * BEAT / FRAME) % 4]
        pitch[begin : begin + round(3 * BEAT / FRAME)] = near(chord[tone % 3], (low + high) / 2)
    wander = np.cumsum(random.normal(0, 0.01, FRAMES))
    trembling = random.uniform(0, 0.35) * np.sin(
        2 * np.pi * random.uniform(4.5, 6) * np.arange(FRAMES) * FRAME + random.uniform(0, 6)
    )
    return smooth(pitch + wander - wander.mean() + trembling, random)


def smooth(pitch: Curve, random: np.random.Generator) -> Curve:
    """Let notes glide into each other."""
    half = int(random.integers(4, 14))
    glide = np.hanning(2 * half + 1) / np.hanning(2 * half + 1).sum()
    return np.convolve(np.pad(pitch, half, mode="edge"), glide, mode="valid")


def sung(line: Line, pitch: Curve, stretch: float, shift: float, start: int) -> Audio:
    """Sing a line to a melody (frames,), `stretch` times as slow, its formants `shift` times as high."""
    places = (start + np.arange(FRAMES) / stretch).astype(int) % len(line.pitch)
    bins = np.clip(np.arange(line.envelope.shape[1]) / shift, 0, line.envelope.shape[1] - 1).astype(int)
    hertz = np.where(line.pitch[places] > 0, 440 * 2 ** ((pitch - 69) / 12), 0.0)
    audio = pyworld.synthesize(
        hertz,
        np.ascontiguousarray(line.envelope[places][:, bins]),
        np.ascontiguousarray(line.breath[places][:, bins]),
        RATE,
        FRAME * 1000,
    )
    row = np.zeros(SAMPLES, np.float32)
    row[: min(len(audio), SAMPLES)] = audio[:SAMPLES]
    return row / max(1e-6, float(np.abs(row).max()))


def produced(row: Audio, random: np.random.Generator) -> Audio:
    """Treat a voice as records do: at times doubled some cents off and late, compressed, or driven."""
    if random.random() < 0.25:
        for _ in range(int(random.integers(1, 3))):
            speed = 2 ** (random.normal(0, 10) / 1200)
            places = np.arange(len(row)) * speed - random.uniform(0.008, 0.03) * RATE
            row = row + random.uniform(0.3, 0.8) * np.interp(places, np.arange(len(row)), row, 0, 0)
    if random.random() < 0.5:
        window = np.hanning(RATE // 20)
        loud = np.sqrt(np.convolve(row**2, window / window.sum(), mode="same")) + 1e-3
        row = row * (loud / loud.max()) ** -random.uniform(0.1, 0.6)
    if random.random() < 0.2:
        row = np.tanh(random.uniform(1, 4) * row / max(1e-6, float(np.abs(row).max())))
    return row.astype(np.float32)


def taken(found: Sequence[tuple[Audio, int]]) -> Audio:
    """Cut recordings that are sung into phrases, as they are and a little higher and lower."""
    rows = []
    for audio, rate in found:
        for speed in (1.0, 0.89, 1.12):
            full = resample(torch.from_numpy(audio), round(rate * speed), RATE).numpy()
            for begin in range(0, max(1, len(full) - SAMPLES // 2), SAMPLES // 2):
                rows.append(np.resize(full[begin : begin + SAMPLES], SAMPLES))
    return np.stack(rows)


def solo(singer: Singer, lines: list[Line], index: int, random: np.random.Generator) -> Audio:
    """Sing one phrase."""
    line = lines[int(random.integers(len(lines)))]
    shift, stretch = 2 ** random.normal(0, 0.1), random.uniform(0.9, 2.4)
    melody = tune(singer.low, singer.high, index % 2 == 0, random)
    return produced(sung(line, melody, stretch, shift, int(random.integers(len(line.pitch)))), random)


def choir(cast: list[tuple[Singer, list[Line]]], random: np.random.Generator) -> Audio:
    """Sing one phrase of held chords with many voices."""
    row = np.zeros(SAMPLES, np.float32)
    for voice in range(int(random.integers(5, 10))):
        singer, lines = cast[int(random.integers(len(cast)))]
        line = lines[int(random.integers(len(lines)))]
        loud = np.argsort(line.envelope.sum(axis=1) * (line.pitch > 0))[-40:]
        start = int(random.choice(loud))
        pitch = held_tone(voice, singer.low, singer.high, random)
        one = sung(line, pitch, random.uniform(4, 12), 2 ** random.normal(0, 0.1), start)
        late = int(random.uniform(0, 0.04) * RATE)
        row[late:] += random.uniform(0.5, 1.0) * one[: SAMPLES - late]
    return row


def main() -> None:
    """Sing with every voice, and then with all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--phrases", type=int, default=24)
    parser.add_argument("--choirs", type=int, default=24)
    args = parser.parse_args()
    cast: list[tuple[Singer, list[Line]]] = []
    together = place(args.bank, "sung-choirs", "choir", f"{FREE}all")
    for number, singer in enumerate(SINGERS):
        random = np.random.default_rng([7, number])
        target = place(args.bank, singer.maker, "solo singing", f"{FREE}{singer.name}")
        as_it_is = place(args.bank, singer.maker, "solo singing", f"{FREE}{singer.name}-as-it-is")
        # A choir needs all singers, those of an earlier sitting too.
        if target.exists() and together.exists():
            continue
        found = recordings(singer, args.sources)
        if not found:
            print(f"nothing found for {singer.name}", flush=True)
            continue
        lines = lines_of(found, random)
        cast.append((singer, lines))
        if singer.sings and not as_it_is.exists():
            store(taken(found), as_it_is)
        if not target.exists():
            store(np.stack([solo(singer, lines, index, random) for index in range(args.phrases)]), target)
    if cast and not together.exists():
        random = np.random.default_rng(8)
        store(np.stack([choir(cast, random) for _ in range(args.choirs)]), together)


if __name__ == "__main__":
    main()
