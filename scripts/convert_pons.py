"""Convert the TensorFlow checkpoints of the PyPI package musicnn 0.1.0 (ISC) to safetensors, once.

Only this step needs TensorFlow, so it gets an environment of its own:

    pip download --no-deps musicnn==0.1.0
    python3 -m venv tensorflow-env
    tensorflow-env/bin/pip install tensorflow-cpu==2.21.0 numpy safetensors
    tensorflow-env/bin/python scripts/convert_pons.py convert musicnn-0.1.0-py3-none-any.whl CONVERTED

That writes CONVERTED/{mtat,msd}-pons-{musicnn,vgg}.safetensors; the two of MagnaTagATune are in
src/tagbox/taggers/data. To compare the logits of TagBox's networks with those of the original graphs:

    .venv/bin/python scripts/convert_pons.py check CONVERTED GOLDEN/pons.npz

Pooled values are reordered as TagBox's networks have them: all maxima before all means, which the checkpoint
interleaves, and the last values of vgg by channel before time.
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
MAX_DIFFERENCE = 1e-4

ReadTensor = Callable[[str], np.ndarray]
"""The name of a tensor in the checkpoint to its values."""
Weights = dict[str, np.ndarray]


def read_norm(read: ReadTensor, index: int) -> Weights:
    """Read a batch norm."""
    name = f"batch_normalization_{index}" if index else "batch_normalization"
    return {
        "weight": read(f"{name}/gamma"),
        "bias": read(f"{name}/beta"),
        "running_mean": read(f"{name}/moving_mean"),
        "running_var": read(f"{name}/moving_variance"),
    }


def read_kernel(read: ReadTensor, name: str) -> Weights:
    """Read a kernel (time, bands, inputs, filters), and transpose it to (filters, inputs, bands, time)."""
    return {"weight": read(f"{name}/kernel").transpose(3, 2, 1, 0), "bias": read(f"{name}/bias")}


def read_dense(read: ReadTensor, name: str) -> Weights:
    """Read a dense layer, and transpose it to (outputs, inputs)."""
    return {"weight": read(f"{name}/kernel").T, "bias": read(f"{name}/bias")}


def read_musicnn(read: ReadTensor) -> Weights:
    """Read a checkpoint of musicnn, by the names of TagBox's network."""
    parts = {"input_norm": read_norm(read, 0)}
    places = [*(f"timbral.{i}" for i in range(2)), *(f"temporal.{i}" for i in range(3))]
    places += [f"middle.{i}" for i in range(3)]
    for i, place in enumerate(places):
        conv = read_kernel(read, f"conv2d_{i}" if i else "conv2d")
        if place.startswith("temporal"):
            conv["weight"] = conv["weight"][:, :, 0]
        elif place.startswith("middle"):
            # The checkpoint has the inputs in place of the bands, and one input.
            conv["weight"] = conv["weight"][:, 0]
        parts[f"{place}.conv"] = conv
        parts[f"{place}.norm"] = read_norm(read, i + 1)
    parts["pooled_norm"] = {key: separate_pooled(value) for key, value in read_norm(read, 9).items()}
    parts["dense"] = read_dense(read, "dense")
    parts["dense"]["weight"] = separate_pooled(parts["dense"]["weight"])
    parts["dense_norm"] = read_norm(read, 10)
    parts["output"] = read_dense(read, "dense_1")
    return flatten(parts)


def read_vgg(read: ReadTensor) -> Weights:
    """Read a checkpoint of vgg, by the names of TagBox's network."""
    parts = {"input_norm": read_norm(read, 0)}
    for i in range(5):
        parts[f"blocks.{i}.conv"] = read_kernel(read, f"{i + 1}CNN")
        parts[f"blocks.{i}.norm"] = read_norm(read, i + 1)
    parts["output"] = read_dense(read, "dense")
    tags = len(parts["output"]["bias"])
    by_time = parts["output"]["weight"].reshape(tags, 2, -1)
    parts["output"]["weight"] = by_time.transpose(0, 2, 1).reshape(tags, -1)
    return flatten(parts)


def separate_pooled(interleaved: np.ndarray) -> np.ndarray:
    """Reorder maximum, mean, maximum, mean, ... along the last axis to all maxima, then all means."""
    return np.concatenate([interleaved[..., 0::2], interleaved[..., 1::2]], axis=-1)


def flatten(parts: dict[str, Weights]) -> Weights:
    """Join the names of layers and weights."""
    return {
        f"{place}.{key}": np.ascontiguousarray(value, dtype=np.float32)
        for place, weights in parts.items()
        for key, value in weights.items()
    }


def convert(wheel: Path, folder: Path) -> None:
    """Convert the checkpoints in the wheel to files in `folder`."""
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
            weights = read_vgg(read) if model.endswith("vgg") else read_musicnn(read)
            used = sum(value.size for value in weights.values())
            sizes = {
                key: int(np.prod(shape))
                for key, shape in reader.get_variable_to_shape_map().items()
                if "Adam" not in key and "_power" not in key
            }
            if used != sum(sizes.values()):
                raise SystemExit(
                    f"{model} holds {sum(sizes.values())} numbers, {used} of them were converted"
                )
            path = folder / f"{name}.safetensors"
            about = {"source": f"PyPI musicnn 0.1.0, {model}", "licence": "ISC"}
            save_file(weights, path, metadata=about)
            print(f"{path}: {used} numbers, {path.stat().st_size} bytes")


def check(folder: Path, golden: Path) -> None:
    """Compare the logits of the converted weights with the original ones."""
    import torch
    from safetensors.torch import load_file

    from tagbox.taggers.registry import from_state_dict

    outputs = np.load(golden)
    spectrogram = torch.from_numpy(outputs["input"]).transpose(1, 2).contiguous()
    largest_difference = 0.0
    for model, name in MODELS.items():
        data, architecture = name.split("-", 1)
        state = load_file(folder / f"{name}.safetensors")
        for precision in (torch.float32, torch.float16):
            rounded = {key: value.to(precision) for key, value in state.items()}
            with torch.inference_mode():
                logits = from_state_dict(architecture, data, rounded, "").network(spectrogram).numpy()
            difference = float(np.abs(logits - outputs[f"logits/{model}"]).max())
            print(f"{model:12} weights in {str(precision)[6:]}: logits off by at most {difference:.1e}")
            if precision == torch.float32:
                largest_difference = max(largest_difference, difference)
    if not largest_difference <= MAX_DIFFERENCE:
        raise SystemExit(f"off by {largest_difference:.1e}, more than {MAX_DIFFERENCE:.0e}")


def main() -> None:
    """Convert or check, as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    converting = commands.add_parser("convert", help="write safetensors files")
    converting.add_argument("wheel", type=Path)
    converting.add_argument("folder", type=Path)
    checking = commands.add_parser("check", help="compare with the original graphs' logits")
    checking.add_argument("folder", type=Path)
    checking.add_argument("golden", type=Path)
    args = parser.parse_args()
    if args.command == "convert":
        convert(args.wheel, args.folder)
    else:
        check(args.folder, args.golden)


if __name__ == "__main__":
    main()
