"""What a run separates, and the models that take part in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.generators.base import Generator
from tagbox.settings import Settings
from tagbox.taggers.tagger import Tagger

COMPONENT_RATE = 44_100
"""Sample rate at which mixtures are decomposed into components, Hz."""


@dataclass(frozen=True, eq=False)
class Task:
    """The sources that were asked for, the settings, and the models.

    Attributes:
        queries: the tags as they were asked for, one a source.
        target_tags: for each query, for each tagger, the tags of the tagger's vocabulary that it means; none
            where the tagger does not hear it.
        targets: for each tagger the same tags, multi-hot (sources, tags).
        settings: of the run.
        taggers: in float32, for what is reported.
        steering_taggers: the same taggers, computing in the precision that `settings` asks for.
        generator: where the method steers one.
        device: of the models and of the computation.
        share_network: where the method masks by one, computing in the precision that `settings` asks for.
    """

    queries: tuple[str, ...]
    target_tags: Mapping[str, tuple[tuple[str, ...], ...]]
    targets: tuple[Tensor, ...]
    settings: Settings
    taggers: tuple[Tagger, ...]
    steering_taggers: tuple[Tagger, ...]
    generator: Generator | None
    device: torch.device
    share_network: Tagger | None = None

    @property
    def sources(self) -> int:
        """How many sources were asked for."""
        return len(self.queries)

    @property
    def rate(self) -> int:
        """The working rate in Hz: the generator's own, or `COMPONENT_RATE` where there is none."""
        return self.generator.rate if self.generator is not None else COMPONENT_RATE

    def require_generator(self) -> Generator:
        """Return the generator.

        Raises:
            TagBoxError: the method has none.
        """
        if self.generator is None:
            raise TagBoxError("this needs a generator; choose a preset or --steer that has one")
        return self.generator
