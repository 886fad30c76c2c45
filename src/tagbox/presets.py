"""Settings of a run, and the named sets of them. Presets are data: every value can be overridden."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from tagbox.devices import PRECISIONS
from tagbox.errors import TagBoxError
from tagbox.tags.vocabularies import EXCLUSIVE

HIGHEST_RATE = 1e6
SHORTEST_SEGMENT = 3.0  # s; taggers' windows begin there
SHORTEST_OVERLAP = 0.01  # s; less is a click


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, besides the recording and the tags.

    Attributes:
        steer: what moves: "gates" on components, or a generator's "latents".
        taggers: who listens in the loop, as data/architecture.
        objective: what falls (see `tagbox.objectives`).
        output: which side of the mask is the source: "masked" or "residual".
        steps: of the loop, at the most.
        lr: Adam's rate.
        keep: "best" or "last" step's result.
        patience: stop after so many steps without progress; 0 never does.
        padding: how taggers' windows are filled up, "repeat" or "zeros".
        seed: of everything random.
        fft: FFT sizes, samples: of the masks, or (the largest) of the components.
        combine: of the FFT sizes in the result, "last" or "mean".
        components: how many the mixture is taken apart into ("gates").
        factorisations: how often it is taken apart anew; the mean counts ("gates").
        begin: gates begin "even", or as "heard" in each component alone by taggers that answer with shares.
        generator: "embedded", "jukebox" or a file ("latents").
        level: of the generator, 0 the finest ("latents").
        quantiser: "straight-through", "none" or "published" ("latents").
        mixture: what is masked: the "input", or the generator's "reconstruction" of it.
        normalise: whether the recording is brought to a peak of 1 first, as published.
        precision: of the networks while they are steered, "float32", "bfloat16", or "auto" for the faster.
        segment: recordings longer than this, in seconds, are cut into segments of it; 0 never cuts.
        overlap: of neighbouring segments, seconds.
        vocabulary: "right", or "published" for the order of tags that the published code assumes.
    """

    steer: str = "gates"
    taggers: tuple[str, ...] = ("rendered/listener",)
    objective: str = "two-sided"
    output: str = "masked"
    steps: int = 1
    lr: float = 0.3
    keep: str = "best"
    patience: int = 0
    padding: str = "repeat"
    seed: int = 0
    fft: tuple[int, ...] = (2048,)
    combine: str = "mean"
    components: int = 16
    factorisations: int = 8
    begin: str = "heard"
    generator: str = "embedded"
    level: int = 0
    quantiser: str = "straight-through"
    mixture: str = "input"
    normalise: bool = False
    precision: str = "auto"
    segment: float = 30.0
    overlap: float = 1.0
    vocabulary: str = "right"


@dataclass(frozen=True)
class Preset:
    """A named set of settings, with a line for people."""

    name: str
    help: str
    settings: Settings


_PAPER = Settings(
    steer="latents",
    taggers=("mtat/fcn", "mtat/hcnn", "mtat/musicnn"),
    objective="cross-entropy-ascent",
    output="residual",
    steps=100,
    lr=10.0,
    keep="last",
    padding="repeat",
    fft=(512, 1024, 2048),
    combine="mean",
    begin="even",
    generator="jukebox",
    quantiser="straight-through",
    segment=20.0,  # as long as the published demonstrations
)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "default",
            "components go where the listener hears them; the best within the time that the music takes",
            Settings(),
        ),
        Preset(
            "best",
            "the default with half as many factorisations again, which take half as long again",
            Settings(factorisations=12),
        ),
        Preset("fast", "the default with a quarter of the factorisations", Settings(factorisations=2)),
        Preset(
            "steered",
            "components steered until a published tagger hears the word; for words that only it knows",
            Settings(
                taggers=("mtat/pons-musicnn",),
                steps=25,
                factorisations=1,
                begin="even",
                # Rounding to bfloat16 turns first steps around: up to 4.5 dB, and another result elsewhere.
                precision="float32",
            ),
        ),
        Preset(
            "paper",
            "Algorithm 1 as printed: away from the tags, the source is what is masked out; needs Jukebox",
            _PAPER,
        ),
        Preset(
            "published-code",
            "what the published code does, faults and all; needs Jukebox",
            dataclasses.replace(
                _PAPER,
                objective="cross-entropy",
                padding="zeros",
                combine="last",
                quantiser="published",
                mixture="reconstruction",
                normalise=True,
                precision="float32",
                vocabulary="published",
            ),
        ),
        Preset(
            "transfer",
            "the generator alone, towards the tags; nothing to download",
            Settings(
                steer="latents",
                taggers=("mtat/pons-musicnn",),
                objective="target-logits",
                steps=60,
                lr=0.3,
                keep="last",
                begin="even",
            ),
        ),
    )
}

