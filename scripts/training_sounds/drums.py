"""Play the drum patterns on recorded kits, hits and hand drums, and loop recorded loops.

    python -m scripts.training_sounds.drums BANK SOURCES [--phrases 32]

SOURCES holds the unpacked repositories of `KITS`; Debian's sonic-pi-samples and hydrogen-drumkits are looked
for where the packages put them. Every hit is one of several that were recorded of that drum.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from scripts.training_sounds.bank import FREE, RATE, SAMPLES, Audio, place, store
from scripts.training_sounds.phrases import BEAT, KIT_KEYS, scores
from tagbox.audio import resample
from tagbox.rendering.scores import Note

LONGEST = 3.0
"""Seconds of a hit that are read."""
MOST_HITS = 24
"""Recorded hits of one drum that are kept."""
SPEEDS = (0.85, 0.93, 1.0, 1.08, 1.18)
"""At which loops are played; the middle one is the recorded one."""
SONIC_PI = "/usr/share/sonic-pi/samples"
HYDROGEN = "/usr/share/hydrogen/data/drumkits"


@dataclass(frozen=True)
class Kit:
    """Recorded hits by the kinds of drums of `KIT_KEYS`.

    Attributes:
        maker: the folder of the bank.
        detail: the name within it.
        root: an absolute folder, or a pattern below the folder of sources.
        drums: (kind, patterns of the files of one drum); several of a kind are drums of that kind.
        together: of each hit a file in every one of these folders, one a microphone, which are mixed anew.
    """

    maker: str
    detail: str
    root: str
    drums: tuple[tuple[str, str], ...]
    together: tuple[str, ...] = ()


MULDJORD = (
    ("kick", "KdrumL/*"), ("kick", "KdrumR/*"), ("snare", "Snare1/*"), ("snare", "Snare2/*"),
    ("hat", "HihatClosed/*"), ("hat", "HihatOpen/*"), ("cymbal", "RideL/*"), ("cymbal", "CrashL/*"),
    ("cymbal", "CrashR/*"), ("cymbal", "RideR/*"), ("cymbal", "China/*"), ("tom", "Tom1/*"),
    ("tom", "Tom2/*"), ("tom", "Tom3/*"), ("tom", "Tom4/*"),
)  # fmt: skip
GOGODZE = (
    ("kick", "ks_*"), ("snare", "sc_*"), ("snare", "ss_*"), ("snare", "se_*"), ("hat", "hc_*"),
    ("hat", "hh_*"), ("hat", "ho_*"), ("cymbal", "ht_*"), ("tom", "tl_*"), ("tom", "tm_*"), ("tom", "th_*"),
)  # fmt: skip
SONIC_DRUMS = (
    ("kick", "bd_*"), ("kick", "drum_*kick*"), ("kick", "drum_bass*"), ("snare", "sn_*"),
    ("snare", "drum_snare*"), ("snare", "elec_*snare*"), ("hat", "drum_cymbal_closed*"),
    ("hat", "drum_cymbal_pedal*"), ("cymbal", "drum_cymbal_[hos]*"), ("cymbal", "drum_splash*"),
    ("tom", "drum_tom*"), ("tom", "elec_fuzz_tom*"), ("hand", "perc_snap*"), ("hand", "drum_cowbell*"),
    ("hand", "elec_wood*"), ("hand", "elec_tick*"), ("hand", "elec_triangle*"),
)  # fmt: skip
KITS = (
    Kit("muldjord", "kit", "*muldjordkit/samples", MULDJORD),
    Kit("gogodze-ii", "kit", "*gogodze-phu-vol-ii/Samples", GOGODZE,
        ("front_mic", "kick_mic", "oh_mic", "side_mic", "snare_mic", "retro_mic")),
    Kit("gogodze-i", "cajon", "*gogodze-phu-vol-i/Samples/cajon/dyn",
        (("kick", "cajon_sl[45]_*"), ("snare", "cajon_sl[1-3]_*"), ("hand", "cajon_sr*"),
         ("hat", "cajon_sl[67]_*"))),
    Kit("gogodze-i", "bobobo", "*gogodze-phu-vol-i/Samples/bobobo",
        (("kick", "*bass*"), ("tom", "*tenor_l*"), ("tom", "*tenor_s*"), ("hand", "*treble_l*"),
         ("hand", "*treble_s*"))),
    Kit("world-percussion", "hands", "*world-percussion/samples",
        (("kick", "LowConga/*"), ("snare", "Darbuka/*"), ("tom", "Bongos/*"), ("hand", "Conga/*"),
         ("hand", "HighConga/*"), ("hat", "EggShaker/*"), ("hat", "Maracas/*"), ("cymbal", "Tambourine/*"))),
    Kit("world-percussion", "small", "*world-percussion/samples",
        (("snare", "HandClap/*"), ("hand", "Castanets/*"), ("hand", "Claves/*"), ("kick", "CajonFlamenco/*"),
         ("hat", "Maracas/*"), ("hat", "Tambourine/*"))),
    Kit("body-percussion", "body", "*body_percussion/Samples/body",
        (("kick", "stomp*"), ("kick", "chestthump*"), ("snare", "handclap*"), ("snare", "bellyside*"),
         ("hat", "fingerclap*"), ("hat", "shoulderout*"), ("hand", "snap*"), ("hand", "cheek*"),
         ("tom", "bellycenter*"), ("tom", "heel*"))),
    Kit("sonic-pi", "hits", SONIC_PI, SONIC_DRUMS),
    Kit("sonic-pi", "tabla", SONIC_PI,
        (("kick", "tabla_ghe*"), ("snare", "tabla_na*"), ("hat", "tabla_te*"), ("hand", "tabla_tun*"),
         ("tom", "tabla_ke*"), ("hand", "tabla_tas*"))),
    Kit("hydrogen-audiophob", "kit", f"{HYDROGEN}/Audiophob",
        (("kick", "29800*"), ("snare", "124382*"), ("snare", "25671*"), ("hat", "104227*"),
         ("hat", "116973*"), ("cymbal", "124101*"), ("tom", "101450*"), ("tom", "86335*"),
         ("tom", "9993*"), ("hand", "15590*"))),
)  # fmt: skip
LOOPS = (
    ("sonic-pi", f"{SONIC_PI}/loop_[abceimpst]*.flac"),
    ("sms-tools", "*sms-tools-materials/sounds/bendir.wav"),
    ("sms-tools", "*sms-tools-materials/sounds/mridangam.wav"),
)
OF_KEYS = {key: kind for kind, keys in KIT_KEYS.items() for key in keys}


def files(sources: Path, pattern: str) -> list[Path]:
    """Find the files of a pattern, which may be absolute."""
    if pattern.startswith("/"):
        return sorted(Path("/").glob(pattern[1:]))
    return sorted(sources.glob(pattern))


def read(path: Path, seconds: float, speed: float = 1.0) -> Audio:
    """Read a recording, mono, at another speed."""
    rate = soundfile.info(path).samplerate
    audio, _ = soundfile.read(path, frames=round(seconds * rate), always_2d=True, dtype="float32")
    mono = torch.from_numpy(audio.mean(axis=1))
    return resample(mono, round(rate * speed), RATE).numpy()


def hits(kit: Kit, pattern: str, sources: Path, random: np.random.Generator) -> list[Audio]:
    """Read hits of a drum; of several microphones mixed once for the whole drum."""
    roots = [f"{kit.root}/{folder}" for folder in kit.together] or [kit.root]
    columns = [
        [path for path in files(sources, f"{root}/{pattern}") if path.suffix in (".wav", ".flac")]
        for root in roots
    ]
    count = min(len(column) for column in columns)
    chosen = random.permutation(count)[:MOST_HITS]
    levels = random.uniform(0, 1, len(roots)) ** 1.5 + 0.02
    made = []
    for index in chosen:
        takes = [level * read(column[index], LONGEST) for column, level in zip(columns, levels, strict=True)]
        row = np.zeros(max(map(len, takes)), np.float32)
        for take in takes:
            row[: len(take)] += take
        if np.abs(row).max(initial=0) > 1e-4:
            made.append(row / np.abs(row).max())
    return made


def play(notes: Iterable[Note], drums: dict[str, list[list[Audio]]], random: np.random.Generator) -> Audio:
    """Play a pattern, (samples,), each key always on the same drum; drums that the kit lacks are silent."""
    row = np.zeros(SAMPLES + round((LONGEST + 1) * RATE), np.float32)
    levels = {kind: 10 ** (random.normal(0, 4) / 20) for kind in drums}
    for note in notes:
        kind = OF_KEYS[note.pitch]
        if kind not in drums:
            kind = "hand" if kind in ("tom", "cymbal") and "hand" in drums else kind
        if kind not in drums:
            continue
        drum = drums[kind][KIT_KEYS[OF_KEYS[note.pitch]].index(note.pitch) % len(drums[kind])]
        sound = drum[int(random.integers(len(drum)))]
        at = round(note.start * RATE)
        row[at : at + len(sound)] += levels[kind] * (note.velocity / 127) ** 1.3 * sound
    return row[:SAMPLES]


def looped(path: Path) -> list[Audio]:
    """Repeat a recorded loop at several speeds, and where its beats allow it at that of the phrases."""
    recorded = soundfile.info(path).duration
    beats = max(1, round(recorded / BEAT))
    speeds = [*SPEEDS, recorded / (beats * BEAT)]
    return [np.resize(read(path, 20.0, speed), SAMPLES) for speed in speeds]


def main() -> None:
    """Play every kit and loop that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--phrases", type=int, default=32)
    args = parser.parse_args()
    for kit in KITS:
        target = place(args.bank, kit.maker, "drums", kit.detail)
        if target.exists():
            continue
        seed = tuple(f"{kit.maker}/{kit.detail}".encode())
        random = np.random.default_rng(seed)
        drums: dict[str, list[list[Audio]]] = {}
        for kind, pattern in kit.drums:
            found = hits(kit, pattern, args.sources, random)
            if found:
                drums.setdefault(kind, []).append(found)
            else:
                print(f"nothing found for {kit.maker}, {pattern}", flush=True)
        if drums:
            from_keys = scores("kit", None, args.phrases, seed)
            store(np.stack([play(notes, drums, random) for notes in from_keys]), target)
    for maker in {maker for maker, _ in LOOPS}:
        target = place(args.bank, maker, "drums", f"{FREE}loops")
        paths = [path for name, pattern in LOOPS if name == maker for path in files(args.sources, pattern)]
        if paths and not target.exists():
            store(np.stack([row for path in paths for row in looped(path)]), target)


if __name__ == "__main__":
    main()
