"""List the models: TagBox's own, with licence, address and checksums, and those of plug-ins."""

import difflib

from tagbox.errors import UnknownModelError
from tagbox.plugins import discovery
from tagbox.plugins.descriptions import Model
from tagbox.plugins.discovery import Installed, Origin

MIT = "MIT"
ISC = "ISC"
NONCOMMERCIAL = "Noncommercial Use License"
NONCOMMERCIAL_TEXT = "https://github.com/openai/jukebox/blob/master/LICENSE"

TAGGER_URL = (
    "https://raw.githubusercontent.com/ethman/sota-music-tagging-models/"
    "2969b12498d9c8efa749d99c3ba7a36487b02d21/sota_music_taggers/models/{identifier}/best_model.pth"
)
"""The commit fixes the content of every file below it, so that addresses and blob ids cannot drift apart."""


LOAD_TAGGER = "tagbox.taggers.registry:load_published"
TAGGER_SHAPES = "tagbox.taggers.registry:shapes_of"
TAGGER_RATE_HZ = 16_000
SHARES_RATE_HZ = 44_100
GENERATOR_RATE_HZ = 44_100
EFFICIENT_RATE_HZ = 32_000
EFFICIENT_URL = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1"


def _tagger(
    identifier: str,
    licence: str = MIT,
    size: int | None = None,
    source: str | None = None,
    sha256: str | None = None,
    git_blob: str | None = None,
    inside: str | None = None,
    rate: int = TAGGER_RATE_HZ,
) -> Model:
    """Describe a tagger of an architecture in `tagbox.taggers.registry`."""
    data, name = identifier.split("/")
    return Model(
        "tagger",
        name,
        data,
        licence,
        size,
        source,
        sha256,
        git_blob,
        inside=inside,
        rate=rate,
        load=LOAD_TAGGER,
        shapes=TAGGER_SHAPES,
    )


def _published(identifier: str, git_blob: str, size: int | None = None, sha256: str | None = None) -> Model:
    """Describe a tagger whose weights are downloaded from the commit of `TAGGER_URL`."""
    return _tagger(identifier, MIT, size, TAGGER_URL.format(identifier=identifier), sha256, git_blob)


TAGGERS: tuple[Model, ...] = (
    _tagger("mtat/pons-musicnn", ISC, inside="taggers/data/mtat-pons-musicnn.safetensors"),
    _tagger("mtat/pons-vgg", ISC, inside="taggers/data/mtat-pons-vgg.safetensors"),
    _published("mtat/attention", "c348c8840a1d7b81011674032ee2393332521f19"),
    _published(
        "mtat/crnn",
        "884e1ffa3b4d005794b225996163d1ef5d64206b",
        1_687_630,
        "cd22fc70cafd06f8f2bfc7dd795abccb1f4b50d5b09094c39ad100baf87475a3",
    ),
    _published(
        "mtat/fcn",
        "970d99eb564935d36e2f4b71712a250a081229e0",
        1_902_811,
        "e89d751202d38c3ae69855782bc27010f87051958dbec64f5aa762364dbac271",
    ),
    _published("mtat/hcnn", "68960600c842af8256600bfe917bf91582721564"),
    _published(
        "mtat/musicnn",
        "f535468c253f5d9a6e87c4088d234846d7738cc2",
        3_257_172,
        "690ace3bb5d49d90dd38fe3ec05a1185350b3bc3742bd7ee941f56b649b2c893",
    ),
    _published("mtat/sample", "0ce2469da86fddc73be75936fbcddc9471e7ce21"),
    _published("mtat/se", "5f20d799b05a88ebbc2140f75c663283d556e3de"),
    _published("jamendo/attention", "45106362fe825f6eaf95a7d7459d15ce7b0313da"),
    _published(
        "jamendo/crnn",
        "20045ae7f5bf5882c95512f786555a51f5223d96",
        1_687_626,
        "0a558989c0793f488cb677d188464c91f47c007f7c70473230e55537ca598215",
    ),
    _published(
        "jamendo/fcn",
        "d236c42b7757a5d7fd28535ec6a620ed78049901",
        1_902_815,
        "7bce08a66dbc70d096b0a330f44b4cacd9aa25519b83489fbb98f2164a194e2b",
    ),
    _published("jamendo/hcnn", "2890f9f118cc4fd906caac57fd2b56abe7a34706"),
    _published(
        "jamendo/musicnn",
        "61fc3de978b34df788d267ba8a0c2f06d783df9a",
        3_257_168,
        "66280f4859376377c47f64313c7ac889a3201fdb06a01bf6e94ac6e619081bb5",
    ),
    _published("jamendo/sample", "db5bedf34a0ea6500d95e254a43a203a185cec06"),
    _published("jamendo/se", "a4b55509c3af0558c02723322f3aab5122ae8d14"),
    _published("jamendo/short_res", "56478ab59e0891a0ef4188e997db536d35d3407a"),
    _published("msd/attention", "ff2c49e9b88d2abcaa877eda951170ef81a5e904"),
    _published(
        "msd/crnn",
        "5e4334531c3e630521d329c68a39ab374d61418c",
        1_687_711,
        "ebb99855ed0c83f38845db9cfb383dd6fc70938bc58701dcb66e18af9ee7fbea",
    ),
    _published(
        "msd/fcn",
        "10e77ca885b1f0f771274baaf2b1867a72a08083",
        1_902_815,
        "6012aa7eecf864a8081faedca56af054521e8dfb9c5c98659a3dd5d3e1e66f21",
    ),
    _published("msd/hcnn", "8b6c53c41ce3fd5c61cd0aa2f5444435972f8e53"),
    _published("msd/musicnn", "f456be06bd7409125daae533a4d966292dbfa1bf"),
    _published("msd/musicnn600", "7020c19617ca29140495f6d9783d8ae977ffb2c6"),
    _published("msd/sample", "3888125187cd62bff2ec7f6763b474b916407d95"),
    _published("msd/se", "7d5eca8d6a5d47631126042c3d40d7dcf6a9a451"),
    _published("msd/short_res", "2566ed85f37150ac6f3dba4f5a39985b5acbf156"),
    # Nobody publishes weights of these: only users who have a checkpoint can run them.
    _tagger("mtat/short"),
    _tagger("mtat/short_res"),
    _tagger("jamendo/short"),
    _tagger("msd/short"),
    _tagger("rendered/listener", inside="taggers/data/rendered-listener.safetensors"),
    _tagger(
        "audioset/mn04",
        source=f"{EFFICIENT_URL}/mn04_as_mAP_432.pt",
        rate=EFFICIENT_RATE_HZ,
    ),
    _tagger(
        "audioset/mn10",
        source=f"{EFFICIENT_URL}/mn10_as_mAP_471.pt",
        rate=EFFICIENT_RATE_HZ,
    ),
    _tagger("rendered/shares", inside="taggers/data/rendered-shares.safetensors", rate=SHARES_RATE_HZ),
)
"""TagBox's own, named by its entry point."""

