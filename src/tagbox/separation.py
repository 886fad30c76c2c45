"""A recording and words in, sources and the rest out; or the music itself turned towards a word."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tagbox import audio as audio_files
from tagbox import manifest, presets, streaming
from tagbox.bands import fit
from tagbox.cast import UNION, Cast, assemble, recording
from tagbox.errors import TagBoxError
from tagbox.loop import OnStep
from tagbox.passages import probabilities, resynthesise, steering, take_apart
from tagbox.presets import Settings
from tagbox.recordings import InMemory, OnDisk
from tagbox.results import FORMATS, Run, Separation, Transfer, Written
from tagbox.segments import join
from tagbox.streaming import OnSegment, Streamed
from tagbox.tracks import Kept, refuse_early, writing


def separate(
    audio: ArrayLike | Tensor,
    rate: int,
    tags: Sequence[str],
    preset: str = "default",
    device: str = "auto",
    on_step: OnStep | None = None,
    source: Mapping[str, Any] | None = None,
    on_segment: OnSegment | None = None,
    **overrides: Any,
) -> Separation:
    """Take what `tags` name out of a recording.

    Args:
        audio: (samples,) or (channels, samples), within [-1, 1] or not.
        rate: Hz.
        tags: one source each; "violin+cello" is one source of two tags.
        preset: see `tagbox.presets.PRESETS`.
        device: "auto", "cpu", "cuda" or "mps".
        on_step: called after every step of the loop; a true answer stops it.
        source: what is known of the recording, for the manifest.
        on_segment: where the recording is longer than a segment, told how many are done, of how many.
        overrides: any field of `tagbox.presets.Settings`.

    Returns:
        sources by tag, and a residual, which together are the recording.

    Raises:
        TagBoxError: the recording, a tag or a setting cannot be used; says which and what to do.
    """
    begin = time.monotonic()
    settings = presets.override(presets.find(preset).settings, **overrides)
    channels = recording(audio, rate)
    cast = assemble(tags, settings, device)
    known = {"rate": rate, "channels": channels.shape[0], "samples": channels.shape[-1], **(source or {})}
    known["samples_sha256"] = manifest.audio_hash(channels)
    loaded = time.monotonic()
    if streaming.is_long(settings, channels.shape[-1], rate):
        out_rate, out_samples = streaming.out_grid(cast, settings, rate, channels.shape[-1])
        out_channels = 1 if settings.mixture == "reconstruction" else channels.shape[0]
        kept = Kept(len(cast.words) + 1, out_channels, out_samples)
        streamed = streaming.stream(InMemory(channels, rate), cast, settings, kept, on_step, on_segment)
        described = _describe_streamed(cast, settings, preset, known, streamed, begin, loaded)
        sources = dict(zip(cast.words, kept.values[:-1], strict=True))
        return Separation(sources, kept.values[-1], out_rate, streamed.runs, described)

    passage = take_apart(cast, settings, channels, rate, steering(cast, settings, on_step))
    steered = time.monotonic()
    sources = dict(zip(cast.words, passage.estimates, strict=True))
    residual = passage.mixture - passage.estimates.sum(dim=0)
    heard = {
        name: probabilities(cast.taggers, track, passage.rate, settings.padding)
        for name, track in {"mixture": passage.mixture, **sources, "residual": residual}.items()
    }
    seconds = {
        "loading": loaded - begin,
        "steering": steered - loaded,
        "all": time.monotonic() - begin,
        "audio": channels.shape[-1] / rate,
    }
    described = _describe(cast, settings, preset, known, passage.runs, heard, seconds)
    return Separation(sources, residual, passage.rate, passage.runs, described)


def separate_file(
    path: str | Path,
    folder: str | Path,
    tags: Sequence[str],
    preset: str = "default",
    device: str = "auto",
    start: float = 0.0,
    duration: float | None = None,
    format: str = "wav",
    bits: str | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
    on_segment: OnSegment | None = None,
    **overrides: Any,
) -> Written:
    """Take what `tags` name out of a file of any length, from disk to disk.

    A file up to a segment long gives what `separate` gives; memory does not grow with a longer one.

    Args:
        path: a recording.
        folder: for a file a source, the residual and run.json; made where it is missing.
        start: where to begin, s.
        duration: how much to take, s; all unless given.
        format: "wav" or "flac".
        bits: "16", "24" or "float"; left out, wav is float and flac 24. Where integers would clip, all is
            written as float wav instead, and `Written.note` says so.
        force: replace files that exist.
        on_segment: told how many segments are done, of how many.

    The other arguments and errors are `separate`'s. Nothing is written where anything goes wrong.

    Raises:
        TagBoxError: the recording cannot be read or the results cannot be written.
    """
    begin = time.monotonic()
    path, folder = Path(path), Path(folder)
    settings = presets.override(presets.find(preset).settings, **overrides)
    if format not in FORMATS:
        raise TagBoxError(f"no result is written as {format!r}; choose one of {', '.join(FORMATS)}")
    found = OnDisk.of(path, start, duration)
    refuse_early(folder, tags, found.channels, format, bits, force)
    known = {
        "rate": found.rate,
        "channels": found.channels,
        "samples": found.samples,
        "file": path.name,
        "sha256": audio_files.fingerprint(path),
        "start": start,
        "duration": duration,
    }
    if not streaming.is_long(settings, found.samples, found.rate):
        excerpt = audio_files.read(path, start, duration)
        result = separate(excerpt.samples, excerpt.rate, tags, preset, device, on_step, known, **overrides)
        every = torch.stack([*result.sources.values(), result.residual])
        _, channels, samples = every.shape
        with writing(folder, tags, result.rate, channels, samples, format, bits, force) as files:
            files.add(every)
            paths, note = files.finish(result.manifest)
        return Written(tuple(paths), result.rate, result.runs, result.manifest, note)
    cast = assemble(tags, settings, device)
    loaded = time.monotonic()
    out_rate, out_samples = streaming.out_grid(cast, settings, found.rate, found.samples)
    out_channels = 1 if settings.mixture == "reconstruction" else found.channels
    with writing(folder, tags, out_rate, out_channels, out_samples, format, bits, force) as files:
        streamed = streaming.stream(found, cast, settings, files, on_step, on_segment)
        described = _describe_streamed(cast, settings, preset, known, streamed, begin, loaded)
        paths, note = files.finish(described)
    return Written(tuple(paths), out_rate, streamed.runs, described, note)


def transfer(
    audio: ArrayLike | Tensor,
    rate: int,
    tags: Sequence[str],
    preset: str = "transfer",
    device: str = "auto",
    on_step: OnStep | None = None,
    source: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Transfer:
    """Re-synthesise a recording towards `tags`: the generator's own voice, without the mask.

    The arguments are `separate`'s; several tags are one goal here.

    Returns:
        audio of the recording's length, rate and channels.

    Raises:
        TagBoxError: the recording, a tag or a setting cannot be used; says which and what to do.
    """
    begin = time.monotonic()
    settings = presets.override(presets.find(preset).settings, **overrides)
    if settings.steer != "latents":
        raise TagBoxError(
            f"style transfer steers a generator's latents, and {preset} steers {settings.steer}"
        )
    channels = recording(audio, rate)
    cast = assemble([UNION.join(tags)] if tags else tags, settings, device)
    loaded = time.monotonic()
    pieces, runs, tail = [], [], None
    for segment in streaming.segments_of(cast, settings, rate, channels.shape[-1]):
        read = channels[:, segment.first : segment.last]
        made, history = resynthesise(cast, settings, read, rate, on_step)
        runs.append(Run(cast.words, history, segment.first / rate))
        own = made[segment.start - segment.first : segment.stop - segment.first]
        finished, tail = join(tail, own, segment)
        pieces.append(finished)
        if history.stopped == "interrupted":
            break
    steered = time.monotonic()
    if tail is not None:
        pieces.append(tail)
    # Where Ctrl-C came before the last segment there is silence after the others.
    result = fit(torch.cat(pieces), channels.shape[-1]).expand(channels.shape)
    heard = {
        name: probabilities(cast.taggers, track, rate, settings.padding)
        for name, track in (("mixture", channels), ("result", result))
    }
    seconds = {"loading": loaded - begin, "steering": steered - loaded, "all": time.monotonic() - begin}
    known = {"rate": rate, "channels": channels.shape[0], "samples": channels.shape[1], **(source or {})}
    known["samples_sha256"] = manifest.audio_hash(channels)
    described = _describe(cast, settings, preset, known, runs, heard, seconds)
    return Transfer(result, rate, runs[0].history, described, runs[-1].history.stopped)


def _describe_streamed(
    cast: Cast,
    settings: Settings,
    preset: str,
    known: Mapping[str, Any],
    streamed: Streamed,
    begin: float,
    loaded: float,
) -> dict[str, Any]:
    seconds = {
        "loading": loaded - begin,
        **streamed.seconds,
        "all": time.monotonic() - begin,
        "audio": known["samples"] / known["rate"],
    }
    described = _describe(cast, settings, preset, known, streamed.runs, streamed.heard, seconds)
    return {**described, "streamed": streamed.about}


def _describe(
    cast: Cast,
    settings: Settings,
    preset: str,
    known: Mapping[str, Any],
    runs: Sequence[Run],
    heard: Mapping[str, Sequence[Tensor]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    return manifest.describe(
        preset=preset,
        settings=settings,
        words=cast.words,
        wanted=cast.wanted,
        taggers=cast.taggers,
        generator=cast.generator,
        device=cast.device,
        source=known,
        runs=runs,
        heard=heard,
        seconds=seconds,
    )
