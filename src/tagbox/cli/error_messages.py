"""Describe errors in one line that says what was wrong and what to do about it."""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperGroup

from tagbox.audio.validation import ENDINGS
from tagbox.cli.checks import find_forgotten_tag, forgotten_tag_message
from tagbox.cli.console import print_line
from tagbox.errors import MachineError, TagBoxError
from tagbox.memory import is_out_of_memory

MACHINE_FAULT = 1
MISTAKE = 2
"""Exit codes."""

click: ModuleType = sys.modules[typer.BadParameter.__module__]
"""click's exceptions: newer versions of Typer bring a click of their own, older ones use another package."""


class CommandGroup(TyperGroup):
    """A group of commands that reports unknown commands, Ctrl-C and a closed pipe in our words."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with.

        Raises:
            TagBoxError: there is none.
        """
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise TagBoxError(describe_unknown_command(args[0], self.list_commands(ctx), ctx.command_path))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_line("tagbox: stopped", error=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of our output left (`| head`), and nothing is wrong.
            raise typer.Exit(0) from None


def is_reported(error: BaseException) -> bool:
    """Return whether users see an error as a line; any other is a fault of TagBox."""
    return isinstance(error, (TagBoxError, click.ClickException, OSError)) or _is_out_of_memory(error)


def _is_out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    return is_out_of_memory(error) or (torch is not None and isinstance(error, torch.OutOfMemoryError))


def exit_code(error: BaseException) -> int:
    """Return 1 for a fault that is nobody's mistake, such as a full disk, and 2 for one in what was given."""
    is_machines = isinstance(error, (MachineError, OSError)) or _is_out_of_memory(error)
    return MACHINE_FAULT if is_machines else MISTAKE


def is_help(error: BaseException) -> bool:
    """Return whether an "error" is the help, which a command without arguments prints; older clicks exit."""
    return isinstance(error, getattr(click, "NoArgsIsHelpError", ()))


def describe_error(error: BaseException) -> str:
    """Describe an error that `is_reported`."""
    if isinstance(error, TagBoxError):
        return str(error)
    if isinstance(error, click.UsageError):
        return _describe_usage_error(error)
    if isinstance(error, click.ClickException):
        return _one_line(error.message)
    if isinstance(error, OSError):
        where = f"{error.filename} cannot be used: " if error.filename else ""
        return f"{where}{error.strerror or _one_line(str(error))}"
    return "there is not enough memory; try shorter segments (--segment 10) or an excerpt (--duration 30)"


def describe_unknown_command(word: str, commands: Sequence[str], group: str = "tagbox") -> str:
    """Say that `group` has no command `word`, and what may be meant."""
    path = Path(word)
    if group == "tagbox" and (path.exists() or path.suffix.lower() in ENDINGS):
        return (
            f"say what to do with {word}: `tagbox tag {word}` names what is in it, "
            f"`tagbox separate {word} --tags violin -o out` takes something out of it"
        )
    near = difflib.get_close_matches(word, commands, n=1)
    hint = f"did you mean `{group} {near[0]}`?" if near else f"choose one of {', '.join(commands)}"
    return f"there is no command `{group} {word}`; {hint}"


def _describe_usage_error(error: Any) -> str:
    """Describe an error in options and arguments, by its class."""
    context = error.ctx
    message = _one_line(error.message)
    if context is None:
        return message
    command = context.command_path
    if isinstance(error, click.NoSuchOption):
        near = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=0.7)
        if near:
            hint = f"did you mean {near[0]}?"
        elif context.parent is None:
            hint = f"options come after the command, for example: tagbox tag song.wav {error.option_name}"
        else:
            hint = f"`{command} --help` lists all options"
        return f"`{command}` has no option {error.option_name}; {hint}"
    if isinstance(error, click.MissingParameter):
        return _describe_missing(error.param, context)
    if isinstance(error, click.BadParameter) and error.param is not None:
        message = f"{_name(error.param)}: {message}"
    return f"{message}; see `{command} --help`"


def _describe_missing(parameter: Any, context: Any) -> str:
    files = context.params.get("inputs") or filter(None, [context.params.get("input")])
    tag = find_forgotten_tag([str(path) for path in files]) if parameter.name == "tags" else None
    if tag is not None:
        return forgotten_tag_message(tag)
    help_lines = (line.strip() for line in (context.command.help or "").splitlines())
    examples = [line for line in help_lines if line.startswith(f"{context.command_path} ")]
    hint = f"for example: {examples[0]}" if examples else f"see `{context.command_path} --help`"
    return f"{_name(parameter)} is missing; {hint}"


def _name(parameter: Any) -> str:
    """Return a parameter's name as it stands in the help: --tags, RECORDING."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper()).rstrip(".")


def _one_line(message: str) -> str:
    line = " ".join(message.split()).rstrip(".")
    return line[:1].lower() + line[1:]
