"""Words for the mistakes that people make first: one line that says what to write instead.

Everything here is cheap: it comes before PyTorch is loaded, and nothing is written.
"""

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.presets import Settings

# Typer uses click's exceptions, or those of a click of its own, by version; this finds the ones it uses.
CLICK_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


class Commands(TyperGroup):
    """The program's commands; what is none of them gets a line of ours, and Ctrl-C and a closed pipe too."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant."""
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise TagBoxError(no_command(args[0], self.list_commands(ctx), ctx.command_path))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is meant."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("tagbox: stopped", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of our output left (`| head`): nothing is wrong, and Python must not complain.
            sys.stderr.close()
            raise typer.Exit(0) from None


def no_command(word: str, commands: Sequence[str], within: str = "tagbox") -> str:
    """What to say where `word` is no command."""
    from tagbox.audio.validation import ENDINGS, is_address

    path = Path(word)
    if is_address(word):
        return f"{word} is an address; download the recording first, then: tagbox tag FILE"
    if within == "tagbox" and (path.exists() or path.suffix.lower() in ENDINGS):
        return (
            f"say what to do with {word}: `tagbox tag {word}` tells what is heard in it, "
            f"`tagbox separate {word} --tags WORD -o out` takes something out of it"
        )
    near = difflib.get_close_matches(word, commands, n=1)
    hint = f"did you mean `{within} {near[0]}`?" if near else f"choose one of {', '.join(commands)}"
    return f"there is no command `{within} {word}`; {hint}"


def format_error(error: Exception) -> str:
    """What to say of a mistake in options and arguments that click has found."""
    told = " ".join(str(getattr(error, "format_message", error.__str__)()).split()).rstrip(".")
    kind = type(error).__name__
    if kind == "BadOptionUsage" and "requires an argument" in told:
        return f"{getattr(error, 'option_name', 'an option')} needs a value after it"
    context: Any = getattr(error, "ctx", None)
    if context is None:
        return _start(told)
    if kind == "MissingParameter":
        return _missing(error, context)
    if kind == "NoSuchOption":
        return _no_option(str(getattr(error, "option_name", "")), context)
    if kind == "BadParameter":
        return _bad_value(error, told)
    return f"{_start(told)}; `{context.command_path} --help` shows how"


def _missing(error: Exception, context: Any) -> str:
    parameter: Any = getattr(error, "param", None)
    name = str(parameter.name) if parameter is not None else ""
    command, given = str(context.command_path), context.params
    files = [str(path) for path in given.get("inputs") or filter(None, [given.get("input")])]
    if name == "tags":
        words = _words_among(files)
        if words:
            return f"{words[0]} is no file; if it is what to look for, write --tags {words[0]}"
        song = files[0] if files else "song.wav"
        return (
            f"no tag is given; name what to look for, for example --tags violin (`tagbox tag {song}` tells "
            "what is heard there)"
        )
    examples = {
        "inputs": "no recording is given; for example: tagbox separate song.wav --tags violin -o out",
        "input": "no recording is given; for example: tagbox transfer song.wav --tags guitar -o guitar.wav",
        "files": "no recording is given; for example: tagbox tag song.wav",
        "dataset": "no data set is given; for example: tagbox evaluate examples -o out",
        "folders": "no folder of recordings is given; for example: tagbox train-generator music/ -o mine"
        ".safetensors",
    }
    if name in examples:
        return examples[name]
    if name == "out":
        what = {"transfer": "a file with -o, for example -o guitar.wav"}.get(
            str(context.info_name), "a folder with -o, for example -o out"
        )
        if context.info_name == "train-generator":
            what = "a file with -o, for example -o mine.safetensors"
        sides = ("masked", "residual")
        if given.get("output") not in (None, *sides):
            return f"--output is which side of the mask to keep ({', '.join(sides)}); give {what}"
        return f"where is the result to go? give {what}"
    return f"{_called(parameter)} is missing; `{command} --help` shows how"