GENERATORS: tuple[Model, ...] = (
    Model(
        "generator",
        "embedded",
        None,
        MIT,
        inside="generators/data/embedded.safetensors",
        rate=GENERATOR_RATE_HZ,
        load="tagbox.generators.pretrained:load_embedded",
    ),
    Model(
        "generator",
        "jukebox",
        None,
        NONCOMMERCIAL,
        source="https://openaipublic.azureedge.net/jukebox/models/5b/vqvae.pth.tar",
        sha256="69745413a48e887f8a3fe91b972a6f7f434021a1ce911a99187b331eb48c059a",
        certain=False,
        terms=NONCOMMERCIAL_TEXT,
        rate=GENERATOR_RATE_HZ,
        load="tagbox.generators.jukebox:load_jukebox",
        shapes="tagbox.generators.jukebox:expected_shapes",
    ),
)
"""TagBox's own, named by its entry point."""

_TAGGERS = Installed(discovery.TAGGERS, Model)
_GENERATORS = Installed(discovery.GENERATORS, Model)


def models() -> tuple[Model, ...]:
    """Return every model that is installed: TagBox's own taggers, those of plug-ins, then the generators."""
    return (*_TAGGERS.values(), *_GENERATORS.values())


def taggers() -> tuple[Model, ...]:
    """Return every tagger that is installed."""
    return tuple(_TAGGERS.values())


def generators() -> tuple[Model, ...]:
    """Return every generator that is installed."""
    return tuple(_GENERATORS.values())


def origin(model: Model) -> Origin | None:
    """Return the package that describes `model`; None of a model from a repository on the hub."""
    installed = _TAGGERS if model.kind == "tagger" else _GENERATORS
    return installed.origin(model.key) if model.key in installed else None


def find_model(kind: str, name: str, data: str | None = None) -> Model:
    """Return the model of this kind, name and training data.

    Raises:
        UnknownModelError: there is none.
    """
    for model in models():
        if (model.kind, model.name, model.data) == (kind, name, data or None):
            return model
    raise _unknown_model(f"{data}/{name}" if data else name)


def model_by_identifier(identifier: str) -> Model:
    """Return the model with this identifier, in capitals or not.

    Raises:
        UnknownModelError: there is none; the message names similar identifiers.
    """
    for model in models():
        if model.identifier == identifier.strip().lower():
            return model
    raise _unknown_model(identifier)


def models_trained_on(data: str) -> tuple[Model, ...]:
    """Return all taggers trained on `data`.

    Raises:
        UnknownModelError: there are none.
    """
    found = tuple(model for model in models() if model.data == data)
    if not found:
        known = ", ".join(dict.fromkeys(model.data for model in models() if model.data))
        raise UnknownModelError(f"no model was trained on {data!r}; choose one of {known}")
    return found


def model_by_git_blob(git_blob: str) -> Model | None:
    """Return the model whose published file has this git blob id, if any."""
    return next((model for model in models() if model.git_blob == git_blob), None)


def _unknown_model(identifier: str) -> UnknownModelError:
    known = [model.identifier for model in models()]
    # The most common mistake is a bare architecture, which exists for several data sets.
    name = identifier.strip().lower().split("/")[-1]
    near = [each for each in known if each.split("/")[-1] == name]
    near = near or difflib.get_close_matches(identifier.lower(), known, n=3, cutoff=0.5)
    near = [each for each in near if each != identifier]
    hint = f"did you mean {' or '.join(near[:4])}?" if near else "`tagbox models` lists all"
    # The model may be one of a plug-in that is broken.
    return UnknownModelError("; ".join([f"no model is called {identifier!r}; {hint}", *discovery.faults()]))
