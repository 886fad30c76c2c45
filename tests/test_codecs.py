"""Neural codecs as generators: real classes of transformers and diffusers, small, with random weights."""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import hub_server
from benchmarks.codecs import STEREO, recording, run_in_overlapping_chunks
from cli_runner import assert_refused, run_tagbox
from hub_snapshots import keep_in_cache, use_caches
from tagbox import audio
from tagbox.errors import InvalidWeightsError
from tagbox.generators.base import Generator
from tagbox.generators.codecs import chunks, dac, encodec, oobleck
from tagbox.generators.codecs.chunks import InChunks, reach
from tagbox.generators.codecs.codec import Codec
from tagbox.generators.quantisers import make_quantiser
from tagbox.methods.latents import LatentSynthesis
from tagbox.models import load_generator
from tagbox.plugins import Model, discovery
from tagbox.weights import catalogue, store
from tagbox.weights.hub import Address

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"

PARITY = 1e-5
"""Of the largest value: a few hundred float32 roundings, whose order differs between chunks and whole."""

ENCODEC = {
    "num_filters": 4,
    "hidden_size": 8,
    "codebook_size": 16,
    "upsampling_ratios": [8, 5, 4, 2],
    "target_bandwidths": [0.6, 1.2],
    "num_lstm_layers": 1,
}


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, and no network."""
    folder = tmp_path_factory.mktemp("caches")
    use_caches(monkeypatch, folder / "hf", folder / "tagbox")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[Codec, Any, Path]]]:
    """Make a small model of a kind, once: as a generator, as the library's, and its folder."""
    monkeypatch = pytest.MonkeyPatch()
    kinds: dict[str, tuple[Callable[[], nn.Module], Callable[[Model, Path], Codec]]] = {
        "encodec-24khz": (lambda: _encodec(sampling_rate=24_000), encodec.load),
        "encodec-48khz": (lambda: _encodec(**STEREO), encodec.load),
        "dac-24khz": (lambda: _dac([2, 4, 5, 8], 24_000), dac.load),
        "dac-44khz": (lambda: _dac([2, 4, 8, 8], 44_100), dac.load),
        "oobleck": (_oobleck, oobleck.load),
    }
    made: dict[str, tuple[Codec, Any, Path]] = {}

    def make(kind: str) -> tuple[Codec, Any, Path]:
        if kind not in made:
            # Chunks of the published length would take long.
            monkeypatch.setattr(chunks, "CHUNK_SECONDS", 0.4)
            folder = tmp_path_factory.mktemp(kind)
            build, load = kinds[kind]
            torch.manual_seed(3)
            network: Any = build().eval()
            # Codebooks are drawn too, and no weight stays at the value that everything begins with.
            for name, value in network.state_dict().items():
                if name.endswith("embed"):
                    value.normal_()
                elif "alpha" in name or "beta" in name:
                    value.add_(0.2 * torch.randn_like(value))
            network.save_pretrained(folder)
            made[kind] = (load(_model(kind), folder), network, folder)
        return made[kind]

    yield make
    monkeypatch.undo()


def _model(kind: str) -> Model:
    return Model("generator", kind, None, "MIT", load="tests:load")


def _encodec(**settings: Any) -> nn.Module:
    network: nn.Module = transformers.EncodecModel(transformers.EncodecConfig(**ENCODEC | settings))
    return network


def _dac(ratios: list[int], rate: int) -> nn.Module:
    config = transformers.DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=16,
        downsampling_ratios=ratios,
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=4,
        sampling_rate=rate,
    )
    network: nn.Module = transformers.DacModel(config)
    return network


def _oobleck() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network: nn.Module = diffusers.AutoencoderOobleck(
            encoder_hidden_size=8,
            downsampling_ratios=[2, 4, 6, 10],
            channel_multiples=[1, 2, 2, 2],
            decoder_channels=4,
            decoder_input_channels=4,
            sampling_rate=48_000,
        )
    return network


KINDS = ("encodec-24khz", "encodec-48khz", "dac-24khz", "dac-44khz", "oobleck")


def assert_parity(actual: Tensor, expected: Tensor) -> None:
    """Compare within `PARITY` of the largest value."""
    assert actual.shape == expected.shape
    assert float((actual - expected).abs().max()) <= PARITY * float(expected.abs().max())


