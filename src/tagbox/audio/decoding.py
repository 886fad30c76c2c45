"""What every decoder of a recording can do."""

from typing import Any, Protocol

import numpy as np

Samples = np.ndarray[Any, np.dtype[np.float32]]
"""(samples, channels), full scale at -1 and 1."""


class Decoder(Protocol):
    """A recording that is being decoded.

    Attributes:
        rate: Hz.
        channels: how many, in the order of WAVE files.
        promised: samples that the header speaks of; None where it says nothing or what cannot be.
        is_exact: whether the bytes of the file bear out what the header promises.
        mask: of the speakers, as WAVE_FORMAT_EXTENSIBLE has it, where the file names them.
    """

    rate: int
    channels: int
    promised: int | None
    is_exact: bool
    mask: int | None

    def read(self, samples: int) -> Samples:
        """Decode the next `samples` samples; fewer, or none, at the end."""
        ...

    def skip(self, samples: int) -> None:
        """Move forwards by `samples`."""
        ...

    @property
    def damage(self) -> str | None:
        """Return why decoding ended before the end of the file; None where it did not."""
        ...

    def close(self) -> None:
        """Close the file or end the program that decodes it; closing twice does no harm."""
        ...
