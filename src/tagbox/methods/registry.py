"""Methods by the name that `Settings.steer` has for them. Importing this loads no PyTorch."""

from typing import TYPE_CHECKING

from tagbox.plugins import discovery
from tagbox.plugins.descriptions import Method
from tagbox.plugins.discovery import Installed
from tagbox.registry import look_up

if TYPE_CHECKING:
    from tagbox.methods.separators import Separator
    from tagbox.methods.steering import OnStep
    from tagbox.methods.task import Task

OWN_METHODS = (
    Method("gates", "tagbox.methods.separators:separate_by_gates"),
    Method("latents", "tagbox.methods.separators:SteeredLatents", needs_generator=True),
    Method("shares", "tagbox.methods.shares:PatchShares", needs_share_network=True),
    Method("shares+gates", "tagbox.methods.shares:shares_and_components", needs_share_network=True),
)
"""TagBox's own, named by its entry point."""

METHODS = Installed(discovery.SEPARATORS, Method)
"""Every method that is installed, by name."""


def find_method(name: str) -> Method:
    """Return the method called `name`.

    Raises:
        UnknownModelError: there is none.
    """
    return look_up(METHODS, name, "method")


def make_separator(task: "Task", on_step: "OnStep | None" = None) -> "Separator":
    """Make the separator of the method that the task's settings name.

    Args:
        on_step: called after every step.

    Raises:
        TagBoxError: there is no such method, or a plug-in's cannot be used.
    """
    name = task.settings.steer
    method = find_method(name)
    make = discovery.import_code(method.make, METHODS.origin(name), f"the method {name}")
    separator: Separator = make(task, on_step)
    return separator