@torch.no_grad()
def library_latents(kind: str, network: Any, sound: Tensor) -> Tensor:
    """What the library's encoder gives for all of `sound` at once."""
    if kind == "oobleck":
        mean: Tensor = network.encode(sound).latent_dist.mean
        return mean
    latents: Tensor = network.encoder(sound)
    return latents


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "encodec-48khz"])
@pytest.mark.parametrize("seconds", [0.3, 1.1])
def test_it_encodes_quantises_and_decodes_as_the_library_does(
    make: Callable[[str], tuple[Codec, Any, Path]], kind: str, seconds: float
) -> None:
    codec, network, _ = make(kind)
    assert isinstance(codec, Generator)
    sound = recording(codec, seconds)
    # The longer one is three chunks, and the shorter one.
    latents = codec.encode(sound)
    assert latents.shape[-1] == sound.shape[-1] // codec.hop
    assert_parity(latents, library_latents(kind, network, sound))
    codes, entries = codec.quantise(latents)
    with torch.no_grad():
        if kind == "oobleck":
            assert codes.shape == (1, 0, latents.shape[-1]) and entries is latents
            expected = network.decode(latents).sample
        elif kind.startswith("dac"):
            _, quantised, expected_codes, _ = network.encode(sound, return_dict=False)
            assert torch.equal(codes, expected_codes)
            assert_parity(entries, quantised)
            expected = network.decode(quantised, return_dict=False)[0][:, None]
        else:
            encoded = network.encode(sound, bandwidth=1.2)
            assert torch.equal(codes, encoded.audio_codes[0])
            assert codes.shape[1] == network.config.num_quantizers > 1
            expected = network.decode(encoded.audio_codes, encoded.audio_scales).audio_values
    decoded = codec.decode(entries)
    assert decoded.shape == sound.shape
    # Odd strides leave the library's audio eight samples short.
    assert expected.shape[-1] == sound.shape[-1] - (8 if kind == "dac-24khz" else 0)
    assert_parity(decoded[..., : expected.shape[-1]], expected)


