"""Exceptions that users see as a sentence rather than a traceback."""


class TagBoxError(Exception):
    """A mistake in what was asked or given: says in one line what was wrong and what to do about it.

    The command line prints the message and exits with code 2.
    """


class UnknownTagError(TagBoxError):
    """No vocabulary that takes part has the word."""


class UnknownModelError(TagBoxError):
    """No tagger, generator, preset, objective or method has the name."""


class MissingWeightsError(TagBoxError):
    """A model's weights are not on this machine, or cannot be downloaded."""


class InvalidWeightsError(TagBoxError):
    """A weights file is damaged, or is another model's."""


class UnreadableRecordingError(TagBoxError):
    """A recording is missing, empty, damaged, or of a format that cannot be read."""


class OutputExistsError(TagBoxError):
    """A result would replace a file that exists."""


class UnwritableOutputError(TagBoxError):
    """A result cannot be written: no permission, a full disk, or a format that cannot hold it."""
