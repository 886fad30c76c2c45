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
        done = len(status.steps)
        bar = "" if ended else f'<progress max="{self.steps}" value="{done}"></progress>'
        text = self._final_text(status) if ended else self._text(status)
        line = f'<p class="line message" role="status">{escape(text)}</p>'
        return line + bar + (plots.draw_loop(status, self.queries, self.targets, self.steps) if done else "")

    def _text(self, status: JobStatus) -> str:
        done = len(status.steps)
        if not status.started:
            others = "1 other run" if status.jobs_before == 1 else f"{status.jobs_before} other runs"
            return f"Waiting for {others} to end · {status.seconds:.0f} s"
        if not done:
            return f"Preparing · {status.seconds:.0f} s"
        parts = [f"Step {done} of {self.steps}" + (f", loop {status.loops}" if status.loops > 1 else "")]
        if status.segments is not None:
            parts.append("segment {} of {} done".format(*status.segments))
        seconds_left = status.steps[-1].seconds / done * (self.steps - done)
        parts.append(f"about {seconds_left:.0f} s left" if done < self.steps else "finishing")
        return " · ".join(parts)

    def _final_text(self, status: JobStatus) -> str:
        done = len(status.steps)
        return f"Done: {done} step{'s' * (done != 1)}, {status.seconds:.0f} s"
