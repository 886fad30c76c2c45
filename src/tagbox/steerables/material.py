"""What things to steer are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from tagbox.generator.generator import Generator
from tagbox.taggers.tagger import Tagger

if TYPE_CHECKING:
    from tagbox.presets import Settings


@dataclass(frozen=True, eq=False)
class Material:
    """A passage of a recording, who listens, and what is wanted.

    Attributes:
        mixture: what is taken apart, mono, (samples,) at `rate`.
        rate: Hz: the generator's, or 44,100 where there is none.
        beginning: what latents begin as, (samples,); `mixture` but where `settings` say otherwise.
        wanted: for each source, for each tagger, the tags of its vocabulary.
        taggers: who listen, in the numbers that they compute in.
        generator: where the kind needs one.
        settings: the run's.
        piece: of a segment, what the longer piece is made of (see `beginnings.heard_alone`).
    """

    mixture: Tensor
    rate: int
    beginning: Tensor
    wanted: Sequence[Sequence[Sequence[str]]]
    taggers: Sequence[Tagger]
    generator: Generator | None
    settings: "Settings"
    piece: Sequence[Tensor] | None = None

    @property
    def sources(self) -> int:
        """How many are wanted."""
        return len(self.wanted)
