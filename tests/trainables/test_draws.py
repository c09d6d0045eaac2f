"""Noise that is drawn before a step is what the step would have drawn."""

import torch

from trainables.draws import Recorder, Replay, draw_all
from trainables.noise import Noise


def asks(noise: Noise) -> list[torch.Tensor]:
    return [
        noise.normal("a", 3),
        noise.uniform("a", 3),
        noise.under("more", 2).normal("b"),
        noise.under("more").shared(5).uniform("c", 2),
        noise.shared().under("x").normal("d", 1),
    ]


def noise_of(seed: int) -> Noise:
    return Noise(seed, "train", 0, 0, rows=slice(0, 4), total=4)


def test_what_is_recorded_of_one_run_is_replayed_for_all():
    recorded: dict = {}
    expected = asks(noise_of(0))
    assert all(torch.equal(*pair) for pair in zip(asks(Recorder(noise_of(0), recorded)), expected, strict=True))
    noises = [noise_of(seed) for seed in range(3)]
    drawn = draw_all(list(recorded), noises)
    assert len(drawn) == 5
    for k, noise in enumerate(noises):
        replayed = asks(Replay(noise_of(9), {draw: values[k] for draw, values in drawn.items()}))
        assert all(torch.equal(*pair) for pair in zip(replayed, asks(noise), strict=True))