@pytest.mark.parametrize("seconds", [0.7, 1.7])
def test_stereo_chunks_are_those_of_the_library(
    make: Callable[[str], tuple[Codec, Any, Path]], seconds: float
) -> None:
    codec, network, _ = make("encodec-48khz")
    sound = recording(codec, seconds)
    with torch.no_grad():
        _, encoded, expected = run_in_overlapping_chunks(network, sound, bandwidth=1.2)
    codes, entries = codec.quantise(codec.encode(sound))
    count = -(-sound.shape[-1] // 47_520)
    # The library's last chunk is what the one before it reaches beyond the recording.
    assert torch.equal(codes, torch.cat([*encoded.audio_codes[:count]], dim=-1))
    decoded = codec.decode(entries)
    samples = sound.shape[-1]
    assert decoded.shape[-1] >= samples
    assert_parity(decoded[..., :samples], expected[..., :samples])
    # The loudness of a chunk is the last dimension.
    scales = torch.cat([*encoded.audio_scales[:count]], dim=-1)
    torch.testing.assert_close(entries[:, -1, :: entries.shape[-1] // count], scales, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_latents_as_in_the_library(
    make: Callable[[str], tuple[Codec, Any, Path]], kind: str
) -> None:
    codec, network, _ = make(kind)
    latents = codec.encode(recording(codec, 1.1 if kind != "encodec-48khz" else 0.8)).requires_grad_(True)
    audio_out = codec.decode(latents)
    weights = torch.randn(audio_out.shape, generator=torch.Generator().manual_seed(5))
    (audio_out * weights).sum().backward()
    assert latents.grad is not None
    whole = latents.detach().clone().requires_grad_(True)
    if kind == "encodec-48khz":
        expected = network.decoder(whole[:, :-1]) * whole[0, -1, 0].detach()
        assert not latents.grad[:, -1].any()
    else:
        expected = network.decoder(whole)
    (expected * weights[..., : expected.shape[-1]]).sum().backward()
    assert whole.grad is not None
    assert_parity(latents.grad, whole.grad)


@pytest.mark.parametrize("kind", ["encodec-24khz", "encodec-48khz", "dac-44khz"])
def test_the_backward_pass_keeps_the_activations_of_no_more_than_a_chunk(
    make: Callable[[str], tuple[Codec, Any, Path]], kind: str
) -> None:
    codec, network, _ = make(kind)

    def kept(decode: Callable[[Tensor], Tensor], latents: Tensor) -> int:
        tensors: dict[int, tuple[Tensor, int]] = {}

        def note(tensor: Tensor) -> Tensor:
            tensors[tensor.data_ptr()] = (tensor, tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            decode(latents.requires_grad_(True))
        return sum(size for _, size in tensors.values())

    latents = codec.encode(recording(codec, 3))
    whole = latents[:, : network.config.hidden_size]
    # Latents are kept, and what a recurrent layer computes of them: both are small beside audio.
    assert 5 * kept(codec.decode, latents) < kept(network.decoder, whole)


def test_the_reach_of_a_network_is_what_it_sees() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv1d(1, 2, 7, padding=3),
        nn.ConvTranspose1d(2, 2, 8, 4, padding=2),
        nn.Conv1d(2, 2, 3, dilation=9, padding=9),
        nn.Conv1d(2, 1, 7, padding=3),
    )
    assert reach(network) == 6 + 2 + 18 / 4 + 6 / 4
    signal = torch.zeros(1, 1, 101)
    moved = signal.clone()
    moved[..., 50] = 1
    touched = (network(signal) - network(moved)).detach()[0, 0].nonzero().flatten()
    assert 50 - touched.min() / 4 <= reach(network) and touched.max() / 4 - 50 <= reach(network) + 1
    chunked = InChunks.of(network, 1, 4, 25)
    noise = torch.randn(1, 1, 101)
    torch.testing.assert_close(chunked(noise), network(noise), rtol=0, atol=1e-6)
    # Less context is seen to be too little.
    starved = replace(chunked, context=2)
    assert float((starved(noise) - network(noise)).detach().abs().max()) > 1e-3


def test_stereo_latents_are_steered_without_touching_the_loudness(
    make: Callable[[str], tuple[Codec, Any, Path]],
) -> None:
    codec, *_ = make("encodec-48khz")
    sound = recording(codec, 1.3)[0]
    latents = LatentSynthesis(codec, sound, 0, make_quantiser("straight-through", codec, 0, 0))
    estimate = latents.estimate()
    assert estimate.audio.shape == (1, 1, sound.shape[-1])
    estimate.audio.square().sum().backward()
    (parameter,) = latents.parameters
    assert parameter.grad is not None and parameter.grad[:, :-1].any() and not parameter.grad[:, -1].any()


def test_older_files_with_normalised_weights_are_read(
    make: Callable[[str], tuple[Codec, Any, Path]], tmp_path: Path
) -> None:
    codec, _, folder = make("encodec-24khz")
    names = {"original0": "weight_g", "original1": "weight_v"}
    weights = load_file(folder / "model.safetensors")
    for new, old in names.items():
        weights = {key.replace(f"parametrizations.weight.{new}", old): v for key, v in weights.items()}
    assert sum(key.endswith("weight_g") for key in weights) > 10
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    again = encodec.load(_model("old"), tmp_path)
    sound = recording(codec, 0.5)
    assert torch.equal(again.encode(sound), codec.encode(sound))
    assert again.weights_hash != codec.weights_hash


@pytest.mark.parametrize("kind", ["encodec-24khz", "dac-44khz", "oobleck"])
def test_what_is_not_its_weights_is_refused(
    make: Callable[[str], tuple[Codec, Any, Path]], kind: str, tmp_path: Path
) -> None:
    _, _, folder = make(kind)
    load = {"encodec-24khz": encodec.load, "dac-44khz": dac.load, "oobleck": oobleck.load}[kind]
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    name = next(key for key in weights if key.endswith("bias") and "decoder" in key)
    damaged = {
        "without": {key: value for key, value in weights.items() if key != name},
        "with": weights | {"decoder.extra": torch.zeros(2)},
        "shape": weights | {name: torch.zeros(1, 1)},
        "finite": weights | {name: weights[name] * float("nan")},
    }
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    for fact, content in damaged.items():
        save_file(content, tmp_path / file.name)
        with pytest.raises(InvalidWeightsError, match=fact):
            load(_model(kind), tmp_path)
    (tmp_path / file.name).write_bytes(b"nothing")
    with pytest.raises(InvalidWeightsError, match="damaged"):
        load(_model(kind), tmp_path)
    save_file(weights, tmp_path / file.name)
    config = json.loads((folder / "config.json").read_text())
    ratios = "upsampling_ratios" if kind.startswith("encodec") else "downsampling_ratios"
    for wrong in (config | {ratios: "many"}, config | {ratios: [2, 2]}):
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(InvalidWeightsError):
            load(_model(kind), tmp_path)


@pytest.fixture
def cached(make: Callable[[str], tuple[Codec, Any, Path]]) -> Iterator[dict[str, str]]:
    """The small models where the cache would have the published ones, by the names of the catalogue."""
    sources = {}
    for name in ("encodec-48khz", "dac-44khz", "oobleck-stable-audio-open"):
        model = catalogue.find_model("generator", name)
        sources[name] = str(model.source)
        keep_in_cache(make(name if name in KINDS else "oobleck")[2], sources[name])
    yield sources


def test_the_command_line_separates_and_re_synthesises(cached: dict[str, str], tmp_path: Path) -> None:
    mono = audio.read(DUET, 1, 1.5)
    mixture = torch.cat([mono.samples, mono.samples.flip(-1)])
    song = tmp_path / "song.wav"
    audio.write(song, mixture, mono.rate)
    tagger = ("--tagger", "mtat/pons-musicnn", "--steps", 2)
    command = ("separate", song, "--tags", "violin", "-o", tmp_path, "--preset", "paper", *tagger)
    code, _, err = run_tagbox(*command, "--generator", "dac-44khz")
    assert code == 0, err
    manifest = json.loads((tmp_path / "song" / "run.json").read_text())
    assert manifest["generator"]["name"] == "dac-44khz"
    assert manifest["generator"]["source"] == cached["dac-44khz"]
    assert manifest["generator"]["licence"] == "MIT"
    stems = [audio.read(tmp_path / "song" / f"{name}.wav").samples for name in ("violin", "residual")]
    torch.testing.assert_close(sum(stems), mixture, atol=2**-14, rtol=0)

    out = tmp_path / "out.wav"
    options = ("--tags", "violin", "-o", out, *tagger)
    code, _, err = run_tagbox("transfer", song, *options, "--generator", "encodec-48khz")
    assert code == 0, err
    made = audio.read(out)
    assert made.samples.shape == mixture.shape and made.samples.any()


def test_a_codec_is_pulled_at_its_commit_and_then_needs_no_network(
    make: Callable[[str], tuple[Codec, Any, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, _, folder = make("dac-44khz")
    model = catalogue.find_model("generator", "dac-44khz")
    address = Address.parse(str(model.source))
    with hub_server.serving() as hub:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        hub.files[address.repository, address.revision] = files | {"pytorch_model.bin": b"pickle"}
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        code, out, err = run_tagbox("models", "pull", "dac-44khz")
        assert code == 0, err
        assert not any("pickle" in request or ".bin" in request for request in hub.requests)
        asked = len(hub.requests)
        assert load_generator("dac-44khz").weights_hash == codec.weights_hash
        assert len(hub.requests) == asked
    kept = Path(out.strip())
    assert kept.name == address.revision and (kept / "model.safetensors").is_file()
    assert run_tagbox("models", "verify", "dac-44khz")[0] == 0


def test_by_its_address_a_codec_is_the_same(cached: dict[str, str]) -> None:
    address = cached["dac-44khz"]
    model = store.describe("generator", address)
    assert (model.kind, model.load) == ("generator", "tagbox.generators.codecs.dac:load")
    # No page of the repository is here, so its licence has to be accepted.
    assert model.licence == "unknown" and model.terms is not None


def test_a_licence_that_restricts_is_accepted_first(cached: dict[str, str], tmp_path: Path) -> None:
    command = ("transfer", DUET, "--tags", "violin", "-o", tmp_path / "out.wav", "--steps", 1)
    command = (*command, "--duration", 1, "--tagger", "mtat/pons-musicnn")
    generator = ("--generator", "oobleck-stable-audio-open")
    assert_refused(
        run_tagbox(*command, *generator),
        "Stability AI Community",
        "tagbox models pull oobleck-stable-audio-open --accept-license",
        path=tmp_path / "out.wav",
    )
    pull = ("models", "pull", "oobleck-stable-audio-open")
    assert_refused(run_tagbox(*pull), "--accept-license")
    assert run_tagbox(*pull, "--accept-license")[0] == 0
    generator_here = load_generator("oobleck-stable-audio-open")
    assert (generator_here.channels, generator_here.licence) == (2, "Stability AI Community")


def test_what_is_not_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("transfer", DUET, "--tags", "violin", "-o", tmp_path / "out.wav", "--generator", "dac-16khz")
    assert_refused(run_tagbox(*command), "tagbox models pull dac-16khz", path=tmp_path / "out.wav")
    assert_refused(run_tagbox("models", "pull", "dac-16khz"), "HF_HUB_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert_refused(run_tagbox("models", "pull", "dac-16khz"), "cannot be reached")


def test_a_library_that_is_missing_is_named(
    cached: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = discovery.find_spec
    missing = lambda name: None if name == "transformers" else found(name)  # noqa: E731
    monkeypatch.setattr(discovery, "find_spec", missing)
    command = ("transfer", DUET, "--tags", "violin", "-o", tmp_path / "out.wav", "--generator", "dac-44khz")
    assert_refused(run_tagbox(*command), "pip install 'tagbox[hf]'", path=tmp_path / "out.wav")
