"""Go on with a second decoder where the first gives up on a damaged recording."""

from collections.abc import Callable

import numpy as np

from tagbox.audio.decoding import Decoder, Samples

SKIPPED_AT_ONCE = 1 << 16
"""Samples that are decoded at once where they are skipped."""


class ContinuedDecoder:
    """Decodes by `first` until it finds damage, and from that sample on by another decoder.

    libsndfile stops at the first damaged frame; ffmpeg leaves out what it cannot decode, and goes on.

    Args:
        first: decodes what comes before the damage.
        open_second: opens the other decoder of the same recording; None where that is not possible.
    """

    def __init__(self, first: Decoder, open_second: Callable[[], Decoder | None]) -> None:
        self._first = first
        self._second: Decoder | None = None
        self._open_second: Callable[[], Decoder | None] | None = open_second
        self._position = 0
        self.rate, self.channels, self.mask = first.rate, first.channels, first.mask
        self.promised, self.is_exact = first.promised, first.is_exact

    @property
    def damage(self) -> str | None:
        """Return what the first decoder has to say of the damage; None where there is none."""
        return self._first.damage

    def read(self, samples: int) -> Samples:
        """Decode the next `samples` samples; fewer, or none, at the end."""
        block = (self._second or self._first).read(samples)
        if len(block) < samples and self._first.damage is not None and self._open_second is not None:
            self._second = self._opened_at(self._position + len(block), self._open_second)
            self._open_second = None
            if self._second is not None:
                block = np.concatenate([block, self._second.read(samples - len(block))])
        self._position += len(block)
        return block

    def skip(self, samples: int) -> None:
        """Move forwards by `samples`."""
        target = self._position + samples
        while self._position < target and len(self.read(min(target - self._position, SKIPPED_AT_ONCE))):
            pass

    def close(self) -> None:
        """Close both decoders."""
        self._first.close()
        if self._second is not None:
            self._second.close()

    def _opened_at(self, position: int, open_second: Callable[[], Decoder | None]) -> Decoder | None:
        """Open the second decoder and skip `position` samples; None where it cannot go on from the first."""
        second = open_second()
        if second is None:
            return None
        if (second.rate, second.channels) != (self.rate, self.channels):
            second.close()
            return None
        second.skip(position)
        return second
