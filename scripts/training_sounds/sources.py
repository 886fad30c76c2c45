"""Where the sounds come from, and under which licences: what NOTICE has to say of weights that learnt them.

    python -m scripts.training_sounds.sources             # the table, as Markdown
    python -m scripts.training_sounds.sources --collect SOURCES

--collect brings the repositories and npm packages into SOURCES, where the other modules look for them, and
says which Debian packages are needed. What is there already is left.
"""

import argparse
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

CC0 = "CC0 1.0"
CC_BY = "CC BY 4.0"


@dataclass(frozen=True)
class Source:
    """Sounds of one origin.

    Attributes:
        makers: folders of the bank that hold them.
        where: "debian:PACKAGE", "github:OWNER/NAME", "npm:PACKAGE" or "here" for what is made by rule.
        licence: as read there.
        credit: who made them.
        purpose: what the network learns from them.
    """

    makers: tuple[str, ...]
    where: str
    licence: str
    credit: str
    purpose: str


def karoryfer(name: str, maker: str, purpose: str, owner: str = "sfzinstruments") -> Source:
    """Name one of the sample libraries of Karoryfer Lecolds, all of them CC0."""
    return Source((maker,), f"github:{owner}/{name}", CC0, "Karoryfer Lecolds", purpose)


SOURCES = (
    Source(("FluidR3_GM",), "debian:fluid-soundfont-gm", "MIT", "Frank Wen", "all of General MIDI"),
    Source(
        ("MuseScore_General_Lite",),
        "debian:musescore-general-soundfont-small",
        "MIT, parts CC0 or public domain",
        "S. Christian Collins and others",
        "all of General MIDI; not for development weights",
    ),
    Source(
        ("sf_GMbank",),
        "debian:csound-soundfont",
        "public domain",
        "the Csound project",
        "all of General MIDI",
    ),
    karoryfer("karoryfer.pastabass", "pastabass", "electric bass"),
    karoryfer("karoryfer.growlybass", "growlybass", "electric bass"),
    karoryfer("karoryfer.sneakybass", "sneakybass", "electric bass"),
    karoryfer("karoryfer.fashionbass", "fashionbass", "electric bass"),
    karoryfer("karoryfer.swagbass", "swagbass", "electric bass"),
    karoryfer("karoryfer.meatbass", "meatbass", "double bass, plucked and bowed"),
    karoryfer("Karoryfer.HorsePulse", "horse-pulse", "bass tagelharpa, plucked"),
    karoryfer("karoryfer.shinyguitar", "shinyguitar", "archtop guitar, acoustic, electric and amplified"),
    karoryfer("karoryfer.emilyguitar", "emilyguitar", "electric guitar, clean and amplified"),
    Source(
        ("black-guitar", "green-guitar"),
        "github:kmturley/karoryfer.black-and-green-guitars",
        CC0,
        "Karoryfer Lecolds",
        "electric guitars, clean and amplified",
    ),
    karoryfer("karoryfer.weresax", "weresax", "alto saxophone"),
    karoryfer("karoryfer.bear-sax", "bear-sax", "bass saxophone"),
    karoryfer("karoryfer.war-tuba", "war-tuba", "tuba"),
    karoryfer("karoryfer.squidpipes", "squidpipes", "pipes"),
    karoryfer("karoryfer.gogodze-phu-vol-i", "gogodze-i", "cajon, bobobo drums"),
    karoryfer("karoryfer.gogodze-phu-vol-ii", "gogodze-ii", "drum kit, six microphones"),
    karoryfer("karoryfer.272-merry-orks", "merry-orks", "a voice, by way of WORLD"),
    Source(("double-bass",), "github:sfzinstruments/dsmolken.double-bass", CC0, "D. Smolken", "double bass"),
    Source(("ganjo",), "github:sfzinstruments/ganjo", CC0, "itsclipping", "banjo"),
    Source(
        ("body-percussion",),
        "github:sfzinstruments/body_percussion",
        CC0,
        "Karoryfer Lecolds",
        "clapping, stomping",
    ),
    Source(
        ("MTG-sax",), "github:sfzinstruments/MTG.SoloSax", CC_BY, "Music Technology Group, UPF", "saxophones"
    ),
    Source(("Ixox-flute",), "github:sfzinstruments/Ixox.Flute", CC_BY, "Xavier Hosxe", "flute"),
    Source(
        ("splendid-piano",),
        "github:sfzinstruments/SplendidGrandPiano",
        "public domain",
        "AKAI",
        "grand piano",
    ),
    Source(
        ("headroom-piano",),
        "github:sfzinstruments/BengtNilsson.HeadroomPiano",
        CC_BY,
        "Bengt Nilsson, mapped by kinwie",
        "grand piano, two microphones",
    ),
    Source(
        ("upright-piano",), "github:freepats/upright-piano-KW", CC0, "the FreePats project", "upright piano"
    ),
    Source(
        ("spanish-guitar",), "github:freepats/spanish-classical-guitar", CC0, "the FreePats project", "guitar"
    ),
    Source(
        ("electric-bass-YR",),
        "github:freepats/electric-bass-YR",
        CC0,
        "the FreePats project",
        "electric bass",
    ),
    Source(
        ("world-percussion",), "github:freepats/world-percussion", CC0, "the FreePats project", "hand drums"
    ),
    Source(
        ("muldjord",), "github:freepats/muldjordkit", CC_BY, "Lars Muldjord, the FreePats project", "drum kit"
    ),
    Source(
        ("tonejs",),
        "npm:tonejs-instrument-*-mp3",
        "CC BY 3.0, from public domain sources",
        "Makefully Studios after N. P. Brosowsky",
        "twenty instruments, from violin to harmonium",
    ),
    Source(
        ("sonic-pi",), "debian:sonic-pi-samples", CC0, "many, see the package", "drum loops and hits, effects"
    ),
    Source(("hydrogen-audiophob",), "debian:hydrogen-drumkits", CC0, "Audiophob", "drum kit"),
    Source(
        ("guitar-strums",),
        "debian:hydrogen-drumkits-effects",
        "CC BY 3.0",
        "Gabriel Verdugo Soto",
        "strummed acoustic guitar",
    ),
    Source(
        ("vocadito",),
        "github:spotify/basic-pitch and github:mir-dataset-loaders/mirdata (tests)",
        CC_BY,
        "vocadito (Bittner et al., 2021)",
        "solo singing",
    ),
    Source(
        ("sms-tools",),
        "github:MTG/sms-tools-materials",
        CC_BY,
        "Music Technology Group, UPF",
        "singing and speech by way of WORLD, hand drums, sea and rain",
    ),
    Source(("iona",), "github:titinko/utsu", "MIT", "titinko", "sung syllables by way of WORLD"),
    Source(
        ("arctic",),
        "github:LCAV/pyroomacoustics (examples)",
        "CMU ARCTIC: free to use, modify and distribute",
        "Carnegie Mellon University",
        "speech that sings by way of WORLD",
    ),
    Source(
        ("speakers",),
        "github:CorentinJ/Real-Time-Voice-Cloning (samples)",
        "LibriSpeech and VCTK: CC BY 4.0",
        "V. Panayotov and others; University of Edinburgh",
        "speech that sings by way of WORLD",
    ),
    Source(
        ("speech-programs", "sung-choirs"),
        "debian:flite festival festvox-kallpc16k festvox-kdlpc16k espeak-ng",
        "voices free to use, modify and distribute; espeak-ng's are made by rule",
        "Carnegie Mellon University, University of Edinburgh",
        "speech that sings by way of WORLD; choirs of all of these voices",
    ),
    Source(("synthesized",), "here", "MIT", "TagBox", "synthesizers, organs, drum machines"),
)


