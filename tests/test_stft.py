"""The STFT and its inverse: together they change nothing, and the inverse is that of PyTorch."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tagbox.audio.stft import istft, root_hann, stft


def rounding(n_fft: int, samples: int) -> torch.Tensor:
    """Bound the rounding of an STFT and its inverse for noise of RMS 1, (samples,).

    An FFT in float32 rounds by about eps log2(n) of the RMS of its input. Eight times that covers two FFTs
    and the largest of some ten thousand samples. The samples after the last whole hop lie under one window w;
    the inverse multiplies them by w and divides by w squared, so that their rounding is divided by w.
    """
    half = n_fft // 2
    bound = torch.full((samples,), 8 * torch.finfo(torch.float32).eps * math.log2(n_fft))
    rest = samples % half
    if rest:
        bound[-rest:] /= root_hann(n_fft, bound.device)[half : half + rest]
    return bound


@given(n_fft=st.sampled_from([64, 512, 2048]), samples=st.integers(2048, 9000), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_the_inverse_of_an_stft_is_the_audio(n_fft: int, samples: int, seed: int) -> None:
    audio = torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))
    error = (istft(stft(audio, n_fft), n_fft, samples) - audio).abs()
    assert bool((error <= rounding(n_fft, samples)).all())


@given(half=st.integers(32, 600), samples=st.integers(700, 5000), seed=st.integers(0, 2**31 - 1))
def test_the_inverse_is_that_of_pytorch(half: int, samples: int, seed: int) -> None:
    n_fft = 2 * half
    samples = max(samples, n_fft)
    random = torch.Generator().manual_seed(seed)
    spectra = stft(torch.randn(2, samples, generator=random), n_fft)
    masked = torch.rand(spectra.shape, generator=random) * spectra
    window = root_hann(n_fft, masked.device)
    expected = torch.istft(masked, n_fft, half, window=window, center=True, length=samples)
    # A masked frame does not end where its window does, so the division by the window's square also magnifies
    # the frame itself, and with it the rounding of that division.
    error = (istft(masked, n_fft, samples) - expected).abs()
    eps = torch.finfo(torch.float32).eps
    assert bool((error <= rounding(n_fft, samples) + 4 * eps * expected.abs()).all())


def test_the_window_overlaps_to_one() -> None:
    squared = root_hann(1024, torch.device("cpu")).double().square()
    overlapped = squared[:512] + squared[512:]
    # Rounding a float32 window changes its square by up to one eps of the sum.
    eps = torch.finfo(torch.float32).eps
    torch.testing.assert_close(overlapped, torch.ones_like(overlapped), atol=eps, rtol=0)
