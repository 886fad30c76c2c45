"""The text of the page. What depends on results is derived from their figures, so that it stays true."""

from collections.abc import Mapping
from html import escape
from typing import Any

from scripts.gallery.examples import Example
from tagbox.methods.registry import find_method
from tagbox.pipeline.prepare import SHARE_NETWORK
from tagbox.taggers.names import TaggerName
from tagbox.tags.vocabularies import EXCLUSIVE

Result = Mapping[str, Any]
"""The kept settings and figures of one run (see `scripts.gallery.runs.make_result`)."""

NOTICEABLE_DB = 1.0
"""A smaller change of SI-SDR counts as none."""
HARDLY_CHANGED_DB = 15.0
"""With a higher SI-SDR against the recording, a result is nearly the recording itself."""
DATA_SETS = {"mtat": "MTAT", "jamendo": "MTG-Jamendo", "msd": "MSD", "rendered": "rendered sounds (ours)"}

TITLE = "TagBox: gallery"
INTRODUCTION = """<p>The examples of the
<a href="https://ethman.github.io/tagbox/">published demo page</a>
(<a href="https://arxiv.org/abs/2110.13071">paper</a>), one by one and with its settings, on recordings that anyone may
use. Each is processed by the paper's method (<code>paper</code>) and by TagBox's own (<code>steered</code>,
<code>default</code>), with the command that is printed below the result.</p>
<p>Three things differ from the published page. Its songs cannot be redistributed; the recordings here are an excerpt of
a song that anyone may use, and three short pieces that this project rendered from public-domain tunes with sampled
instruments, which makes them easier than real recordings. Jukebox (for noncommercial use only) and the taggers fcn, hcnn and musicnn do not ship with TagBox, so its own
small generator and Pons's two taggers replace them; with Jukebox, the results of <code>paper</code> may differ. And as the
stems of these recordings are known, every separation is measured against a reference.</p>
<p>SI-SDR, in dB, says how close a signal is to the reference stem, whatever its loudness; the improvement is how much
closer the estimate is than the unprocessed recording. SDR, the paper's measure, is shown next to the SDR of an empty file:
if the source is a small part of the recording, even an empty file improves it. All spectrograms share one scale: 0 dB is
the highest level of the recording, and black is 80 dB below.</p>"""
CLOSING = """<h2>Build it yourself</h2>
<p>In a checkout of TagBox, <code>make gallery</code> builds this page. Each command above also works on its own and writes
to <code>out/gallery</code>. The players play MP3 at 160 kbit/s; the figures were measured before this compression.</p>"""

_TRACK_TITLES = {
    "mixture": "Recording",
    "source": "Source: {}",
    "residual": "Residual",
    "result": "Result: towards {}",
}


def track_title(track: str, tag: str = "") -> str:
    """Return the title of a player; the name of a stem gives that of a reference."""
    return _TRACK_TITLES[track].format(tag) if track in _TRACK_TITLES else f"Reference: {track}"


def signed(value: float) -> str:
    """Return a number of dB with its sign and one decimal."""
    return f"{round(value, 1) + 0.0:+.1f}"


def improvement(result: Result, track: str, measure: str = "si_sdr") -> float:
    """Return by how many dB a track is closer to the reference stem than the recording is."""
    ratios = result["figures"][measure]
    return float(ratios[track] - ratios["mixture"])


def setting_rows(example: Example, result: Result) -> dict[str, str]:
    """Return a run's values for the rows of the table of settings."""
    settings = result["manifest"]["settings"]
    has_loop = settings["begin"] == "even" or settings["steps"] > 1
    targets = result["manifest"]["tags"].values()
    selected = dict.fromkeys(tag for by_tagger in targets for tags in by_tagger.values() for tag in tags)
    taggers = [TaggerName.parse(name) for name in settings["taggers"]]
    if find_method(settings["steer"]).needs_share_network:
        taggers.insert(0, SHARE_NETWORK)
    fft = ", ".join(map(str, settings["fft"]))
    return {
        "fft size(s)": "no mask" if example.command == "transfer" else fft,
        "lr": f"{settings['lr']:g}" if has_loop else "no loop",
        "steps": str(settings["steps"]) if has_loop else "no loop",
        "tagger model(s)": ", ".join(name.architecture for name in taggers),
        "tagger data": ", ".join(dict.fromkeys(DATA_SETS[name.data] for name in taggers)),
        "selected tags": ", ".join(selected),
        "generator": settings["generator"] if settings["steer"] == "latents" else "none",
    }


