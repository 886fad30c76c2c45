"""The settings of a run: data alone, readable without PyTorch."""

from dataclasses import dataclass

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")

MAX_LEARNING_RATE = 1e6
MIN_SEGMENT_SECONDS = 3.0
"""Taggers' windows begin there."""
MIN_OVERLAP_SECONDS = 0.01
"""A shorter crossfade is a click."""
MIN_FFT_SIZE, MAX_FFT_SIZE = 64, 16384


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, besides the recording and the tags.

    Attributes:
        steer: the method: the share network's "shares", "gates" on components, both together
            ("shares+gates"), or a generator's "latents".
        taggers: whose predictions decide, as data/architecture.
        objective: name of the loss that is minimised (see `tagbox.methods.objectives`).
        steps: of the steering loop, at the most; 1 steers nothing.
        lr: Adam's learning rate.
        keep: whether the result is that of the "best" step, by loss, or of the "last".
        patience: stop after so many steps without progress; 0 never does.
        seed: of everything random.
        fft: FFT sizes, samples: of the masks, or (the largest) of the components.
        components: of the first factorisation ("gates").
        factorisations: how often the mixture is decomposed anew; estimates are the mean ("gates").
        begin: gates begin "even", or as "heard": inferred from what taggers predict for each component.
        generator: "embedded", "jukebox" or a file ("latents").
        level: of the generator, 0 the finest ("latents").
        precision: of the networks while they are steered, "float32", "bfloat16", or "auto" for the faster.
        segment: recordings longer than this, in seconds, are cut into segments; 0 never cuts.
        overlap: of neighbouring segments, seconds.
        without: words for what no source may hold, such as "reverb".
        unheard: what a source is in a segment where the networks do not hear it: "kept", which gives the most
            similar sound, or "silent" ("shares", and "shares+gates" with gates as heard).

    The fields named in `PUBLISHED_FIELDS` exist to reproduce the published code, faults included:
        output: which side of the mask is the source: "masked" or "residual".
        padding: how taggers' windows are filled up, "repeat" or "zeros".
        combine: of the FFT sizes in the result, "last" or "mean".
        quantiser: "straight-through", "none" or "published" ("latents").
        mixture: what is masked: the "input", or the generator's "reconstruction" of it.
        normalise: whether the recording is brought to a peak of 1 first.
        vocabulary: "right", or "published" for the order of tags that the published code assumes.
    """

    steer: str = "shares+gates"
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
    factorisations: int = 2
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
    without: tuple[str, ...] = ()
    unheard: str = "kept"


PUBLISHED_FIELDS = ("output", "padding", "combine", "quantiser", "mixture", "normalise", "vocabulary")
"""Fields of `Settings` that are needed only to do as the published code does."""

PUBLISHED_FAULTS = (
    "the generator's codebook is replaced by random latents of the recording at the first step, then moves",
    "what is masked is the generator's reconstruction of the recording, at a peak of 1, mono",
    "the result uses the last FFT size alone",
    "MTG-Jamendo's tags are in an order that the models were not trained with",
    "the word 'sitar' selects MagnaTagATune's tag 'solo'",
    "the taggers' windows are filled up with silence",
    "the steps go towards the tags, and yet the residual is called the separation",
)
"""What the preset `published-code` keeps of the published code on purpose; its run.json lists them."""

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
    "unheard": ("kept", "silent"),
}
"""Of fields that take one of a few words."""