PUBLISHED_FAULTS = (
    "the generator's codebook is replaced by random latents of the recording at the first step, then moves",
    "what is masked is the generator's reconstruction of the recording, at a peak of 1, mono",
    "the result uses the last FFT size alone",
    "MTG-Jamendo's tags are in an order that the models were not trained with",
    "the word 'sitar' selects MagnaTagATune's tag 'solo'",
    "the taggers' windows are filled up with silence",
    "the steps go towards the tags, and yet the residual is called the separation",
)
"""What `published-code` keeps of the published code on purpose; its run.json lists them."""


def find(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        TagBoxError: there is none.
    """
    if name not in PRESETS:
        raise TagBoxError(f"no preset is called {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def override(settings: Settings, **changes: Any) -> Settings:
    """`settings` with every change that is not None, checked.

    Raises:
        TagBoxError: a value makes no sense.
    """
    result = dataclasses.replace(
        settings, **{key: value for key, value in changes.items() if value is not None}
    )
    validate(result)
    return result


CHOICES = {
    "output": ("masked", "residual"),
    "begin": ("even", "heard"),
    "keep": ("best", "last"),
    "padding": ("repeat", "zeros"),
    "combine": ("last", "mean"),
    "quantiser": ("straight-through", "none", "published"),
    "mixture": ("input", "reconstruction"),
    "precision": PRECISIONS,
    "vocabulary": ("right", "published"),
}


def validate(settings: Settings) -> None:
    """Check every value, so that a run fails before it begins rather than after minutes.

    Raises:
        TagBoxError: which value is wrong, and what it may be.
    """
    from tagbox import objectives
    from tagbox.steerables import registry

    objectives.find(settings.objective)
    registry.find(settings.steer)
    for name, choices in CHOICES.items():
        value = getattr(settings, name)
        if value not in choices:
            raise TagBoxError(f"{name} cannot be {value!r}; choose one of {', '.join(choices)}")
    for name, least in (
        ("steps", 1),
        ("patience", 0),
        ("components", 1),
        ("factorisations", 1),
        ("level", 0),
    ):
        if getattr(settings, name) < least:
            raise TagBoxError(f"{name} is {getattr(settings, name)}; give {least} or more")
    if not 0 < settings.lr <= HIGHEST_RATE:
        raise TagBoxError(f"the rate (lr) is {settings.lr:g}; give a number above 0, up to {HIGHEST_RATE:g}")
    if not (settings.segment == 0 or SHORTEST_SEGMENT <= settings.segment < float("inf")):
        raise TagBoxError(
            f"a segment of {settings.segment:g} s cannot be used; give {SHORTEST_SEGMENT:g} s or more, or 0 "
            "to take every recording in one piece"
        )
    if settings.segment and not SHORTEST_OVERLAP <= settings.overlap <= settings.segment / 4:
        raise TagBoxError(
            f"segments of {settings.segment:g} s cannot overlap by {settings.overlap:g} s; give "
            f"{SHORTEST_OVERLAP:g} to {settings.segment / 4:g} s"
        )
    if not settings.taggers:
        raise TagBoxError("no tagger is to listen; name one, for example mtat/pons-musicnn")
    deaf = [name for name in settings.taggers if name.partition("/")[0] not in (*EXCLUSIVE, name)]
    if settings.steer == "gates" and settings.begin == "heard" and len(deaf) == len(settings.taggers):
        raise TagBoxError(
            f"gates can begin as heard only where a tagger answers with shares, and {deaf[0]} does not; "
            "add rendered/listener to the taggers, or take the preset steered"
        )
    for size in settings.fft:
        if size < 64 or size > 16384 or size % 2:
            raise TagBoxError(f"an FFT size of {size} cannot be used; give even numbers from 64 to 16384")
    if not settings.fft or len(set(settings.fft)) != len(settings.fft):
        raise TagBoxError("give each FFT size once, for example --fft 512 --fft 1024 --fft 2048")