def figure_cells(example: Example, result: Result) -> dict[str, str]:
    """Return a run's cells of the table of figures, by the figure's name."""
    if example.stem is None:
        cells = {"kept": signed(result["figures"]["kept"])}
    else:
        ratios = result["figures"]["si_sdr"]
        cells = {
            "before": signed(ratios["mixture"]),
            "after": signed(ratios["source"]),
            "improvement": signed(improvement(result, "source")),
            "residual": signed(improvement(result, "residual")),
            "sdr": signed(improvement(result, "source", "sdr")),
        }
    if example.flutter:
        cells["flutter"] = f"{result['figures']['flutter']['source']:.1f}"
    loop = result["manifest"]["runs"][0]
    one_step = loop["steps"] == 1
    cells["loss"] = "no loop" if one_step else f"{loop['loss_first']:.3f} to {loop['loss_last']:.3f}"
    return cells


def control_rows(example: Example, results: Mapping[str, Result]) -> list[str]:
    """Return rows to compare with: the SDR of an empty file, and the flutter of the reference stem."""
    if example.stem is None:
        return []
    first = next(iter(results.values()))
    empty = signed(-first["figures"]["sdr"]["mixture"])
    flutter_cell = "<td></td>" if example.flutter else ""
    rows = [
        '<tr data-control="empty"><td>an empty file</td><td></td><td></td><td></td><td></td>'
        f'<td data-figure="sdr">{empty}</td>{flutter_cell}<td></td></tr>'
    ]
    if example.flutter:
        reference = first["figures"]["flutter"]["truth"]
        rows.append(
            f'<tr data-control="truth"><td>the reference {escape(example.stem)}</td><td></td><td></td><td></td>'
            f'<td></td><td></td><td data-figure="flutter">{reference:.1f}</td><td></td></tr>'
        )
    return rows


def predictions(example: Example, result: Result) -> str:
    """Return a sentence with each tagger's highest probability among the target tags, before and after."""
    manifest = result["manifest"]
    clauses = []
    for name in (entry["name"] for entry in manifest["taggers"]):
        targets = {tag for by_tagger in manifest["tags"].values() for tag in by_tagger[name]}
        before, after, *rest = (
            max(value for tag, value in manifest["probabilities"][signal][name].items() if tag in targets)
            for signal in _signals(example, manifest)
        )
        tagger = TaggerName.parse(name)
        kind = "share of the energy" if tagger.data in EXCLUSIVE else "probability"
        of_residual = f", {rest[0]:.2f} for the residual" if rest else ""
        estimate = "source" if rest else "result"
        clauses.append(
            f"{tagger.architecture} predicts the tags with a {kind} of {before:.2f} for the recording, {after:.2f} "
            f"for the {estimate}{of_residual}"
        )
    return "; ".join(clauses) + "."


def _signals(example: Example, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    if example.command == "transfer":
        return ("mixture", "result")
    return ("mixture", next(iter(manifest["tags"])), "residual")


def verdict(example: Example, result: Result) -> str:
    """Return sentences that say what a run's figures show."""
    if example.stem is None:
        return _transfer_verdict(result)
    source, residual = improvement(result, "source"), improvement(result, "residual")
    reference = f"the reference {example.stem}"
    if source >= NOTICEABLE_DB:
        sentences = [f"The source is {source:.1f} dB closer to {reference} than the recording is."]
    elif source > -NOTICEABLE_DB:
        sentences = [f"Hardly anything is separated: the SI-SDR changes by {signed(source)} dB."]
    else:
        sentences = [
            f"This does not separate the {example.stem}: the recording itself is {-source:.1f} dB closer to {reference} "
            "than the source is."
        ]
    loop = result["manifest"]["runs"][0]
    if source < NOTICEABLE_DB and loop["loss_last"] < loop["loss_first"]:
        sentences.append(f"Yet the loss decreased from {loop['loss_first']:.3f} to {loop['loss_last']:.3f}.")
    if residual > source:
        sentences.append(f"Even the residual is closer to it than the source is ({signed(residual)} dB).")
    if example.flutter:
        flutter = result["figures"]["flutter"]
        sentences.append(
            f"Its flutter is {flutter['source']:.1f} dB; that of {reference} is {flutter['truth']:.1f} dB."
        )
    return " ".join(sentences)


def _transfer_verdict(result: Result) -> str:
    kept = result["figures"]["kept"]
    if kept < 0:
        meaning = "hardly anything of the recording is left in the result"
    elif kept < HARDLY_CHANGED_DB:
        meaning = "the recording can still be heard in the result"
    else:
        meaning = "the result is nearly the recording itself"
    return f"Its SI-SDR against the recording is {signed(kept)} dB: {meaning}."


def legend(example: Example) -> str:
    """Return a paragraph that explains the columns of the table of figures."""
    lines = []
    if example.stem is not None:
        lines.append("SI-SDR, SDR and their improvements in dB, against the reference stem.")
    if example.flutter:
        lines.append(
            "Flutter: by how many dB the level changes from one frame (512 samples, hop length 256) to the next, averaged "
            "over the bins where the reference is within 50 dB of its maximum. Warbling raises it, and so does any other "
            "unsteadiness."
        )
    return f'<p class="soft">{" ".join(lines)}</p>'
