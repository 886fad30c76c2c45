"""HTML of a run that goes on: how far it is, how long it may take, and its curves."""

from collections.abc import Mapping, Sequence
from html import escape

from tagbox.presets import Settings
from tagbox.ui import plots
from tagbox.ui.jobs import JobStatus
from tagbox.ui.tasks import Request


def shown(
    moment: JobStatus,
    request: Request,
    outputs: Mapping[str, Sequence[Sequence[int]]],
    settings: Settings,
    ended: bool = False,
) -> str:
    """A line, a bar and the curves; `outputs` are each word's for each tagger."""
    done = len(moment.steps)
    bar = "" if ended else f'<progress max="{settings.steps}" value="{done}"></progress>'
    line = f'<p class="line told" role="status">{escape(_line(moment, settings.steps, ended))}</p>'
    return line + bar + (plots.curves(moment, request.words, outputs, settings.steps) if done else "")


def _line(moment: JobStatus, steps: int, ended: bool) -> str:
    done = len(moment.steps)
    if ended:
        return f"Done: {done} step{'s' * (done != 1)}, {moment.seconds:.0f} s."
    if not moment.begun:
        runs = f"{moment.before} run{'s' * (moment.before != 1)}"
        return f"Waiting: {runs} to end before this one begins · {moment.seconds:.0f} s"
    if not done:
        return f"Getting ready: {moment.seconds:.0f} s"
    parts = [f"Step {done} of {steps}" + (f", loop {moment.loops}" if moment.loops > 1 else "")]
    if moment.segments is not None:
        parts.append("part {} of {} written".format(*moment.segments))
    left = moment.steps[-1].seconds / done * (steps - done)
    parts.append(f"about {left:.0f} s left" if done < steps else "finishing")
    return " · ".join(parts)
