"""The steering loop, on a problem whose answer is known: two tones, and a tagger that tells them apart."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from tagbox.errors import TagBoxError
from tagbox.methods.components import decompose
from tagbox.methods.gates import Gates
from tagbox.methods.steerable import Estimate
from tagbox.methods.steering import Step, steer
from tagbox.settings import Settings
from tagbox.taggers.tagger import Tagger

RATE = 16_000
SAMPLES = 16_000


@dataclass(frozen=True)
class TwoBands:
    """Log energy below and above 1 kHz: (batch, samples) to (batch, 2)."""

    def __call__(self, audio: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(audio).abs().square()
        edge = spectrum.shape[-1] // 8
        energy = torch.stack([spectrum[:, :edge].sum(-1), spectrum[:, edge:].sum(-1)], dim=-1)
        return torch.log(energy + 1e-3)


class Difference(nn.Module):
    """Logits of "low" and "high": by how much one band is louder than the other."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, energy: Tensor) -> Tensor:
        difference = self.scale * (energy[:, 0] - energy[:, 1])
        return torch.stack([difference, -difference], dim=-1)


@pytest.fixture
def tagger() -> Tagger:
    return Tagger(
        "two-bands", "test", RATE, SAMPLES, ("low", "high"), TwoBands(), Difference().eval(), "none"
    )


def tones() -> tuple[Tensor, Tensor]:
    t = torch.arange(SAMPLES) / RATE
    low, high = 0.5 * torch.sin(2 * torch.pi * 300 * t), 0.4 * torch.sin(2 * torch.pi * 3000 * t)
    return low * (t < 0.7), high * (t > 0.3)


def gates(sources: int = 1, seed: int = 0) -> Gates:
    low, high = tones()
    components = decompose(low + high, RATE, 2, 1, n_fft=1024, audio_rate=RATE, seed=seed)
    return Gates(components, sources)


def signal_to_error_db(estimate: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(truth.square().sum() / (estimate - truth).square().sum()))


@pytest.mark.parametrize("objective", ["joint", "two-sided", "target-logits"])
def test_the_requested_tone_is_separated(tagger: Tagger, objective: str) -> None:
    low, high = tones()
    steerable = gates()
    snapshot, history = steer(
        steerable,
        [tagger],
        [torch.tensor([[0.0, 1.0]])],
        Settings(objective=objective, steps=60, lr=0.3),
    )
    estimate = steerable.render(snapshot, (low + high)[None])
    assert estimate.shape == (1, 1, SAMPLES)
    assert signal_to_error_db(estimate[0, 0], high) > 15
    assert history.losses[-1] < history.losses[0]
    assert history.stopped == "steps"
    assert len(history.steps) == 60


def test_gates_of_two_sources_are_applied_to_every_channel(tagger: Tagger) -> None:
    low, high = tones()
    steerable = gates(sources=2)
    wanted = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    snapshot, _ = steer(steerable, [tagger], [wanted], Settings(objective="joint", steps=100, lr=0.3))
    stereo = torch.stack([low + high, 0.5 * (low + high)])
    first, second = steerable.render(snapshot, stereo)
    assert signal_to_error_db(first[0], low) > 10
    assert signal_to_error_db(second[0], high) > 10
    torch.testing.assert_close(0.5 * first[0], first[1], atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_result(tagger: Tagger) -> None:
    results = []
    for seed in (0, 0, 1):
        steerable = gates(seed=seed)
        snapshot, history = steer(
            steerable,
            [tagger],
            [torch.tensor([[0.0, 1.0]])],
            Settings(objective="joint", steps=5, lr=0.3),
        )
        results.append((snapshot, history.losses))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert results[0][1] != results[2][1]


def run(tagger: Tagger, steps: int, on_step: Callable[[Step], bool | None] | None = None, **loop: object):
    settings = Settings(**{"objective": "joint", "steps": steps, "lr": 0.3, **loop})
    return steer(gates(), [tagger], [torch.tensor([[0.0, 1.0]])], settings, on_step)


def test_the_history_holds_every_tags_probability(tagger: Tagger) -> None:
    seen: list[Step] = []
    _, history = run(tagger, 5, seen.append)
    assert list(history.steps) == seen
    assert all(step.probabilities[0].shape == (1, 2) for step in seen)
    low, high = seen[-1].probabilities[0][0]
    assert low + high == pytest.approx(1, abs=1e-4)
    assert high > seen[0].probabilities[0][0, 1]


def test_it_stops_on_request(tagger: Tagger) -> None:
    _, history = run(tagger, 50, lambda step: step.index == 3)
    assert history.stopped == "request"
    assert len(history.steps) == 4


def test_it_stops_at_a_plateau(tagger: Tagger) -> None:
    _, history = run(tagger, 500, patience=10, lr=1e-9)
    assert history.stopped == "patience"
    assert len(history.steps) == 11


def test_ctrl_c_keeps_the_best_so_far(tagger: Tagger) -> None:
    def press(step: Step) -> None:
        if step.index == 7:
            raise KeyboardInterrupt

    snapshot, history = run(tagger, 50, press)
    assert history.stopped == "interrupted"
    assert history.losses[history.chosen] == min(history.losses)
    again, _ = run(tagger, history.chosen + 1)
    assert torch.equal(snapshot, again)


def test_ctrl_c_before_the_first_step_is_an_ordinary_interrupt(tagger: Tagger) -> None:
    class Pressed(TwoBands):
        def __call__(self, audio: Tensor) -> Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Tagger("x", "test", RATE, SAMPLES, ("low", "high"), Pressed(), Difference(), "none"), 5)


def test_the_last_step_can_be_kept_instead_of_the_best(tagger: Tagger) -> None:
    _, best = run(tagger, 30, lr=20.0)
    _, last = run(tagger, 30, lr=20.0, keep="last")
    assert best.losses == last.losses
    assert last.chosen == 29
    assert best.losses[best.chosen] == min(best.losses)


class GoesWrong:
    """A parameter whose estimate is no number from the third step on."""

    def __init__(self, wrong_from: int) -> None:
        self.rate = RATE
        self.mixture = sum(tones())
        self._gain = torch.tensor(0.5, requires_grad=True)
        self.parameters = (self._gain,)
        self.replayable = False
        self._left = wrong_from

    def estimate(self) -> Estimate:
        self._left -= 1
        scale = self._gain if self._left >= 0 else self._gain * float("nan")
        return Estimate((scale * self.mixture)[None, None], self._gain.detach().clone())

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        return (snapshot * channels)[None]


def test_a_non_finite_loss_ends_the_run_with_the_last_finite_result(tagger: Tagger) -> None:
    settings = Settings(objective="target-logits", steps=50, lr=0.1)
    snapshot, history = steer(GoesWrong(3), [tagger], [torch.tensor([[0.0, 1.0]])], settings)
    assert history.stopped == "non-finite"
    assert len(history.steps) == 3
    assert torch.isfinite(snapshot).all()


def test_a_non_finite_first_loss_is_an_error(tagger: Tagger) -> None:
    settings = Settings(objective="target-logits", steps=50, lr=0.1)
    with pytest.raises(TagBoxError, match=r"first loss.*--lr"):
        steer(GoesWrong(0), [tagger], [torch.tensor([[0.0, 1.0]])], settings)
