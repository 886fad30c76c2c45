"""TagBox: steer frozen music generators with frozen music taggers.

Nothing heavy is imported here: ``tagbox --help`` has to answer at once, and torch alone takes over a second.
"""

__version__ = "0.1.0"
