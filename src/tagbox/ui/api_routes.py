"""The page's functions as an HTTP API, which the mixer uses and other programs may use.

Answers are JSON unless they are sound, pictures or archives. What cannot be done is answered with a status of
400 or above and {"error": "a line that says why"}.
"""

import json
import math
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tagbox import presets
from tagbox.audio.metadata import Metadata
from tagbox.corrections import check, from_json
from tagbox.errors import TagBoxError
from tagbox.ui import suggestions
from tagbox.ui.archive import stream_zip
from tagbox.ui.correcting import Change, change_song
from tagbox.ui.descriptions import describe_song
from tagbox.ui.limits import without_folder
from tagbox.ui.mixdown import parse_levels, save_mix
from tagbox.ui.peaks import outline
from tagbox.ui.processing import JobRequest, process_separation
from tagbox.ui.result_files import FORMATS
from tagbox.ui.songs import RECORDINGS, Song
from tagbox.ui.tracks import FileTrack, Track

if TYPE_CHECKING:
    from tagbox.ui.actions import PageContext

Values = TypeVar("Values")
Answer = Callable[[Request], Awaitable[Response]]

PRIVATE = {"Cache-Control": "private, no-store"}
MAX_TEXT_BYTES = 20_000
MAX_SPAN_SAMPLES = 1 << 21
MAX_NAME = 100
SUBMIT_QUERY = (
    "name=song.flac&words=violin&words=piano&preset=default&format=FLAC, 24 bits&start=0&duration=0"
)
CHANGING = ("POST", "PUT", "DELETE")


class RefusedRequestError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def api_routes(context: "PageContext", preset_names: tuple[str, ...]) -> list[Route]:
    """Return the routes of the API.

    Args:
        context: with the songs.
        preset_names: those that a song may be separated with.
    """
    api = _Api(context, preset_names)
    operations: list[tuple[str, str, str, Answer]] = [
        ("GET", "/api", "", api.list_operations),
        ("GET", "/api/words", "", api.list_words),
        ("POST", "/api/songs", SUBMIT_QUERY, api.submit),
        ("GET", "/api/songs/{song}", "", api.describe),
        ("DELETE", "/api/songs/{song}", "", api.remove),
        ("POST", "/api/songs/{song}/stop", "", api.stop),
        ("POST", "/api/songs/{song}/corrections", "", api.correct),
        ("POST", "/api/songs/{song}/undo", "", api.undo),
        ("POST", "/api/songs/{song}/redo", "", api.redo),
        ("PUT", "/api/songs/{song}/mixer", "", api.keep_mixer),
        ("GET", "/api/songs/{song}/samples", "track=violin&start=0&stop=44100", api.send_samples),
        ("GET", "/api/songs/{song}/peaks", "track=violin", api.send_peaks),
        ("GET", "/api/songs/{song}/files/{name}", "", api.send_file),
        ("GET", "/api/songs/{song}/mix", 'tracks={"violin": {"gain": 1, "pan": 0}}&name=mix', api.send_mix),
        ("GET", "/api/songs/{song}/zip", "", api.send_zip),
        ("GET", "/api/zip", "songs=TOKEN&songs=TOKEN", api.send_zip_of_songs),
    ]
    api.operations.extend(
        {"method": method, "path": path, "query": query, "what": _first_line(answer)}
        for method, path, query, answer in operations
    )
    return [Route(path, _answering(answer), methods=[method]) for method, path, _, answer in operations]


