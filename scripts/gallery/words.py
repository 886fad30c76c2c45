"""What the page says. Whatever depends on results is made of their figures, so that it cannot go stale."""

from collections.abc import Mapping
from html import escape
from typing import Any

from scripts.gallery.examples import Example, Setup
from tagbox.tags.vocabularies import EXCLUSIVE

Result = Mapping[str, Any]
"""What is kept of one run (see `scripts.gallery.runs`)."""

SMALL_DB = 1.0
"""An SI-SDR that moves by less is called next to nothing."""
LITTLE_CHANGED_DB = 15.0
"""Of SI-SDR against the recording."""
DATA = {"mtat": "MTAT", "jamendo": "MTG-Jamendo", "msd": "MSD", "rendered": "rendered sounds (ours)"}

TITLE = "TagBox: gallery"
INTRODUCTION = """<p>The examples of the
<a href="https://ethman.github.io/tagbox/">original demo page</a>
(<a href="https://arxiv.org/abs/2110.13071">the paper</a>), one by one and by their own settings, with recordings that
anyone may have. Each is made by the paper's method (<code>paper</code>) and by ours (<code>steered</code>,
<code>default</code>), and by the very command that stands under it.</p>
<p>Three things differ from the original page. The songs there cannot be given away; here are three short pieces that
this project rendered from public-domain tunes, which sampled instruments play. That is easier than real
recordings. Jukebox and the taggers fcn, hcnn and musicnn are not inside TagBox (Jukebox is for noncommercial use
only), so its own small generator and Pons's two taggers take their places, and what <code>paper</code> does with
Jukebox may differ. And as the true stems are known, every separation is measured against them.</p>
<p>SI-SDR tells how near a signal is to the true stem, whatever its loudness, in dB; the improvement is how much nearer
the result is than the untouched recording. SDR, the paper's measure, stands beside what an empty file scores:
where the source is a small part of the recording, an empty file improves it, too. Spectrograms share one scale: 0 dB is the loudest point of the recording, black is 80 dB below.</p>"""
END = """<h2>Make it again</h2>
<p>In a checkout of TagBox, <code>make gallery</code> makes this page. Each command above can also be run by itself; it
writes below <code>out/gallery</code>. Players have MP3 at 160 kbit/s; figures are of the results before that.</p>"""

_TRACKS = {
    "mixture": "Recording",
    "source": "Source: {}",
    "residual": "Residual: the rest",
    "result": "Result: towards {}",
}


def track(name: str, tag: str = "") -> str:
    """What a player is called; a name that is no track of a run is a true stem's."""
    return _TRACKS[name].format(tag) if name in _TRACKS else f"True {name}"


def signed(value: float) -> str:
    """dB with a sign, to one place, as the page shows them."""
    return f"{round(value, 1) + 0.0:+.1f}"


def improvement(result: Result, name: str, measure: str = "si_sdr") -> float:
    """How much nearer a track is to the true stem than the recording is, dB."""
    ratios = result["figures"][measure]
    return float(ratios[name] - ratios["mixture"])


def settings(example: Example, result: Result) -> dict[str, str]:
    """The rows of the settings table, as a run had them."""
    used = result["manifest"]["settings"]
    loops = used["begin"] == "even" or used["steps"] > 1
    tags = result["manifest"]["tags"]
    selected = {tag: None for heard in tags.values() for chosen in heard.values() for tag in chosen}
    fft = ", ".join(map(str, used["fft"]))
    return {
        "fft size(s)": "no mask" if example.command == "transfer" else fft,
        "lr": f"{used['lr']:g}" if loops else "no loop",
        "steps": str(used["steps"]) if loops else "no loop",
        "tagger model(s)": ", ".join(name.partition("/")[2] for name in used["taggers"]),
        "tagger data": ", ".join(dict.fromkeys(DATA[name.partition("/")[0]] for name in used["taggers"])),
        "selected tags": ", ".join(selected),
        "generator": used["generator"] if used["steer"] == "latents" else "none",
    }


def figures(example: Example, result: Result) -> dict[str, str]:
    """The figures of a run by name, as the page shows them."""
    found = {}
    if example.stem is not None:
        ratios = result["figures"]["si_sdr"]
        found = {
            "before": signed(ratios["mixture"]),
            "after": signed(ratios["source"]),
            "improvement": signed(improvement(result, "source")),
            "residual": signed(improvement(result, "residual")),
            "sdr": signed(improvement(result, "source", "sdr")),
        }
    else:
        found["kept"] = signed(result["figures"]["kept"])
    if example.flutter:
        found["flutter"] = f"{result['figures']['flutter']['source']:.1f}"
    loop = result["manifest"]["runs"][0]
    one = loop["steps"] == 1
    found["loss"] = "no loop" if one else f"{loop['loss_first']:.3f} to {loop['loss_last']:.3f}"
    return found


