"""The callbacks of a tab: show a recording and its tags, run a job, stop it or cancel it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.tagging import predict_windows
from tagbox.ui import plots, suggestions
from tagbox.ui.examples import PageExample
from tagbox.ui.form import Form
from tagbox.ui.limits import Limits, without_folder
from tagbox.ui.processing import JobRequest, Process
from tagbox.ui.progress_html import ProgressView
from tagbox.ui.result_html import render_message, render_mixer, render_result
from tagbox.ui.session_files import JobSignals, SessionFolder
from tagbox.ui.songs import SongLibrary

EMPTY = ""
NO_RECORDING = "no recording is chosen; upload one, record one, or take an example"
INTERNAL_ERROR = (
    "something went wrong inside TagBox ({}); whoever runs this page finds the details in its terminal"
)


@dataclass(frozen=True)
class TabSpec:
    """What distinguishes one tab from another.

    Attributes:
        name: of the tab and of its button.
        description: a line or two above its controls.
        words_label: of the suggested words.
        process: what its jobs do.
        presets: names of the presets to choose from, the one chosen at first first.
        examples: recordings that run with one click.
        queries_of: the queries that the chosen words make: each its own, or all together one.
    """

    name: str
    description: str
    words_label: str
    process: Process
    presets: tuple[str, ...]
    examples: tuple[PageExample, ...]
    queries_of: Callable[[Sequence[str]], tuple[str, ...]] = tuple

    @property
    def key(self) -> str:
        """The name as identifiers of the page spell it."""
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True)
class PageContext:
    """What all tabs share.

    Attributes:
        folder: of the sessions' files.
        limits: on recordings and waiting jobs.
        songs: of all pages.
        generators: for each generator, by the name shown, the value of `Settings.generator`.
    """

    folder: SessionFolder
    limits: Limits
    songs: SongLibrary
    generators: Mapping[str, str]

    def close_page(self, request: gr.Request) -> None:
        """Cancel the jobs of a page that was closed, and remove its uploads."""
        self.folder.close_session(_session_key(request))


class Actions:
    """The callbacks of a tab. Gradio gives each open page a session key, by which its files are kept."""

    def __init__(self, spec: TabSpec, context: PageContext, form: Form) -> None:
        self.spec = spec
        self._context = context
        self._form = form

    def show_recording(self, request: gr.Request, recording: str | None) -> tuple[Any, ...]:
        """Draw a recording with its predicted tags, suggest words, and clear the previous results.

        Returns:
            contents of the drawing, the suggested words, the message, the mixer and the results.
        """
        if recording is None:
            return self.show_nothing()
        path = Path(recording)
        self._context.folder.session(_session_key(request)).uploads.add(path)
        try:
            excerpt = self._context.limits.read_file(path)
            (predictions,) = predict_windows(
                excerpt.samples, excerpt.rate, [load_tagger()], subject=str(path)
            )
        except Exception as error:
            message = render_message(_user_message(error, path), "error")
            return EMPTY, _suggestions([]), message, EMPTY, EMPTY
        drawing = plots.draw_predictions(excerpt.samples, excerpt.rate, predictions)
        note = EMPTY if excerpt.note is None else render_message(f"{excerpt.note}.")
        return drawing, _suggestions(suggestions.suggest_sources(predictions)), note, EMPTY, EMPTY

    def show_nothing(self) -> tuple[Any, ...]:
        """Clear what `show_recording` shows."""
        return EMPTY, _suggestions([]), EMPTY, EMPTY, EMPTY

    def take_example(self, request: gr.Request, title: str) -> tuple[str, list[str]]:
        """Copy the recording of the example with this title to the page's uploads.

        Returns:
            the recording's path, and the words.
        """
        (example,) = (example for example in self.spec.examples if example.title == title)
        folder = self._context.folder
        path = folder.copy_upload(example.path, f"{example.path.parent.name}{example.path.suffix}")
        folder.session(_session_key(request)).uploads.add(path)
        return str(path), list(example.words)

    def announce(self, request: gr.Request) -> tuple[Any, ...]:
        """Show at once that a job was asked for, and cancel the previous job of this tab.

        Returns:
            contents of the message, the mixer, the results and the three buttons, as from `run`.
        """
        signals = self._context.folder.session(_session_key(request)).signals
        if self.spec.key in signals:
            signals[self.spec.key].cancel.set()
        signals[self.spec.key] = JobSignals()
        return render_message("Submitted."), EMPTY, EMPTY, *_buttons(running=True)

    def run(
        self,
        request: gr.Request,
        recording: str | None,
        suggested: Sequence[str],
        typed: Sequence[str],
        *values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Run a job, and yield what to show while it goes on and at its end.

        Args:
            suggested: words that were chosen among the suggested ones.
            typed: other words.
            values: of the form's controls.

        Yields:
            contents of the message, the mixer, the results and the three buttons. The mixer is there as soon
            as something is to be heard.
        """
        signals = self._signals(request)
        path = Path(recording or "")
        try:
            if recording is None:
                raise TagBoxError(NO_RECORDING)
            self._context.limits.check_file(path)
            wanted = self._form.request(path, self.spec.queries_of(_join_words(suggested, typed)), values)
            view = _progress_view(wanted)
            song = self._context.songs.submit(wanted, self.spec.process, signals)
        except Exception as error:
            yield _ended(render_message(_user_message(error, path), "error"))
            return
        is_shown = False
        try:
            for status in song.job:
                mixer = render_mixer(song.token) if song.tracks and not is_shown else gr.skip()
                is_shown = is_shown or bool(song.tracks)
                yield view.render(status), mixer, EMPTY, gr.skip(), gr.skip(), gr.skip()
        except GeneratorExit:
            # The page was closed; what would be a song is nobody's.
            self._context.songs.remove(song)
            raise
        try:
            result = song.job.result()
        except CancelledError:
            self._context.songs.remove(song)
            # The page may have submitted another job since, which owns the message now.
            if self._signals(request) is signals:
                yield _ended(render_message("Cancelled."))
        except Exception as error:
            self._context.songs.remove(song)
            yield _ended(render_message(_user_message(error, path), "error"))
        else:
            mixer = gr.skip() if is_shown else render_mixer(song.token)
            message = view.render(song.job.status(), ended=True)
            yield _ended(message, mixer, render_result(result, song.token, path.name))

    def stop(self, request: gr.Request) -> gr.Button:
        """Ask the job to end after its current step and keep the result so far."""
        self._signals(request).stop.set()
        return gr.Button("Stopping", interactive=False)

    def cancel(self, request: gr.Request) -> gr.Button:
        """Ask the job to end without a result: after its current step, or at once while it waits."""
        self._signals(request).cancel.set()
        return gr.Button("Cancelling", interactive=False)

    def _signals(self, request: gr.Request) -> JobSignals:
        session = self._context.folder.session(_session_key(request))
        return session.signals.setdefault(self.spec.key, JobSignals())


