"""Models from the hub: a server on localhost, real downloads by huggingface_hub, its cache."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import hub_server
from hub_server import Hub
from tagbox.errors import InvalidWeightsError, MissingWeightsError, TagBoxError, UnknownModelError
from tagbox.models import load_generator
from tagbox.plugins import HubClass, Model, discovery
from tagbox.plugins.discovery import Discovery, Offer, Origin
from tagbox.taggers.names import TaggerName
from tagbox.weights import hub as hub_weights
from tagbox.weights import store

CARD = "---\nlicense: {}\ntags:\n- audio\n---\n# A model\n"
WEIGHTS = save({"weight": torch.arange(20_000, dtype=torch.float32)})
CLASS = HubClass("tagger", "Tiny", "mtat", "tests.test_hub:load", files=("vocab.*",))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub, an empty cache, and one class of models that is known."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "tagbox"))
    offers = Discovery({CLASS.key: Offer(CLASS, Origin("tiny", "1.0"))}, ())
    monkeypatch.setattr(
        discovery, "discover", lambda group: offers if group == discovery.TAGGERS else Discovery({}, ())
    )
    with hub_server.serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def repository(licence: str = "mit", **files: bytes) -> dict[str, bytes]:
    """The files of a small repository; a keyword's double underscore is a dot."""
    config = json.dumps({"architectures": ["Tiny"]}).encode()
    given = {name.replace("__", "."): content for name, content in files.items()}
    return {"config.json": config, "README.md": CARD.format(licence).encode(), **given}


def test_an_address_is_pinned_downloaded_and_then_needs_no_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.publish("me/tiny", repository(model__safetensors=WEIGHTS, vocab__txt=b"a"))
    model = store.describe("tagger", "hf:me/tiny")
    assert model.identifier == f"hf:me/tiny@{commit}" and (model.data, model.licence) == ("mtat", "mit")
    assert store.availability(model) == "to be downloaded"
    folder = store.locate_model(model)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
    assert folder.is_relative_to(Path(os.environ["HF_HOME"]) / "hub")
    asked = len(hub.requests)
    # By its commit, what is cached is not asked for again.
    pinned = store.describe("tagger", model.identifier)
    assert pinned == model and store.availability(pinned) == "cached"
    assert store.locate_model(pinned) == folder and len(hub.requests) == asked
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert store.locate_model(store.describe("tagger", "hf:me/tiny")) == folder
    with pytest.raises(MissingWeightsError, match="HF_HUB_OFFLINE"):
        store.describe("tagger", "hf:me/another")
    assert len(hub.requests) == asked


def test_damaged_files_of_the_cache_are_replaced_as_it_is_said(hub: Hub) -> None:
    hub.publish("me/damaged", repository(model__safetensors=WEIGHTS))
    model = store.describe("tagger", "hf:me/damaged")
    folder = store.locate_model(model)
    assert store.verify(model) == folder
    (folder / "model.safetensors").resolve().write_bytes(WEIGHTS[:100])
    with pytest.raises(InvalidWeightsError, match="hf cache rm model/me/damaged`"):
        store.verify(model)
    hf = [sys.executable, "-m", "huggingface_hub.cli.hf", "cache", "rm", "--yes", "model/me/damaged"]
    subprocess.run(hf, check=True, capture_output=True)
    # As in a new process.
    hub_weights._resolve_online.cache_clear()
    assert store.verify(store.describe("tagger", "hf:me/damaged")) == folder


def test_the_cache_serves_where_the_hub_is_down(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish("me/down", repository(model__safetensors=WEIGHTS))
    folder = store.locate_model(store.describe("tagger", "hf:me/down"))
    # Another endpoint: nobody listens there.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert store.locate_model(store.describe("tagger", "hf:me/down")) == folder
    with pytest.raises(MissingWeightsError):
        store.describe("tagger", "hf:me/never")


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 12)
    hub.publish("me/long", repository(model__safetensors=WEIGHTS))
    model = store.describe("tagger", "hf:me/long")
    hub.cut_after = 50_000
    try:
        folder = store.locate_model(model)
    except MissingWeightsError:
        assert store.availability(model) == "to be downloaded"
        folder = store.locate_model(model)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert any(not each.startswith("bytes=0-") for each in hub.ranges)


