"""The progress of a job as HTML: a line, a bar with the time left, and the curves of its loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tagbox.ui import plots
from tagbox.ui.jobs import JobStatus


@dataclass(frozen=True)
class ProgressView:
    """How the page shows the progress of one job.

    Attributes:
        queries: one a source.
        targets: for each query, for each tagger, the indices of its target tags.
        steps: the number of steps that a loop takes at the most; 1 where nothing is steered.
    """

    queries: Sequence[str]
    targets: Mapping[str, Sequence[Sequence[int]]]
    steps: int

    def render(self, status: JobStatus, ended: bool = False) -> str:
        """Return a line of text, a bar unless the job has ended, and the curves of the current loop."""
        text = self._final_text(status) if ended else self._text(status)
        line = f'<p class="line message" role="status">{escape(text)}</p>'
        bar = "" if ended else self._bar(status)
        has_curves = self._has_loop and status.steps
        curves = plots.draw_loop(status, self.queries, self.targets, self.steps) if has_curves else ""
        return line + bar + curves

    @property
    def _has_loop(self) -> bool:
        return self.steps > 1

    def _bar(self, status: JobStatus) -> str:
        """Return a bar of the steps of the current loop, or of the segments where there is no loop."""
        done, count = (len(status.steps), self.steps) if self._has_loop else status.segments or (0, 1)
        return f'<progress max="{count}" value="{done}"></progress>'

    def _text(self, status: JobStatus) -> str:
        if not status.started:
            others = "1 other run" if status.jobs_before == 1 else f"{status.jobs_before} other runs"
            return f"Waiting for {others} to end · {status.seconds:.0f} s"
        segments = [] if status.segments is None else ["segment {} of {} done".format(*status.segments)]
        if not self._has_loop:
            return " · ".join(["Running", *segments, f"{status.seconds:.0f} s"])
        done = len(status.steps)
        if not done:
            return f"Preparing · {status.seconds:.0f} s"
        step = f"Step {done} of {self.steps}" + (f", loop {status.loops}" if status.loops > 1 else "")
        seconds_left = status.steps[-1].seconds / done * (self.steps - done)
        left = f"about {seconds_left:.0f} s left" if done < self.steps else "finishing"
        return " · ".join([step, *segments, left])

    def _final_text(self, status: JobStatus) -> str:
        done = len(status.steps)
        steps = f"{done} step{'s' * (done != 1)}, " if self._has_loop else ""
        return f"Done: {steps}{status.seconds:.0f} s"
