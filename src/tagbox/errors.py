"""The one exception that users see as a sentence rather than a traceback."""


class TagBoxError(Exception):
    """A mistake in what was asked or given: says in one line what was wrong and what to do about it.

    The command line prints the message and exits with code 2.
    """
