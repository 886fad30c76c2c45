"""Check that a state dict is that of a model, before it is loaded into the network."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tagbox.errors import InvalidWeightsError

if TYPE_CHECKING:
    from torch import Tensor

NAMES_IN_MESSAGE = 3


def check_state_dict(
    state: Mapping[str, "Tensor"], expected: Mapping[str, tuple[int, ...]], subject: str, model: str
) -> None:
    """Check names and shapes of weights, and that their values are finite.

    Args:
        state: the weights by name.
        expected: the shape of each weight of the model.
        subject: what holds the weights, for the message.
        model: whose weights they should be, for the message.

    Raises:
        InvalidWeightsError: a weight is missing, unknown, of another shape, or not finite.
    """
    another = f"{subject} holds the weights of another model than {model}"
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    if missing or unknown:
        differences = [f"without {_shortened(missing)}"] * bool(missing)
        differences += [f"with {_shortened(unknown)}"] * bool(unknown)
        raise InvalidWeightsError(f"{another}: {' and '.join(differences)}; give the weights of {model}")
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise InvalidWeightsError(
                f"{another}: {name} has the shape {tuple(state[name].shape)} where {shape} belongs; "
                f"give the weights of {model}"
            )
    check_finite_weights(state, subject)


def check_finite_weights(state: Mapping[str, "Tensor"], subject: str) -> None:
    """Check that all weights are finite.

    Raises:
        InvalidWeightsError: a weight is NaN or infinite.
    """
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InvalidWeightsError(f"{subject} is damaged: {name} is not finite; get it again")


def _shortened(names: Sequence[str]) -> str:
    rest = len(names) - NAMES_IN_MESSAGE
    return ", ".join(names[:NAMES_IN_MESSAGE]) + (f" and {rest} more" if rest > 0 else "")