def controls(example: Example, results: Mapping[str, Result]) -> list[str]:
    """Rows of the table for what separates nothing: an empty file, and the true stem's unsteadiness."""
    if example.stem is None:
        return []
    first = next(iter(results.values()))
    empty = signed(-first["figures"]["sdr"]["mixture"])
    steady = "<td></td>" if example.flutter else ""
    rows = [
        '<tr data-control="empty"><td>an empty file</td><td></td><td></td><td></td><td></td>'
        f'<td data-figure="sdr">{empty}</td>{steady}<td></td></tr>'
    ]
    if example.flutter:
        true = first["figures"]["flutter"]["truth"]
        rows.append(
            f'<tr data-control="truth"><td>the true {escape(example.stem)}</td><td></td><td></td><td></td><td></td>'
            f'<td></td><td data-figure="flutter">{true:.1f}</td><td></td></tr>'
        )
    return rows


def heard(example: Example, result: Result) -> str:
    """The highest probability among the tags before and after, by the taggers of the run."""
    manifest = result["manifest"]
    parts = []
    for name in (entry["name"] for entry in manifest["taggers"]):
        wanted = {tag for heard_as in manifest["tags"].values() for tag in heard_as[name]}
        ends = [
            max(value for tag, value in manifest["probabilities"][signal][name].items() if tag in wanted)
            for signal in _signals(example, manifest)
        ]
        rest = f", {ends[2]:.2f} in the residual" if len(ends) > 2 else ""
        shares = " (as a share of the energy)" if name.partition("/")[0] in EXCLUSIVE else ""
        parts.append(
            f"{name.partition('/')[2]} hears the tags with {ends[0]:.2f} in the recording, {ends[1]:.2f} in the "
            f"{'result' if len(ends) == 2 else 'source'}{rest}{shares}"
        )
    return "; ".join(parts) + "."


def _signals(example: Example, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    if example.command == "transfer":
        return ("mixture", "result")
    return ("mixture", next(iter(manifest["tags"])), "residual")


def verdict(example: Example, setup: Setup, result: Result) -> str:
    """What the figures show of a run, in words."""
    if example.stem is None:
        kept = result["figures"]["kept"]
        if kept < 0:
            how = "hardly anything of the recording is left in it"
        elif kept < LITTLE_CHANGED_DB:
            how = "the recording is still in it"
        else:
            how = "it is nearly the recording, little changed"
        return f"Against the recording its SI-SDR is {signed(kept)} dB: {how}."
    source, rest = improvement(result, "source"), improvement(result, "residual")
    true = f"the true {example.stem}"
    if source >= SMALL_DB:
        said = f"The source is {source:.1f} dB nearer to {true} than the recording is."
    elif source > -SMALL_DB:
        said = f"Next to nothing is separated: SI-SDR moves by {signed(source)} dB."
    else:
        said = f"This does not separate: the recording itself is {-source:.1f} dB nearer to {true} than the source."
    loop = result["manifest"]["runs"][0]
    if source < SMALL_DB and loop["loss_last"] < loop["loss_first"]:
        said += f" The loss fell all the same, from {loop['loss_first']:.3f} to {loop['loss_last']:.3f}."
    if rest > source:
        said += f" Even the residual is nearer to it than the source is ({signed(rest)} dB)."
    if example.flutter:
        found = result["figures"]["flutter"]
        said += f" Its flutter is {found['source']:.1f} dB, and {true}'s is {found['truth']:.1f} dB."
    return said


def legend(example: Example) -> str:
    """What the columns of the table mean, where it needs saying."""
    lines = []
    if example.stem is not None:
        lines.append("Ratios and improvements in dB, against the true stem.")
    if example.flutter:
        lines.append(
            "Flutter: by how many dB the level changes from one frame (512 samples, hop 256) to the next, on "
            "average over the points where the true stem is within 50 dB of its loudest. Warbling raises it; "
            "so does anything else that is unsteady."
        )
    return f'<p class="soft">{" ".join(lines)}</p>'
