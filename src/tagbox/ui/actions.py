"""What happens when somebody gives a recording, asks for a run, stops it or cancels it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.tagging import predict_windows
from tagbox.ui import plots, progress_html, result_html, suggestions
from tagbox.ui.form import Form
from tagbox.ui.gallery import Example
from tagbox.ui.jobs import Job, JobQueue
from tagbox.ui.limits import Limits, about, plain
from tagbox.ui.session_files import Folder, Signals
from tagbox.ui.tasks import Task

NOTHING = ""
NO_SONG = "no recording is here yet; drop one, record one, or take an example"
INSIDE = "something went wrong inside TagBox ({}); whoever runs this page finds the reason in its terminal"


@dataclass(frozen=True)
class TabSpec:
    """What one tab does.

    Attributes:
        name: of the tab and of its button.
        about: a line or two for people.
        asks: what the words that are heard are offered for.
        task: what it runs.
        presets: those to choose from, the first one first.
        examples: recordings that run with one click.
        goals: from the words that are chosen to what is asked for, a source or a goal each.
    """

    name: str
    about: str
    asks: str
    task: Task
    presets: tuple[str, ...]
    examples: tuple[Example, ...]
    goals: Callable[[Sequence[str]], tuple[str, ...]] = tuple

    @property
    def key(self) -> str:
        """The name as it stands in the page's identifiers."""
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True)
class PageContext:
    """What all tabs share.

    Attributes:
        folder: private, where everything lies.
        limits: of a recording.
        turns: one run goes on at a time.
        generators: by the name that is shown, what `Settings.generator` is to be.
    """

    folder: Folder
    limits: Limits
    turns: JobQueue
    generators: Mapping[str, str]


class Actions:
    """The callbacks of a tab; those who call are told apart by the key that Gradio gives each open page."""

    def __init__(self, kind: TabSpec, house: PageContext, form: Form) -> None:
        self.kind = kind
        self._house = house
        self._form = form

    def listen(self, request: gr.Request, song: str | None) -> tuple[Any, ...]:
        """Show a recording and what is heard in it, and offer words; the last results go."""
        if song is None:
            return NOTHING, gr.CheckboxGroup([], value=[], visible=False), NOTHING, NOTHING
        path = Path(song)
        self._house.folder.session(_key(request)).uploads.add(path)
        try:
            recording = self._house.limits.read(path)
            with about(path):
                (heard,) = predict_windows(recording.samples, recording.rate, [load_tagger()])
        except Exception as error:
            told = result_html.line(_said(error, path), "wrong")
            return NOTHING, gr.CheckboxGroup([], value=[], visible=False), told, NOTHING
        drawn = plots.heard_over_time(recording.samples, recording.rate, heard)
        offered = [(f"{word} {share:.0%}", word) for word, share in suggestions.suggestions(heard)]
        return drawn, gr.CheckboxGroup(offered, value=[], visible=True), NOTHING, NOTHING

    def taking(self, example: Example) -> Callable[[gr.Request], tuple[str, list[str]]]:
        """A callback that puts an example's recording and words into the page."""

        def take(request: gr.Request) -> tuple[str, list[str]]:
            folder = self._house.folder
            path = folder.new_upload(example.path, f"{example.path.parent.name}{example.path.suffix}")
            folder.session(_key(request)).uploads.add(path)
            return str(path), list(example.words)

        return take

    def begin(self, request: gr.Request) -> tuple[Any, ...]:
        """Show that a run is asked for; it may have to wait. One before it in this tab is over."""
        signals = self._house.folder.session(_key(request)).signals
        if self.kind.key in signals:
            signals[self.kind.key].cancel.set()
        signals[self.kind.key] = Signals()
        return (
            result_html.line("Asked for."),
            NOTHING,
            *_buttons(running=True),
        )

    def run(
        self, request: gr.Request, song: str | None, heard: Sequence[str], typed: Sequence[str], *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Run, and show how it goes; then what came out, or why nothing did."""
        folder = self._house.folder
        signals = folder.session(_key(request)).signals.setdefault(self.kind.key, Signals())
        path = Path(song or "")
        try:
            if song is None:
                raise TagBoxError(NO_SONG)
            self._house.limits.check(path)
            wanted = self._form.request(path, self.kind.goals(_words(heard, typed)), values)
            settings = wanted.settings()
        except Exception as error:
            yield result_html.line(_said(error, path), "wrong"), NOTHING, *_buttons(running=False)
            return
        target = folder.new_results(_key(request), self.kind.key)
        outputs = {w: suggestions.outputs(w, settings.taggers, settings.vocabulary) for w in wanted.words}
        try:
            watched = Job(partial(self.kind.task, wanted, target), signals, self._house.turns)
        except TagBoxError as error:
            yield result_html.line(str(error), "wrong"), NOTHING, *_buttons(running=False)
            return
        for moment in watched:
            yield (
                progress_html.shown(moment, wanted, outputs, settings),
                NOTHING,
                gr.skip(),
                gr.skip(),
                gr.skip(),
            )
        shown = progress_html.shown(watched.last(), wanted, outputs, settings, ended=True)
        try:
            outcome = watched.outcome()
        except CancelledError:
            if self._signals(request) is not signals:
                return
            yield result_html.line("Cancelled."), NOTHING, *_buttons(running=False)
        except Exception as error:
            yield result_html.line(_said(error, path), "wrong"), NOTHING, *_buttons(running=False)
        else:
            yield shown, result_html.results(outcome, path.name), *_buttons(running=False)

    def stop(self, request: gr.Request) -> Any:
        """Let the run end at its next step and keep what it has."""
        self._signals(request).stop.set()
        return gr.Button("Stopping", interactive=False)

    def cancel(self, request: gr.Request) -> Any:
        """Let the run be gone at its next step, or at once where it has no turn yet; it says so itself."""
        self._signals(request).cancel.set()
        return gr.Button("Cancelling", interactive=False)

    def _signals(self, request: gr.Request) -> Signals:
        return self._house.folder.session(_key(request)).signals.setdefault(self.kind.key, Signals())


def _key(request: gr.Request) -> str:
    """Of the open page that asks."""
    return str(request.session_hash)


def _words(heard: Sequence[str] | None, typed: Sequence[str] | None) -> tuple[str, ...]:
    """The words that were tapped, then those that were typed, each once."""
    return tuple(dict.fromkeys(word.strip() for word in [*(heard or ()), *(typed or ())] if word.strip()))


def _buttons(running: bool) -> tuple[gr.Button, gr.Button, gr.Button]:
    """Go, stop and cancel."""
    return (
        gr.Button(interactive=not running),
        gr.Button("Stop and keep", interactive=True, visible=running),
        gr.Button("Cancel", interactive=True, visible=running),
    )


def _said(error: Exception, path: Path) -> str:
    """One line for people. What we did not foresee goes to the log: it may name what is nobody's business."""
    if isinstance(error, TagBoxError):
        return plain(error, path)
    logging.getLogger(__name__).error("a run failed", exc_info=error)
    return INSIDE.format(type(error).__name__)
