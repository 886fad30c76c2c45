"""A training that begins with exported weights."""

from pathlib import Path

import torch

from scripts.export_share_network import export
from scripts.share_training.warm_start import warm_start
from tagbox.taggers.networks.share_unet import FEATURES, ShareUNet


def test_exported_weights_answer_alike_once_norms_are_put_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learnt = ShareUNet(learning=True)
    heard = [torch.randn(2, FEATURES, 160, 32, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    with torch.no_grad():
        for one in heard:
            learnt(one)
        export(learnt.state_dict(), tmp_path / "weights.safetensors", {"step": "2"})
        again = ShareUNet(learning=True)
        warm_start(again, tmp_path / "weights.safetensors", heard)
        there, here = learnt.eval()(heard[0]), again.eval()(heard[0])
        # Weights were rounded to half precision: about a thousandth of each layer's outputs.
        assert torch.allclose(there, here, atol=0.02 * float(there.std()))
        # The norms have the moments of what they will hear, so learning goes on from the same answers.
        learning = again.train()(heard[0])
    assert float((learning - here).std() / here.std()) < 0.5
