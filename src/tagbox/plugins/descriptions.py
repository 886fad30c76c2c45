"""Describe models, methods and vocabularies: data alone, read before anything heavy is imported.

Code is named, not imported: "package.module:function" is imported when the model or method is used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tagbox.errors import TagBoxError

ModelKind = Literal["tagger", "generator"]
HUB_PREFIX = "hf:"
"""Begins the address of a repository on the Hugging Face hub: hf:owner/name@revision."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Model:
    """A tagger or a generator, and where its weights are.

    Attributes:
        kind: "tagger" or "generator".
        name: of the architecture or the generator: lower-case letters, digits, dots, hyphens, underscores,
            plus signs.
        data: the name of a tagger's vocabulary, usually what it was trained on; None for generators.
        licence: of the weights.
        size: of the published file, bytes, where known.
        source: address of the published file, or of a repository on the hub (hf:owner/name@revision); None
            where none is known.
        sha256: of the published file.
        git_blob: git's name of the published file, the SHA-1 of ``blob SIZE\\0`` and its bytes.
        certain: whether another checksum means another file. Where it is False, the checksum comes from a
            single source; a difference is then a warning, and names and shapes of the weights decide.
        inside: path of a file that ships with the package, relative to `package`.
        terms: address of a licence that must be accepted before the download.
        rate: sample rate of the audio, Hz, where it is the same for all weights.
        load: "module:function". The function is called with this description, the path of the weights (None
            where there are none) and the device; a tagger's with the words to predict as well, where its
            vocabulary is open. It returns a `tagbox.taggers.tagger.Tagger` or a
            `tagbox.generators.base.Generator`.
        shapes: "module:function". The function is called with this description, and returns names and shapes
            of the weights, by which files are checked before they are kept.
        package: the importable package that holds `inside`.
        weightless: whether it computes by rule, without weights.
        requires: packages that `load` imports beyond TagBox's own dependencies.
        extra: what to install where one of them is missing, such as tagbox[hf].
    """

    kind: ModelKind
    name: str
    data: str | None
    licence: str
    size: int | None = None
    source: str | None = None
    sha256: str | None = None
    git_blob: str | None = None
    certain: bool = True
    inside: str | None = None
    terms: str | None = None
    rate: int | None = None
    load: str = ""
    shapes: str | None = None
    package: str = "tagbox"
    weightless: bool = False
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("tagger", "generator"):
            raise TagBoxError(f"a model cannot be a {self.kind!r}; give tagger or generator")
        if not self.name.startswith(HUB_PREFIX):
            _check_name(self.name)
        if self.data is not None:
            _check_name(self.data)
        if (self.data is None) != (self.kind == "generator"):
            raise TagBoxError(f"{self.name} needs a vocabulary (data) if it is a tagger, and none otherwise")
        if not self.licence:
            raise TagBoxError(f"{self.name} has no licence; name the licence of its weights")
        _check_code(self.load, "load", self.name)
        if self.shapes is not None:
            _check_code(self.shapes, "shapes", self.name)

    @property
    def identifier(self) -> str:
        """Return the name by which users ask for the model: ``mtat/fcn``, ``jukebox``."""
        is_qualified = self.data and not self.name.startswith(HUB_PREFIX)
        return f"{self.data}/{self.name}" if is_qualified else self.name

    @property
    def key(self) -> str:
        """Return what distinguishes the model from the others of its kind."""
        return self.identifier


@dataclass(frozen=True)
class HubClass:
    """A class of models on the hub: any repository whose config.json names it can be loaded.

    Attributes:
        kind: what its models are, "tagger" or "generator".
        name: of the class, as config.json has it in "architectures" or "_class_name": "EncodecModel".
        data: the vocabulary of its taggers; None for generators.
        load: "module:function", called as a `Model`'s is; the path is that of the folder with the files.
        files: further files to download beside config.json and the weights, as patterns: "vocab.json".
        requires: packages that `load` imports beyond TagBox's own dependencies.
        extra: what to install where one of them is missing.
    """

    kind: ModelKind
    name: str
    data: str | None
    load: str
    files: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("tagger", "generator"):
            raise TagBoxError(f"a class of models cannot be a {self.kind!r}; give tagger or generator")
        if not self.name.isidentifier():
            raise TagBoxError(f"{self.name!r} is no name of a class")
        _check_code(self.load, "load", self.name)

    @property
    def key(self) -> str:
        """Return what distinguishes the class from the others of its kind."""
        return f"{HUB_PREFIX}{self.name}"


@dataclass(frozen=True)
class Method:
    """A way to separate, by the name that `Settings.steer` has for it.

    Attributes:
        name: lower-case letters, digits, dots, hyphens, underscores, plus signs.
        make: "module:function". The function is called with the task (`tagbox.methods.task.Task`) and with
            what is called after every step, and returns a `tagbox.methods.separators.Separator`.
        needs_generator: whether the task needs a generator.
        needs_share_network: whether the task needs the share network.
        licence: of what it brings along.
    """

    name: str
    make: str
    needs_generator: bool = False
    needs_share_network: bool = False
    licence: str = "MIT"

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_code(self.make, "make", self.name)

    @property
    def key(self) -> str:
        """Return what distinguishes the method from the others."""
        return self.name


@dataclass(frozen=True)
class Vocabulary:
    """The tags of taggers that were trained on the same data.

    Attributes:
        name: lower-case letters, digits, dots, hyphens, underscores, plus signs.
        tags: in the order of the taggers' outputs.
        exclusive: where taggers predict shares of energy, the tags whose shares add up to one.
        families: tags that stand for several of the exclusive ones.
        words: what other words mean, such as those of TagBox's own tag groups: {"vocals": ("Singing",)}.
        is_open: whether any word can be asked for: `tags` is then empty, and the tagger is built for the
            words of the run, and predicts the share of each, which add up to one.
        licence: of the list.
    """

    name: str
    tags: tuple[str, ...]
    exclusive: tuple[str, ...] = ()
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_open: bool = False
    licence: str = "MIT"

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.is_open == bool(self.tags) or len(set(self.tags)) != len(self.tags):
            raise TagBoxError(f"the vocabulary {self.name} needs tags, each once, or none where it is open")
        meant = [tag for tags in (*self.families.values(), *self.words.values()) for tag in tags]
        unknown = {*self.exclusive, *self.families, *meant} - {*self.tags}
        if unknown:
            raise TagBoxError(f"the vocabulary {self.name} has no tag {min(unknown)!r}, which it refers to")

    @property
    def key(self) -> str:
        """Return what distinguishes the vocabulary from the others."""
        return self.name


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise TagBoxError(f"{name!r} cannot be a name; use lower-case letters, digits and any of . - _ +")


def _check_code(code: str, field: str, name: str) -> None:
    if not _CODE.fullmatch(code):
        raise TagBoxError(f'{name} has {code!r} as {field}; write "package.module:function"')