def test_a_model_of_the_catalogue_may_name_a_branch(hub: Hub) -> None:
    commit = hub.publish("me/branch", repository(model__safetensors=WEIGHTS, vocab__txt=b"a"), "main")
    source = "hf:me/branch@main"
    model = Model("tagger", "branch", "mtat", "mit", source=source, load="tests.test_hub:load")
    assert store.availability(model) == "to be downloaded" and hub_weights.pinned(source) == source
    with pytest.raises(MissingWeightsError, match="tagbox models pull mtat/branch"):
        store.locate_model(model)
    folder = store.pull(model)
    assert (folder / "vocab.txt").read_bytes() == b"a" and folder.name == commit
    assert store.locate_model(model) == folder
    assert hub_weights.pinned(source) == f"hf:me/branch@{commit}"


def test_what_the_hub_does_not_have(hub: Hub) -> None:
    hub.publish("me/there", repository(model__safetensors=WEIGHTS))
    with pytest.raises(UnknownModelError, match="no revision v9"):
        store.describe("tagger", "hf:me/there@v9")
    with pytest.raises(UnknownModelError, match="no repository me/nowhere"):
        store.describe("tagger", "hf:me/nowhere")
    with pytest.raises(UnknownModelError, match="hf:owner/name"):
        store.describe("tagger", "hf:there")
    hub.publish("me/bare", {"README.md": b"nothing"})
    with pytest.raises(InvalidWeightsError, match=r"no config\.json"):
        store.describe("tagger", "hf:me/bare")


@pytest.mark.parametrize("code", [401, 403])
def test_a_repository_that_is_closed(hub: Hub, code: int) -> None:
    hub.publish("me/closed", repository(model__safetensors=WEIGHTS))
    hub.refusals["me/closed"] = code
    with pytest.raises(TagBoxError, match="hf auth login"):
        store.describe("tagger", "hf:me/closed")


def test_pickles_and_code_are_refused_unread(hub: Hub) -> None:
    hub.publish("me/pickled", repository(pytorch_model__bin=b"pickle"))
    with pytest.raises(InvalidWeightsError, match="safetensors"):
        store.locate_model(store.describe("tagger", "hf:me/pickled"))
    custom = {"architectures": ["Custom"], "auto_map": {"AutoModel": "model.Custom"}}
    files = repository(model__safetensors=WEIGHTS, model__py=b"raise SystemExit")
    hub.publish("me/code", files | {"config.json": json.dumps(custom).encode()})
    with pytest.raises(UnknownModelError, match="code of its own"):
        store.describe("tagger", "hf:me/code")
    # A class that is known is read by TagBox's own loader, whatever the repository brings along.
    known = {"architectures": ["Tiny"], "auto_map": {"AutoModel": "model.Tiny"}}
    disguised = {"vocab.txt": b"a", "vocab.py": b"raise SystemExit", "vocab.pkl": b"pickle"}
    hub.publish("me/known", files | disguised | {"config.json": json.dumps(known).encode()})
    folder = store.locate_model(store.describe("tagger", "hf:me/known"))
    assert (folder / "vocab.txt").exists() and not (folder / "model.py").exists()
    assert not any(each.endswith((".bin", ".py", ".pkl")) for each in hub.requests)


