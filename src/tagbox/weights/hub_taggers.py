"""List the taggers whose weights are on the Hugging Face hub, and the classes of such taggers."""

from tagbox.plugins.descriptions import HubClass, Model

APACHE = "Apache-2.0"
BSD = "BSD-3-Clause"
EXTRA = "tagbox[hf]"
LIBRARIES = ("huggingface_hub", "transformers")

TEXT_RATE_HZ = 48_000
AST_RATE_HZ = 16_000

LOAD_CLAP = "tagbox.taggers.clap:load"
LOAD_FRAMES = "tagbox.taggers.perception_frames:load"
LOAD_AST = "tagbox.taggers.audio_transformer:load"

AUDIO_FILES = ("preprocessor_config.json", "processor_config.json")
TEXT_FILES = (*AUDIO_FILES, "tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json")


def _tagger(identifier: str, licence: str, source: str, rate: int, load: str) -> Model:
    data, name = identifier.split("/")
    return Model(
        "tagger",
        name,
        data,
        licence,
        source=source,
        rate=rate,
        load=load,
        requires=LIBRARIES,
        extra=EXTRA,
    )


def _class(name: str, data: str, load: str, files: tuple[str, ...]) -> HubClass:
    return HubClass("tagger", name, data, load, files=files, requires=LIBRARIES, extra=EXTRA)


HUB_TAGGERS: tuple[Model | HubClass, ...] = (
    # The main branch of both CLAPs holds a pickle; these commits are the hub's conversions to safetensors.
    # laion/larger_clap_music is not here: its weights give all texts nearly the same embedding.
    _tagger(
        "clap/larger-general",
        APACHE,
        "hf:laion/larger_clap_general@16c8cc3159a3c8a31e8ff5ef1f66b0d9ab3667db",
        TEXT_RATE_HZ,
        LOAD_CLAP,
    ),
    _tagger(
        "clap/htsat-unfused",
        APACHE,
        "hf:laion/clap-htsat-unfused@79b58ed25fc00386262a2bea4b19fd21dc4310a0",
        TEXT_RATE_HZ,
        LOAD_CLAP,
    ),
    _tagger(
        "pe/a-frame-small",
        APACHE,
        "hf:facebook/pe-a-frame-small@e5fc71c1f0be50279f52f292390b589780079e13",
        TEXT_RATE_HZ,
        LOAD_FRAMES,
    ),
    _tagger(
        "audioset/ast",
        BSD,
        "hf:MIT/ast-finetuned-audioset-10-10-0.4593@f826b80d28226b62986cc218e5cec390b1096902",
        AST_RATE_HZ,
        LOAD_AST,
    ),
    _class("ClapModel", "clap", LOAD_CLAP, TEXT_FILES),
    _class("PeAudioFrameLevelModel", "pe", LOAD_FRAMES, TEXT_FILES),
    _class("ASTForAudioClassification", "audioset", LOAD_AST, AUDIO_FILES),
)
"""TagBox's own, named by its entry point. Words that no vocabulary has are heard by the first of those that
understand any words and are on this machine."""