class _Api:
    """The operations; the first line of each docstring is its description in the API's own list."""

    def __init__(self, context: "PageContext", preset_names: tuple[str, ...]) -> None:
        self._context = context
        self._presets = preset_names
        self.operations: list[dict[str, str]] = []

    async def list_operations(self, request: Request) -> Response:
        """List the operations of this API."""
        return JSONResponse({"operations": self.operations})

    async def list_words(self, request: Request) -> Response:
        """List the words that can be separated, the presets and the file formats."""
        words = suggestions.known_words(presets.find(self._presets[0]).settings.taggers)
        return JSONResponse({"words": words, "presets": self._presets, "formats": list(FORMATS)})

    async def submit(self, request: Request) -> Response:
        """Separate the recording in the body; repeat `words` for several sources."""
        values = request.query_params
        folder = self._context.songs.new_folder()
        path = folder / RECORDINGS / (Path(values.get("name", "")).name[-MAX_NAME:] or "recording")
        try:
            await self._save_body(request, path)
            wanted = JobRequest(
                path,
                tuple(dict.fromkeys(word.strip() for word in values.getlist("words") if word.strip())),
                self._preset(values.get("preset", self._presets[0])),
                start=_number(values.get("start", "0"), "start"),
                duration=_number(values.get("duration", "0"), "duration") or None,
                format=_choice(values.get("format", next(iter(FORMATS))), tuple(FORMATS), "format"),
            )
            song = await run_in_threadpool(self._submit, wanted, folder)
        except BaseException:
            _remove_recording(path, folder)
            raise
        return JSONResponse(describe_song(song), 202, {**PRIVATE, "Location": f"api/songs/{song.token}"})

    async def describe(self, request: Request) -> Response:
        """Describe a song: state, progress, tracks, and how its mixer was left."""
        song = self._song(request)
        return JSONResponse(await run_in_threadpool(describe_song, song), headers=PRIVATE)

    async def remove(self, request: Request) -> Response:
        """Cancel a song's run, and remove the song with its files."""
        self._context.songs.remove(self._song(request))
        return JSONResponse({})

    async def stop(self, request: Request) -> Response:
        """End a song's run after its current step, with the best result so far."""
        self._song(request).signals.stop.set()
        return JSONResponse({})

    async def correct(self, request: Request) -> Response:
        """Correct a song by a list of corrections, as run.json has them."""
        song = self._song(request)
        made = from_json(_json(await _read_body(request)))
        for each in made:
            if song.project is not None:
                check(each, song.project.tags, song.project.seconds)
        return self._change(song, lambda project: project.note(*made))

    async def undo(self, request: Request) -> Response:
        """Take a song's last correction back."""
        return self._change(self._song(request), lambda project: project.undo())

    async def redo(self, request: Request) -> Response:
        """Make the correction again that was undone last."""
        return self._change(self._song(request), lambda project: project.redo())

    async def keep_mixer(self, request: Request) -> Response:
        """Keep how the mixer is set, a JSON object, for whoever opens the song again."""
        song = self._song(request)
        song.mixer = _json_object(await _read_body(request))
        return JSONResponse({})

    async def send_samples(self, request: Request) -> Response:
        """Send samples of a track: float32, little-endian, channels interleaved."""
        song, values = self._song(request), request.query_params
        start, stop = (int(_number(values.get(name, "0"), name)) for name in ("start", "stop"))
        stop = min(stop, start + MAX_SPAN_SAMPLES)
        samples = await run_in_threadpool(
            _of_track, song, values.get("track", ""), lambda track: track.read(start, stop)
        )
        return Response(
            samples.astype("<f4").tobytes(), media_type="application/octet-stream", headers=PRIVATE
        )

    async def send_peaks(self, request: Request) -> Response:
        """Send the lowest and the highest sample of each 1/100 s so far: int8, full scale at 127."""
        song = self._song(request)
        name = request.query_params.get("track", "")
        peaks = await run_in_threadpool(_of_track, song, name, outline)
        return Response(peaks.tobytes(), media_type="application/octet-stream", headers=PRIVATE)

    async def send_file(self, request: Request) -> Response:
        """Send a file of a song: a track, its spectrogram, or run.json."""
        song, name = self._song(request), request.path_params["name"]
        path = song.find_file(name)
        if path is None:
            raise RefusedRequestError(404, "there is no such file")
        return FileResponse(path, headers=PRIVATE, filename=song.download_name(name))

    async def send_mix(self, request: Request) -> Response:
        """Send a mix of the tracks that are named, in the song's file format."""
        song, values = self._song(request), request.query_params
        levels = parse_levels(_json_object(values.get("tracks", "")), song.tracks)
        if song.result is None:
            raise RefusedRequestError(409, "a mix can be saved once the run has ended")
        name = Path(values.get("name", "")).name[:MAX_NAME] or "mix"
        format, bits = FORMATS[song.request.format]
        path = song.folder / f".mix-{secrets.token_hex(8)}.{format}"
        title = Metadata({"TITLE": f"{song.title} ({name})"})
        written = await run_in_threadpool(save_mix, song.tracks, levels, path, bits, title)
        return FileResponse(
            written,
            headers=PRIVATE,
            filename=song.download_name(f"{name}{written.suffix}"),
            background=BackgroundTask(written.unlink, missing_ok=True),
        )

    async def send_zip(self, request: Request) -> Response:
        """Send all tracks of a song and its run.json as a zip archive."""
        song = self._song(request)
        return _zip_response({song.download_name(p.name): p for p in _result_files(song)}, song.title)

    async def send_zip_of_songs(self, request: Request) -> Response:
        """Send the results of several songs as one zip archive, with a folder for each."""
        files: dict[str, Path] = {}
        folders: set[str] = set()
        for token in dict.fromkeys(request.query_params.getlist("songs")):
            song = self._find(token)
            folder, count = song.title, 2
            while folder in folders:
                folder, count = f"{song.title} {count}", count + 1
            folders.add(folder)
            files |= {f"{folder}/{song.download_name(p.name)}": p for p in _result_files(song)}
        return _zip_response(files, "TagBox")

    def _change(self, song: Song, change: Change) -> Response:
        """Have a song changed, and describe it as it is before."""
        if song.project is None:
            raise RefusedRequestError(409, f"{song.title} cannot be corrected; separate it anew")
        self._context.songs.change(song, lambda before: change_song(song, before, change))
        return JSONResponse(describe_song(song), 202, PRIVATE)

    def _song(self, request: Request) -> Song:
        return self._find(request.path_params["song"])

    def _find(self, token: str) -> Song:
        song = self._context.songs.find(token)
        if song is None:
            raise RefusedRequestError(404, "there is no such song; it may have been removed")
        return song

    def _preset(self, name: str) -> str:
        return _choice(name, self._presets, "preset")

    def _submit(self, wanted: JobRequest, folder: Path) -> Song:
        """Check a request, and start its job."""
        try:
            self._context.limits.check_file(wanted.path)
            wanted.settings()
        except TagBoxError as error:
            raise RefusedRequestError(400, without_folder(error, wanted.path)) from error
        song = self._context.songs.submit(wanted, process_separation, folder=folder)
        song.job.when_ended(lambda: _remove_recording(wanted.path))
        return song

    async def _save_body(self, request: Request, path: Path) -> None:
        """Write the body of a request to `path`, and stop where it becomes too large."""
        limit = self._context.limits.megabytes * 1_000_000
        path.parent.mkdir(mode=0o700, parents=True)
        written = 0
        with path.open("wb") as file:
            async for block in request.stream():
                written += len(block)
                if written > limit:
                    megabytes = self._context.limits.megabytes
                    raise RefusedRequestError(
                        413, f"that is larger than {megabytes} MB, the most that is taken"
                    )
                file.write(block)