def test_where_there_are_pickles_only_a_conversion_is_named(hub: Hub) -> None:
    hub.publish("me/old", repository(pytorch_model__bin=b"pickle"))
    commit = hub.publish("me/old", repository(model__safetensors=WEIGHTS), "refs/pr/7")
    closed, offered = ("Adding `safetensors` variant", "closed"), ("Adding `safetensors` variant", "open")
    hub.pull_requests["me/old"] = {5: closed, 6: ("Update README.md", "open"), 7: offered}
    with pytest.raises(InvalidWeightsError, match="hf:me/old@refs/pr/7"):
        store.locate_model(store.describe("tagger", "hf:me/old"))
    model = store.describe("tagger", "hf:me/old@refs/pr/7")
    assert store.locate_model(model).name == commit


@pytest.mark.parametrize(
    "content", [{}, {"architectures": 5}, {"architectures": [7, None]}, {"_class_name": {}}, []]
)
def test_settings_that_name_no_class(hub: Hub, content: object) -> None:
    hub.publish("me/odd", repository() | {"config.json": json.dumps(content).encode()})
    with pytest.raises(TagBoxError, match="hf:me/odd@"):
        store.describe("tagger", "hf:me/odd")


def test_shards_and_folders(hub: Hub) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    shards = {
        "vae/config.json": json.dumps({"_class_name": "Tiny"}).encode(),
        "vae/model.safetensors.index.json": json.dumps(index).encode(),
        "vae/model-1.safetensors": WEIGHTS,
        "vae/model-2.safetensors": WEIGHTS,
        "unet/model.safetensors": WEIGHTS,
    }
    hub.publish("me/parts", repository() | shards)
    folder = store.locate_model(store.describe("tagger", "hf:me/parts/vae"))
    assert folder.name == "vae" and not (folder.parent / "unet").exists()
    weights = sorted(folder.glob("*.safetensors"))
    assert [path.name for path in weights] == ["model-1.safetensors", "model-2.safetensors"]
    evil = {"weight_map": {"a": "../../escape.safetensors"}}
    hub.publish("me/evil", repository(model__safetensors__index__json=json.dumps(evil).encode()))
    with pytest.raises(InvalidWeightsError, match="no safetensors"):
        store.locate_model(store.describe("tagger", "hf:me/evil"))
    hub.publish("me/list", repository(model__safetensors__index__json=b"[1]"))
    with pytest.raises(InvalidWeightsError, match="damaged"):
        store.locate_model(store.describe("tagger", "hf:me/list"))


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "unknown", "other"])
def test_a_licence_that_restricts_is_accepted_first(hub: Hub, licence: str) -> None:
    name = f"me/restricted-{licence}"
    hub.publish(name, repository(licence, model__safetensors=WEIGHTS))
    model = store.describe("tagger", f"hf:{name}")
    assert model.terms is not None and licence in model.licence
    with pytest.raises(TagBoxError, match="--accept-license"):
        store.locate_model(model)
    with pytest.raises(TagBoxError, match="--accept-license"):
        store.pull(model)
    assert not any("safetensors" in request for request in hub.requests)
    folder = store.pull(model, accept_license=True)
    assert store.locate_model(model) == folder
    acceptance = store.licence_acceptance(model)
    assert acceptance is not None and acceptance["licence"] == model.licence


def test_addresses() -> None:
    parse = hub_weights.Address.parse
    assert str(parse("hf:a/b")) == "hf:a/b@main"
    assert parse("hf:a/b/c/d@v1.0") == hub_weights.Address("a/b", "c/d", "v1.0")
    for wrong in ("hf:a", "hf:a/b@", "hf:../b", "hf:a/../../b", "hf:a/b@../x", "hf:a b/c", "a/b"):
        with pytest.raises(UnknownModelError):
            parse(wrong)
    for wrong in ("HF:a/b", "https://huggingface.co/a/b", "a/b/c", "a"):
        with pytest.raises(UnknownModelError, match="hf:owner/name"):
            TaggerName.parse(wrong)
    with pytest.raises(UnknownModelError, match="hf:owner/name"):
        load_generator("https://huggingface.co/a/b")