def table() -> str:
    """Write the sources as a Markdown table."""
    lines = ["| sounds | from | licence | by | for |", "|---|---|---|---|---|"]
    lines += [
        f"| {', '.join(one.makers)} | {one.where} | {one.licence} | {one.credit} | {one.purpose} |"
        for one in SOURCES
    ]
    return "\n".join(lines)


def clone(address: str, target: Path) -> None:
    """Bring the newest state of a repository, its files byte by byte.

    Some repositories ask for other line ends in all of their files, recordings included.
    """
    beside = target.with_name(f"{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    subprocess.run(["git", "clone", "--depth", "1", "--no-checkout", address, str(beside)], check=True)
    (beside / ".git/info/attributes").write_text("* -text\n")
    subprocess.run(["git", "-C", str(beside), "checkout", "--quiet", "HEAD", "--", "."], check=True)
    beside.rename(target)


def vocadito(folder: Path) -> None:
    """Bring the three recordings of vocadito that lie among other projects' tests."""
    own = folder / "vocadito"
    own.mkdir(exist_ok=True)
    for repository in ("spotify/basic-pitch", "mir-dataset-loaders/mirdata"):
        target = folder / repository.replace("/", "+")
        if not target.exists():
            clone(f"https://github.com/{repository}", target)
        for path in target.rglob("vocadito_*.wav"):
            shutil.copy(path, own / path.name)


def collect(folder: Path, instruments: tuple[str, ...]) -> None:
    """Bring repositories and npm packages into a folder, each into one of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        origin, _, name = source.where.partition(":")
        if source.makers == ("vocadito",):
            vocadito(folder)
        elif origin == "github":
            repository = name.split()[0]
            target = folder / repository.replace("/", "+")
            if not target.exists():
                clone(f"https://github.com/{repository}", target)
        elif origin == "debian":
            print(f"apt-get install {name}")
    for instrument in instruments:
        package = f"tonejs-instrument-{instrument}-mp3"
        if not (folder / package).exists():
            packed = subprocess.run(
                ["npm", "pack", "-s", package], check=True, cwd=folder, capture_output=True, text=True
            )
            archive, beside = folder / packed.stdout.strip(), folder / f"{package}.part"
            shutil.rmtree(beside, ignore_errors=True)
            with tarfile.open(archive) as files:
                files.extractall(beside, filter="data")
            beside.rename(folder / package)
            archive.unlink()


def main() -> None:
    """Print the table, or collect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collect", type=Path, default=None)
    args = parser.parse_args()
    if args.collect is None:
        print(table())
        return
    from scripts.training_sounds.sampled import INSTRUMENTS

    collect(args.collect, tuple(one.detail for one in INSTRUMENTS if one.maker == "tonejs"))


if __name__ == "__main__":
    main()
