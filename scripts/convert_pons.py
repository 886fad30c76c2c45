"""Convert the TensorFlow checkpoints of the PyPI package musicnn 0.1.0 (ISC) to safetensors, once.

TensorFlow serves this step alone, so it gets an environment of its own:

    pip download --no-deps musicnn==0.1.0
    python3 -m venv tensorflow-env
    tensorflow-env/bin/pip install tensorflow-cpu==2.21.0 numpy safetensors
    tensorflow-env/bin/python scripts/convert_pons.py convert musicnn-0.1.0-py3-none-any.whl CONVERTED

That writes CONVERTED/{mtat,msd}-pons-{musicnn,vgg}.safetensors; the two of MagnaTagATune are in
src/tagbox/taggers/data. How far TagBox's networks with these weights are from the original graphs' logits:

    .venv/bin/python scripts/convert_pons.py check CONVERTED GOLDEN/pons.npz

Pooled values keep TagBox's order: all maxima before all means (they are interleaved in the checkpoint), and
vgg's last values by channel before time.
"""

import argparse
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

MODELS = {
    "MTT_musicnn": "mtat-pons-musicnn",
    "MTT_vgg": "mtat-pons-vgg",
    "MSD_musicnn": "msd-pons-musicnn",
    "MSD_vgg": "msd-pons-vgg",
}
TOLERANCE = 1e-4

Read = Callable[[str], np.ndarray]
Weights = dict[str, np.ndarray]


def norm(read: Read, index: int) -> Weights:
    name = f"batch_normalization_{index}" if index else "batch_normalization"
    return {
        "weight": read(f"{name}/gamma"),
        "bias": read(f"{name}/beta"),
        "running_mean": read(f"{name}/moving_mean"),
        "running_var": read(f"{name}/moving_variance"),
    }


def kernel(read: Read, name: str) -> Weights:
    """Kernels from (time, bands, inputs, filters) to (filters, inputs, bands, time)."""
    return {"weight": read(f"{name}/kernel").transpose(3, 2, 1, 0), "bias": read(f"{name}/bias")}


def dense(read: Read, name: str) -> Weights:
    return {"weight": read(f"{name}/kernel").T, "bias": read(f"{name}/bias")}


def musicnn(read: Read) -> Weights:
    parts = {"input_norm": norm(read, 0)}
    places = [*(f"timbral.{i}" for i in range(2)), *(f"temporal.{i}" for i in range(3))]
    places += [f"middle.{i}" for i in range(3)]
    for i, place in enumerate(places):
        conv = kernel(read, f"conv2d_{i}" if i else "conv2d")
        if place.startswith("temporal"):
            conv["weight"] = conv["weight"][:, :, 0]
        elif place.startswith("middle"):
            # What came before lies in the place of the bands, and there is one input.
            conv["weight"] = conv["weight"][:, 0]
        parts[f"{place}.conv"] = conv
        parts[f"{place}.norm"] = norm(read, i + 1)
    parts["pooled_norm"] = {key: apart(value) for key, value in norm(read, 9).items()}
    parts["dense"] = dense(read, "dense")
    parts["dense"]["weight"] = apart(parts["dense"]["weight"])
    parts["dense_norm"] = norm(read, 10)
    parts["output"] = dense(read, "dense_1")
    return flat(parts)


def vgg(read: Read) -> Weights:
    parts = {"input_norm": norm(read, 0)}
    for i in range(5):
        parts[f"blocks.{i}.conv"] = kernel(read, f"{i + 1}CNN")
        parts[f"blocks.{i}.norm"] = norm(read, i + 1)
    parts["output"] = dense(read, "dense")
    tags = len(parts["output"]["bias"])
    by_time = parts["output"]["weight"].reshape(tags, 2, -1)
    parts["output"]["weight"] = by_time.transpose(0, 2, 1).reshape(tags, -1)
    return flat(parts)


def apart(pairs: np.ndarray) -> np.ndarray:
    """Maximum, mean, maximum, mean, ... along the last axis to all maxima, then all means."""
    return np.concatenate([pairs[..., 0::2], pairs[..., 1::2]], axis=-1)


def flat(parts: dict[str, Weights]) -> Weights:
    return {
        f"{place}.{key}": np.ascontiguousarray(value, dtype=np.float32)
        for place, weights in parts.items()
        for key, value in weights.items()
    }


def convert(wheel: Path, folder: Path) -> None:
    import tensorflow as tf
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        for model, name in MODELS.items():
            # The files have no name before their suffix: the checkpoint's prefix ends with the slash.
            reader = tf.compat.v1.train.NewCheckpointReader(f"{unpacked}/musicnn/{model}/")
            read = reader.get_tensor
            weights = vgg(read) if model.endswith("vgg") else musicnn(read)
            used = sum(value.size for value in weights.values())
            told = {
                key: int(np.prod(shape))
                for key, shape in reader.get_variable_to_shape_map().items()
                if "Adam" not in key and "_power" not in key
            }
            if used != sum(told.values()):
                raise SystemExit(f"{model} holds {sum(told.values())} numbers, {used} of them were converted")
            path = folder / f"{name}.safetensors"
            about = {"source": f"PyPI musicnn 0.1.0, {model}", "licence": "ISC"}
            save_file(weights, path, metadata=about)
            print(f"{path}: {used} numbers, {path.stat().st_size} bytes")


def check(folder: Path, golden: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from tagbox.taggers.registry import from_state_dict

    outputs = np.load(golden)
    spectrogram = torch.from_numpy(outputs["input"]).transpose(1, 2).contiguous()
    worst = 0.0
    for model, name in MODELS.items():
        data, architecture = name.split("-", 1)
        state = load_file(folder / f"{name}.safetensors")
        for precision in (torch.float32, torch.float16):
            rounded = {key: value.to(precision) for key, value in state.items()}
            with torch.inference_mode():
                logits = from_state_dict(architecture, data, rounded, "").network(spectrogram).numpy()
            off = float(np.abs(logits - outputs[f"logits/{model}"]).max())
            print(f"{model:12} weights in {str(precision)[6:]}: logits off by at most {off:.1e}")
            if precision == torch.float32:
                worst = max(worst, off)
    if not worst <= TOLERANCE:
        raise SystemExit(f"off by {worst:.1e}, more than {TOLERANCE:.0e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    converting = commands.add_parser("convert", help="write safetensors files")
    converting.add_argument("wheel", type=Path)
    converting.add_argument("folder", type=Path)
    checking = commands.add_parser("check", help="compare with the original graphs' logits")
    checking.add_argument("folder", type=Path)
    checking.add_argument("golden", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "convert":
        convert(chosen.wheel, chosen.folder)
    else:
        check(chosen.folder, chosen.golden)


if __name__ == "__main__":
    main()
