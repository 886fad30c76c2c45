"""Compare texts: from how well each describes a sound to the share of the sound that is its own."""

import torch
from torch import Tensor

from tagbox.errors import TagBoxError


def log_odds_of_shares(similarities: Tensor) -> Tensor:
    r"""Return the logits whose sigmoid is the softmax of `similarities` over their last dimension.

    The logarithm of the odds :math:`p_c / (1 - p_c)` of a softmax is

    .. math::  z_c - \log \sum_{j \ne c} e^{z_j}

    which neither overflows nor saturates where one text is far ahead of all others.

    Args:
        similarities: (..., texts), two texts at the least.
    """
    dtype = similarities.dtype
    # Eight bits would blur the odds of a share close to one.
    similarities = similarities.to(torch.promote_types(dtype, torch.float32))
    texts = similarities.shape[-1]
    others = similarities.unsqueeze(-2).expand(*similarities.shape, texts)
    itself = torch.eye(texts, dtype=torch.bool, device=similarities.device)
    return (similarities - torch.logsumexp(others.masked_fill(itself, -torch.inf), dim=-1)).to(dtype)


def check_texts(texts: tuple[str, ...], model: str) -> None:
    """Check that there are texts to compare.

    Raises:
        TagBoxError: there is a single one, whose share would always be all of the sound.
    """
    if len(texts) < 2:
        raise TagBoxError(
            f"{model} compares texts with each other, and one alone is given; give what else may be there "
            "as well (tagbox.tags.alternatives lists common sounds)"
        )
