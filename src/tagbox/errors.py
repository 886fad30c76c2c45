"""Exceptions that users see as a sentence rather than a traceback."""


class TagBoxError(Exception):
    """A fault that is told in one line: what was wrong, and what to do about it.

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


class MachineError(TagBoxError):
    """A fault that is nobody's mistake: a full disk, an I/O error, too little memory, a read-only folder.

    The command line prints the message and exits with code 1.
    """


class FailedWriteError(MachineError, UnwritableOutputError):
    """The system refused to write a result: the disk is full or fails, or the folder is read-only."""


class OutOfMemoryError(MachineError):
    """The computation takes more memory than this machine has free."""
