"""List the neural codecs on the hub that generate, and the classes that read others like them."""

from tagbox.plugins.descriptions import HubClass, Model
from tagbox.weights.catalogue import MIT

ENCODEC = "tagbox.generators.codecs.encodec:load"
DAC = "tagbox.generators.codecs.dac:load"
OOBLECK = "tagbox.generators.codecs.oobleck:load"

TRANSFORMERS = ("transformers",)
DIFFUSERS = ("diffusers", "transformers")
EXTRA = "tagbox[hf]"


def _codec(
    name: str,
    source: str,
    rate: int,
    load: str,
    licence: str = MIT,
    terms: str | None = None,
    size: int | None = None,
) -> Model:
    """Describe a codec in a repository on the hub, whose commit fixes its content."""
    return Model(
        "generator",
        name,
        None,
        licence,
        size=size,
        source=f"hf:{source}",
        terms=terms,
        rate=rate,
        load=load,
        requires=DIFFUSERS if load == OOBLECK else TRANSFORMERS,
        extra=EXTRA,
    )


CODECS: tuple[Model | HubClass, ...] = (
    _codec(
        "encodec-24khz",
        "facebook/encodec_24khz@c1dbe2ae3f1de713481a3b3e7c47f357092ee040",
        24_000,
        ENCODEC,
        # The repository of the code is under MIT; nobody says whether these weights are.
        licence="unknown",
        terms="https://huggingface.co/facebook/encodec_24khz",
    ),
    _codec(
        "encodec-48khz",
        "facebook/encodec_48khz@c3def8e7185ac8c8efdce6eb8c4a651e487a503e",
        48_000,
        ENCODEC,
    ),
    _codec("dac-16khz", "descript/dac_16khz@7c2fc5e759f1f501aefc6e7a0265cc57f5d17ba7", 16_000, DAC),
    _codec(
        "dac-24khz",
        "descript/dac_24khz@6ba020b5ba7d9d8076fb90db7e67f27e31980f6e",
        24_000,
        DAC,
        size=298_652_268,
    ),
    _codec("dac-44khz", "descript/dac_44khz@c1bc521685adf9cfe247bc39a5ca58917eda1ac4", 44_100, DAC),
    _codec(
        "oobleck-stable-audio-open",
        "stabilityai/stable-audio-open-1.0/vae@f21265c1e2710b3bd2386596943f0007f55f802e",
        44_100,
        OOBLECK,
        licence="Stability AI Community",
        terms="https://huggingface.co/stabilityai/stable-audio-open-1.0/blob/main/LICENSE.md",
    ),
    _codec(
        "oobleck-ace-step",
        "ACE-Step/Ace-Step1.5/vae@19671f406d603126926c1b7e2adc169acbcade22",
        48_000,
        OOBLECK,
        size=337_431_388,
    ),
    HubClass("generator", "EncodecModel", None, ENCODEC, requires=TRANSFORMERS, extra=EXTRA),
    HubClass("generator", "DacModel", None, DAC, requires=TRANSFORMERS, extra=EXTRA),
    HubClass("generator", "AutoencoderOobleck", None, OOBLECK, requires=DIFFUSERS, extra=EXTRA),
)
"""TagBox's own, named by an entry point."""
