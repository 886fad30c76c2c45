"""Blocks of the published taggers, under the names that their checkpoints use.

Every network here is frozen. A frozen batch norm is one affine map per channel, so it is folded into the
convolution before it: one pass over memory less, forward and backward.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.kernels import frozen_conv


def fold_batch_norm(conv: nn.Conv1d | nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Compute weight and bias of the one convolution that equals `conv` followed by `norm`.

    From ``norm(z) = gamma (z - mean) / sqrt(var + eps) + beta`` and ``z = w * x + b``, with
    ``s = gamma / sqrt(var + eps)``: the weights are ``s w`` and the bias is ``beta + s (b - mean)``. A
    convolution without a bias counts as one with b = 0.
    """
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale.reshape(-1, *[1] * (conv.weight.dim() - 1))
    centred = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    return weight, norm.bias + scale * centred


def tall_filters_maxpool(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Apply filters that are tall in frequency, and take each one's maximum over frequency.

    What a filter covers at one position in frequency is laid out as channels, so that the convolution runs in
    time only. The numbers are those of ``conv2d``, whose gradient for a single input channel takes PyTorch on
    a CPU several times longer. The maximum is a pooling, which saves its position; ``amax`` would search for
    it again in the backward pass, several times over all outputs.

    Args:
        x: (batch, bands, time).
        weight: (filters, 1, height, width).
        bias: (filters,).
        padding: zeros before and after in time.

    Returns:
        (batch, filters, time).
    """
    unfolded = frozen_conv.unfold_bands(x, weight.shape[2])
    maxima = frozen_conv.conv_maxpool(
        unfolded,
        weight.transpose(1, 2).contiguous(memory_format=torch.channels_last),
        bias,
        padding=(0, padding),
        pool=(unfolded.shape[2], 1),
    )
    return maxima[:, :, 0]


def conv_bn(conv: nn.Conv1d | nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution and a batch norm: as one convolution unless the norm is in training.

    Args:
        x: (batch, channels, time) or (batch, channels, bands, time).
    """
    if norm.training:
        return torch.as_tensor(norm(conv(x)))
    weight, bias = fold_batch_norm(conv, norm)
    if isinstance(conv, nn.Conv1d):
        return functional.conv1d(x, weight, bias, conv.stride, conv.padding)
    return functional.conv2d(x, weight, bias, conv.stride, conv.padding)


class Conv1dBlock(nn.Module):
    """Convolution in time, batch norm, ReLU, max pooling: (batch, channels, time) to the same, shorter."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1, pool: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out, kernel, stride, kernel // 2)
        self.bn = nn.BatchNorm1d(out)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = conv_bn(self.conv, self.bn, x)
        # ReLU keeps the order of numbers, so it is applied to the maxima only.
        return functional.relu(functional.max_pool1d(x, self.pool) if self.pool > 1 else x)


class Conv2dBlock(nn.Module):
    """3 x 3 convolution, batch norm, ReLU, max pooling on (batch, channels, bands, time)."""

    def __init__(self, channels: int, out: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.bn = nn.BatchNorm2d(out)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        if self.bn.training:
            return functional.relu(functional.max_pool2d(conv_bn(self.conv, self.bn, x), self.pool))
        return functional.relu(
            frozen_conv.conv_maxpool(x, *fold_batch_norm(self.conv, self.bn), (1, 1), self.pool)
        )


class StridedResidual(nn.Module):
    """Two 3 x 3 convolutions, the first with a stride, and a third one as the shortcut."""

    def __init__(self, channels: int, out: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, out, 3, stride, 1)
        self.bn_1 = nn.BatchNorm2d(out)
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.bn_2 = nn.BatchNorm2d(out)
        self.conv_3 = nn.Conv2d(channels, out, 3, stride, 1)
        self.bn_3 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(conv_bn(self.conv_1, self.bn_1, x))
        return functional.relu(conv_bn(self.conv_3, self.bn_3, x) + conv_bn(self.conv_2, self.bn_2, inner))


class PooledResidual(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, ReLU, max pooling."""

    def __init__(self, channels: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn_1 = nn.BatchNorm2d(channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn_2 = nn.BatchNorm2d(channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(conv_bn(self.conv_1, self.bn_1, x))
        return functional.relu(functional.max_pool2d(x + conv_bn(self.conv_2, self.bn_2, inner), self.pool))
