"""List the taggers whose weights are on the Hugging Face hub, and the classes of such taggers."""

from tagbox.plugins.descriptions import HubClass, Model

APACHE = "Apache-2.0"
EXTRA = "tagbox[hf]"
LIBRARIES = ("huggingface_hub", "transformers")

LOAD_CLAP = "tagbox.taggers.clap:load"
CLAP_FILES = ("preprocessor_config.json", "processor_config.json", "tokenizer*", "vocab.json", "merges.txt")
CLAP_RATE_HZ = 48_000


def _clap(name: str, source: str) -> Model:
    return Model(
        "tagger",
        name,
        "clap",
        APACHE,
        source=source,
        rate=CLAP_RATE_HZ,
        load=LOAD_CLAP,
        requires=LIBRARIES,
        extra=EXTRA,
    )


HUB_TAGGERS: tuple[Model | HubClass, ...] = (
    # The main branch of both holds a pickle. The converted weights of this one are in a pull request.
    _clap("larger-music", "hf:laion/larger_clap_music@refs/pr/1"),
    _clap("htsat-unfused", "hf:laion/clap-htsat-unfused@main"),
    HubClass("tagger", "ClapModel", "clap", LOAD_CLAP, files=CLAP_FILES, requires=LIBRARIES, extra=EXTRA),
)
"""TagBox's own, named by its entry point. Words that no vocabulary has are heard by the first of those that
understand any words and are on this machine."""
