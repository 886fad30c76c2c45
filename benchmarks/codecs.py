"""Compare codecs of the published sizes, with random weights, with their libraries.

    python -m benchmarks.codecs [CODEC ...]

Weights do not matter for this: what is compared is the arithmetic. Each codec encodes, quantises and decodes
a part of the example duet, here in chunks and in its library as a whole. Prints the largest differences,
relative to the largest value.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tagbox import audio
from tagbox.generators.codecs import chunks, dac, encodec, oobleck
from tagbox.generators.codecs.codec import Codec
from tagbox.plugins import Model

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
SECONDS = 1.2
OOBLECK_SECONDS = 2.4
"""Its frames are longer, and so is what it sees: shorter parts would be seen as a whole."""
CHUNK_SECONDS = 0.4
STEREO = {
    "sampling_rate": 48_000,
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
}
"""Settings of the published EnCodec at 48 kHz that are not the library's defaults, without its bit rates."""


def main() -> None:
    """Print a row for each codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("codecs", nargs="*", default=[*CODECS], help="all unless given")
    chunks.CHUNK_SECONDS = CHUNK_SECONDS
    print("| codec | million weights | latents | audio |\n|---|---|---|---|")
    for name in parser.parse_args().codecs:
        print(f"| `{name}` | {' | '.join(_compare(name))} |", flush=True)


@torch.no_grad()
def _compare(name: str) -> list[str]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = CODECS[name].build().eval()
    for key, value in network.state_dict().items():
        # The library leaves codebooks at zero.
        if key.endswith("embed"):
            value.normal_()
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        model = Model("generator", name, None, "MIT", load="benchmarks.codecs:main")
        codec = CODECS[name].load(model, Path(folder))
    sound = recording(codec, CODECS[name].seconds)
    latents = codec.encode(sound)
    decoded = codec.decode(codec.quantise(latents)[1])
    expected_latents, expected = CODECS[name].run(network, sound)
    weights = sum(each.numel() for each in network.parameters()) / 1e6
    errors = (
        _error(latents[:, : expected_latents.shape[1]], expected_latents),
        _error(decoded[..., : expected.shape[-1]], expected),
    )
    return [f"{weights:.0f}", *(f"{error:.1e}" for error in errors)]


def recording(codec: Codec, seconds: float) -> Tensor:
    """Read whole frames of real audio at a codec's rate, with as many channels: (1, channels, samples)."""
    duet = audio.read(DUET, 2, seconds)
    mono = audio.resample(duet.samples.mean(dim=0), duet.rate, codec.rate)
    mono = mono[: len(mono) // codec.hop * codec.hop]
    return torch.stack([mono, mono.flip(0)][: codec.channels])[None]


def _error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def _run_encodec(network: Any, sound: Tensor) -> tuple[Tensor, Tensor]:
    encoded = network.encode(sound, bandwidth=24.0)
    return network.encoder(sound), network.decode(encoded.audio_codes, encoded.audio_scales).audio_values


def run_in_overlapping_chunks(network: Any, sound: Tensor, bandwidth: float) -> tuple[Tensor, Any, Tensor]:
    """Run the library's EnCodec of 48 kHz on `sound`, (1, channels, samples).

    Returns:
        what it encodes, filled up to whole chunks; its codes and scales by chunk; and its audio.
    """
    from transformers import EncodecFeatureExtractor

    extractor = EncodecFeatureExtractor(2, 48_000, chunk_length_s=1.0, overlap=0.01)
    inputs = extractor(np.asarray(sound[0]), sampling_rate=48_000, return_tensors="pt")
    encoded = network.encode(inputs["input_values"], inputs["padding_mask"], bandwidth=bandwidth)
    decoded = network.decode(
        encoded.audio_codes,
        encoded.audio_scales,
        inputs["padding_mask"],
        last_frame_pad_length=encoded.last_frame_pad_length,
    ).audio_values
    return inputs["input_values"], encoded, decoded


def _run_stereo_encodec(network: Any, sound: Tensor) -> tuple[Tensor, Tensor]:
    padded, encoded, decoded = run_in_overlapping_chunks(network, sound, 24.0)
    cut = padded.unfold(-1, 48_000, 47_520).unbind(-2)
    scales = torch.cat([*encoded.audio_scales], dim=0)
    latents = [network.encoder(chunk / scale) for chunk, scale in zip(cut, scales, strict=False)]
    return torch.cat(latents, dim=-1), decoded[..., : sound.shape[-1]]


def _run_dac(network: Any, sound: Tensor) -> tuple[Tensor, Tensor]:
    return network.encoder(sound), network.decode(network.encode(sound)[1])[0][:, None]


def _run_oobleck(network: Any, sound: Tensor) -> tuple[Tensor, Tensor]:
    mean = network.encode(sound).latent_dist.mean
    return mean, network.decode(mean).sample


def _encodec(**settings: Any) -> Any:
    from transformers import EncodecConfig, EncodecModel

    return EncodecModel(EncodecConfig(**settings))


def _dac(ratios: list[int], rate: int, codebooks: int) -> Any:
    from transformers import DacConfig, DacModel

    return DacModel(DacConfig(downsampling_ratios=ratios, sampling_rate=rate, n_codebooks=codebooks))


def _oobleck(ratios: list[int], rate: int) -> Any:
    from diffusers import AutoencoderOobleck

    return AutoencoderOobleck(downsampling_ratios=ratios, sampling_rate=rate)


@dataclass(frozen=True)
class _Compared:
    """How a codec is built at its published size, loaded, and run by its library."""

    build: Callable[[], Any]
    load: Callable[[Model, Path], Codec]
    run: Callable[[Any, Tensor], tuple[Tensor, Tensor]]
    seconds: float = SECONDS


CODECS = {
    "encodec-24khz": _Compared(_encodec, encodec.load, _run_encodec),
    "encodec-48khz": _Compared(
        lambda: _encodec(**STEREO, target_bandwidths=[3.0, 6.0, 12.0, 24.0]),
        encodec.load,
        _run_stereo_encodec,
    ),
    "dac-16khz": _Compared(lambda: _dac([2, 4, 5, 8], 16_000, 12), dac.load, _run_dac),
    "dac-24khz": _Compared(lambda: _dac([2, 4, 5, 8], 24_000, 32), dac.load, _run_dac),
    "dac-44khz": _Compared(lambda: _dac([2, 4, 8, 8], 44_100, 9), dac.load, _run_dac),
    "oobleck-stable-audio-open": _Compared(
        lambda: _oobleck([2, 4, 4, 8, 8], 44_100), oobleck.load, _run_oobleck, OOBLECK_SECONDS
    ),
    "oobleck-ace-step": _Compared(
        lambda: _oobleck([2, 4, 4, 6, 10], 48_000), oobleck.load, _run_oobleck, OOBLECK_SECONDS
    ),
}


if __name__ == "__main__":
    main()
