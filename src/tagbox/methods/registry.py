"""Methods by the name that `Settings.steer` has for them. A new one is one file and one line here."""

from collections.abc import Callable
from dataclasses import dataclass

from tagbox.methods.separators import Separator, SteeredGates, SteeredLatents, TaggedComponents
from tagbox.methods.shares import PatchShares, shares_and_components
from tagbox.methods.steering import OnStep
from tagbox.methods.task import Task
from tagbox.registry import look_up


@dataclass(frozen=True)
class Method:
    """A way to separate.

    Attributes:
        make: a task, and what is called after every step, to a separator.
        needs_generator: whether the task needs a generator.
        needs_share_network: whether the task needs the share network.
    """

    make: Callable[[Task, OnStep | None], Separator]
    needs_generator: bool = False
    needs_share_network: bool = False


def gates_by_inference_or_gradient(task: Task, on_step: OnStep | None) -> Separator:
    """Make the separator for gates: inferred gates that no further step moves need no gradient."""
    inferred_only = task.settings.begin == "heard" and task.settings.steps == 1
    return TaggedComponents(task, on_step) if inferred_only else SteeredGates(task, on_step)


METHODS: dict[str, Method] = {
    "gates": Method(gates_by_inference_or_gradient),
    "latents": Method(SteeredLatents, needs_generator=True),
    "shares": Method(PatchShares, needs_share_network=True),
    "shares+gates": Method(shares_and_components, needs_share_network=True),
}


def find_method(name: str) -> Method:
    """Return the method called `name`.

    Raises:
        UnknownModelError: there is none.
    """
    return look_up(METHODS, name, "method")
