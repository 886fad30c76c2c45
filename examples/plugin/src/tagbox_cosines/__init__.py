"""A tagger and a generator for TagBox, described; the code is imported when it is used."""

from tagbox.plugins import Model, Vocabulary

VOCABULARY = Vocabulary("brightness", ("dark", "bright"))

TAGGER = Model(
    "tagger",
    "balance",
    "brightness",
    licence="MIT",
    rate=32_000,
    load="tagbox_cosines.tagger:load",
    package="tagbox_cosines",
    weightless=True,
)

GENERATOR = Model(
    "generator",
    "cosines",
    None,
    licence="MIT",
    rate=48_000,
    load="tagbox_cosines.generator:load",
    package="tagbox_cosines",
    weightless=True,
)
