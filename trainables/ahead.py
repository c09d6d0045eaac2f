"""The noise of a training's batches, drawn by a thread before their steps: a GPU need not wait while it is drawn.

A step is taken to ask of its noise what was asked a cycle of phases before. What it asks besides is drawn then, as it
would be without the thread: so no number depends on what was foreseen.
"""

# Shapes: B rows of this worker's share of a batch, X data dimensions.

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.draws import Draw, Recorder
from trainables.noise import Noise

AHEAD = 2  # batches whose noise is being drawn while the step of another is taken


class Foreseen(Recorder):
    """A batch's noise, some of which is drawn already. Afterwards all that was asked of it is in `drawn`."""

    def _rows(self, draw: Callable[..., Tensor], stream: str, shape: tuple[int, ...]) -> Tensor:
        known = self.drawn.get(Draw(self.calls, draw.__name__, stream, shape))
        return super()._rows(draw, stream, shape) if known is None else known


class Waiting(NamedTuple):
    """A batch whose step has not been taken."""

    place: int  # in the cycle of phases
    x_BX: Tensor
    noise: Noise
    rows: int
    drawn: Future[dict[Draw, Tensor]]


def draw_ahead(batches: Iterable[tuple[Tensor, Noise, int]], phases: int) -> Iterator[tuple[Tensor, Noise, int]]:
    """The same batches, whose noise a thread draws ahead; their steps go through `phases` phases in a cycle."""
    asked: dict[int, list[Draw]] = {}  # place in the cycle -> what was asked of the noise
    waiting: deque[Waiting] = deque()

    def taken() -> Iterator[tuple[Tensor, Noise, int]]:
        place, x_BX, noise, rows, drawn = waiting.popleft()
        foreseen = Foreseen(noise, drawn.result())
        yield x_BX, foreseen, rows
        asked[place] = list(foreseen.drawn)

    with ThreadPoolExecutor(1, "noise", _use, (_current_gpu(),)) as thread:
        for number, (x_BX, noise, rows) in enumerate(batches):
            place = number % phases
            waiting.append(Waiting(place, x_BX, noise, rows, thread.submit(_drawn, asked.get(place, []), noise)))
            if len(waiting) > AHEAD:
                yield from taken()
        while waiting:
            yield from taken()


def _drawn(draws: list[Draw], noise: Noise) -> dict[Draw, Tensor]:
    return {draw: draw.of(noise) for draw in draws}


def _current_gpu() -> int | None:
    """The GPU that this thread uses."""
    return torch.cuda.current_device() if torch.cuda.is_available() else None


def _use(gpu: int | None) -> None:
    """Have this thread use a GPU: each begins with the first."""
    if gpu is not None:
        torch.cuda.set_device(gpu)