def _called(parameter: Any) -> str:
    """What people write for a parameter."""
    options = [name for name in getattr(parameter, "opts", ()) if name.startswith("--")]
    return options[0] if options else str(getattr(parameter, "name", "something")).upper()


def _words_among(files: Iterable[str]) -> list[str]:
    """Of what was given as files, the tags that somebody forgot to write --tags before."""
    from tagbox.tags.resolve import can_express

    return [word for word in files if not Path(word).exists() and can_express(word)]


def _no_option(option: str, context: Any) -> str:
    known = [
        name for each in context.command.params for name in getattr(each, "opts", ()) if name[:2] == "--"
    ]
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
    meant = {"--instrument": "--tags", "--stem": "--tags", "--cpu": "--device cpu", "--gpu": "--device cuda"}
    meant = {slip: right for slip, right in meant.items() if right.split()[0] in known}
    hint = meant.get(option) or (near[0] if near else "")
    if not hint and context.parent is None and option in ("--quiet", "-q", "--verbose", "-v", "--json"):
        return f"{option} comes after the command, for example: tagbox tag song.wav {option}"
    told = f"did you mean {hint}?" if hint else f"`{context.command_path} --help` lists all"
    return f"{context.command_path} has no option {option}; {told}"


def _bad_value(error: Exception, told: str) -> str:
    parameter: Any = getattr(error, "param", None)
    if parameter is None:
        return _start(told)
    name = _called(parameter)
    given = _given_value(error)
    message = str(getattr(error, "message", told)).rstrip(".")
    wants = next((words for key, words in _KINDS.items() if key in message.lower()), None)
    if wants:
        return f"{name} wants {wants}" + (f", not {given!r}" if given is not None else f" ({message})")
    return f"{name} cannot be used so: {_start(message)}" + (f" ({given!r})" if given is not None else "")


_KINDS = {"valid integer": "a whole number", "valid number": "a number", "valid float": "a number"}


def _given_value(error: Exception) -> str | None:
    """What was given, where whoever checked it says so."""
    details = getattr(error.__cause__, "errors", None)
    found: Sequence[Mapping[str, Any]] = details() if callable(details) else ()
    return str(found[0]["input"]) if found and "input" in found[0] else None


def _start(words: str) -> str:
    return words[:1].lower() + words[1:]


def check_words(words: Sequence[str], settings: "Settings") -> None:
    """Refuse tags that nobody knows, before anything is loaded.

    Raises:
        TagBoxError: which, and the nearest words.
    """
    from tagbox.tags.resolve import can_express, unknown

    if settings.vocabulary != "right":
        return
    for word in words:
        parts = [one.strip() for one in word.split("+") if one.strip()]
        if not parts:
            raise TagBoxError("a tag is empty; name what to look for, for example --tags violin")
        for part in parts:
            if can_express(part):
                continue
            several = [one.strip() for one in part.split(",")]
            if len(several) > 1 and all(one and can_express(one) for one in several):
                asked = " ".join(f"--tags {quoted(one)}" for one in several)
                raise TagBoxError(f"one word at a time: {asked} (or {'+'.join(several)} as one source)")
            raise TagBoxError(unknown(part))


def check_files(files: Sequence[Path]) -> None:
    """Refuse what is no recording before the first of several is begun.

    Raises:
        TagBoxError: which, and what to do.
    """
    from tagbox.audio.validation import regular_file

    words = _words_among(map(str, files))
    if words and len(words) < len(files):
        raise TagBoxError(f"{words[0]} is no file; if it is what to look for, write --tags {words[0]}")
    for path in files:
        regular_file(path)


def check_folder(out: Path) -> None:
    """Refuse a folder for results that is a file, or lies in one.

    Raises:
        TagBoxError: it does.
    """
    for path in (out, *out.parents):
        if path.exists():
            if not path.is_dir():
                raise TagBoxError(f"{path} is a file, and results need a folder; give another one with -o")
            return


def quoted(word: str) -> str:
    """`word` as a shell takes it."""
    import shlex

    return shlex.quote(word)