def _session_key(request: gr.Request) -> str:
    return str(request.session_hash)


def _suggestions(words: Sequence[tuple[str, float]]) -> gr.CheckboxGroup:
    """Return the group of suggested words with their probabilities, none of them chosen yet."""
    choices = [(f"{word} {probability:.0%}", word) for word, probability in words]
    return gr.CheckboxGroup(choices, value=[], visible=bool(choices))


def _join_words(suggested: Sequence[str] | None, typed: Sequence[str] | None) -> tuple[str, ...]:
    """Return the chosen suggestions, then the typed words, each once."""
    words = [word.strip() for word in [*(suggested or ()), *(typed or ())]]
    return tuple(dict.fromkeys(word for word in words if word))


def _progress_view(wanted: JobRequest) -> ProgressView:
    """Check a request, and return how to show the progress of its job.

    Raises:
        TagBoxError: a setting or a query cannot be used.
    """
    settings = wanted.settings()
    return ProgressView(wanted.queries, suggestions.target_indices(wanted.queries, settings), settings.steps)


def _ended(message: str, mixer: Any = EMPTY, results: str = EMPTY) -> tuple[Any, ...]:
    return message, mixer, results, *_buttons(running=False)


def _buttons(running: bool) -> tuple[gr.Button, gr.Button, gr.Button]:
    """Return the buttons to start, stop and cancel, as they are while a job runs or while none does."""
    return (
        gr.Button(interactive=not running),
        gr.Button("Stop and keep", interactive=True, visible=running),
        gr.Button("Cancel", interactive=True, visible=running),
    )


def _user_message(error: Exception, path: Path) -> str:
    """Return one line about an error. An unforeseen one goes to the log, as it may reveal what is private."""
    if isinstance(error, TagBoxError):
        return without_folder(error, path)
    logging.getLogger(__name__).error("a job failed", exc_info=error)
    return INTERNAL_ERROR.format(type(error).__name__)
