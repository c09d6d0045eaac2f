"""The noise of several runs, drawn before their common step: under `vmap` nothing can be drawn for each."""

# Shapes: K runs, B rows.

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.noise import Noise


class Draw(NamedTuple):
    """What a method asks of its noise."""

    calls: tuple[tuple[str, tuple], ...]  # those that made it from the batch's noise: ("under", words), ...
    kind: str  # torch's function
    stream: str
    shape: tuple[int, ...]  # of a row

    def of(self, noise: Noise) -> Tensor:
        """The draw from a batch's noise, (B, *shape)."""
        for name, words in self.calls:
            noise = getattr(noise, name)(*words)
        return noise._rows(getattr(torch, self.kind), self.stream, self.shape)


class Recorder(Noise):
    """A batch's noise. What is asked of it is in `drawn`."""

    def __init__(self, noise: Noise, drawn: dict[Draw, Tensor], calls: tuple[tuple[str, tuple], ...] = ()):
        super().__init__(*noise.key, rows=noise.rows, total=noise.total, device=noise.device)
        self.drawn, self.calls = drawn, calls

    def under(self, *words: int | str) -> "Recorder":
        return type(self)(super().under(*words), self.drawn, (*self.calls, ("under", words)))

    def shared(self, rows: int = 1) -> "Recorder":
        return type(self)(super().shared(rows), self.drawn, (*self.calls, ("shared", (rows,))))

    def _rows(self, draw: Callable[..., Tensor], stream: str, shape: tuple[int, ...]) -> Tensor:
        drawn = super()._rows(draw, stream, shape)
        self.drawn[Draw(self.calls, draw.__name__, stream, shape)] = drawn
        return drawn


def asked_by(work: Callable[[Noise], object], noise: Noise) -> list[Draw]:
    """What `work` asks of a batch's noise."""
    drawn: dict[Draw, Tensor] = {}
    work(Recorder(noise, drawn))
    return list(drawn)


class Replay(Recorder):
    """A batch's noise that was drawn before."""

    def _rows(self, draw: Callable[..., Tensor], stream: str, shape: tuple[int, ...]) -> Tensor:
        return self.drawn[Draw(self.calls, draw.__name__, stream, shape)]


def draw_all(draws: Sequence[Draw], noises: Sequence[Noise]) -> dict[Draw, Tensor]:
    """These draws of K runs' noise, (K, B, *shape) each."""
    return {draw: torch.stack([draw.of(noise) for noise in noises]) for draw in draws}