def _answering(answer: Answer) -> Answer:
    """Return `answer` with errors as JSON, for requests that change something from this page's own only."""

    @wraps(answer)
    async def respond(request: Request) -> Response:
        try:
            if request.method in CHANGING:
                _refuse_other_pages(request)
            return await answer(request)
        except RefusedRequestError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except TagBoxError as error:
            return JSONResponse({"error": str(error)}, 400)

    return respond


def _refuse_other_pages(request: Request) -> None:
    """Refuse what a page of another server has the browser ask for; other programs send no origin."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise RefusedRequestError(403, "pages of other servers cannot use this one")


async def _read_body(request: Request) -> str:
    """Return a short text that was sent."""
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > MAX_TEXT_BYTES:
            raise RefusedRequestError(413, "that is too much text")
    return body.decode("utf-8", "replace")


def _of_track(song: Song, name: str, compute: Callable[[Track], Values]) -> Values:
    """Return what `compute` makes of a track."""
    try:
        return compute(song.find_track(name))
    except FileNotFoundError:
        # It was finished meanwhile, and has moved to another file.
        return compute(song.find_track(name))


def _result_files(song: Song) -> list[Path]:
    """Return the sound files of a finished song and its run.json."""
    if song.result is None:
        raise RefusedRequestError(409, f"{song.title} is not done yet")
    tracks = [track.path for track in song.tracks if isinstance(track, FileTrack)]
    return [*tracks, song.folder / "run.json"]


def _zip_response(files: dict[str, Path], title: str) -> Response:
    # A header holds no more than Latin letters, so that the name goes by RFC 5987.
    headers = {**PRIVATE, "Content-Disposition": f"attachment; filename*=utf-8''{quote(title)}.zip"}
    return StreamingResponse(stream_zip(files), media_type="application/zip", headers=headers)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RefusedRequestError(400, "that is not JSON") from error


def _json_object(text: str) -> dict[str, Any]:
    values = _json(text)
    if not isinstance(values, dict):
        raise RefusedRequestError(400, "that is not an object of JSON")
    return values


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RefusedRequestError(400, f"{name} is a number, not {text!r}")
    return value


def _choice(value: str, choices: tuple[str, ...], name: str) -> str:
    if value not in choices:
        raise RefusedRequestError(400, f"there is no {name} {value!r}; there are {', '.join(choices)}")
    return value


def _remove_recording(path: Path, folder: Path | None = None) -> None:
    """Remove an uploaded recording with its folder, and `folder` around it where nothing else is in it."""
    path.unlink(missing_ok=True)
    for each in (path.parent, *([folder] if folder else [])):
        with suppress(OSError):
            each.rmdir()


def _first_line(answer: Answer) -> str:
    return (answer.__doc__ or "").splitlines()[0]
