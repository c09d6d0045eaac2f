"""The sums of an epoch's terms, from which its training metrics are made; they also tell whether a run has diverged."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.common.errors import Diverged
from trainables.sums import Sums, all_reduce
from trainables.terms import Terms

SETTLE_EVERY = 100  # steps between checks of the losses; each check waits for the device and for the other workers


class Tally:
    """Sums of an epoch's terms over rows and workers. A non-finite sum ends the run on all workers at once.

    Terms of the phase `main` are named `train/<term>`, those of another phase `train/<phase>/<term>`. Every report has
    the terms `promised` of `main`: they are nan in an epoch without a step of it.
    """

    def __init__(self, first_step: int, main: str, promised: Sequence[str]):
        self.step, self.main = first_step, main
        self.names = {main: [*promised, "loss"]}  # phase -> its terms, and "loss"
        self.totals: dict[str, Tensor] = {}  # phase -> sums of its terms, its loss and its rows
        self.pending: list[tuple[str, int, list[float | Tensor], Sums, int]] = []  # phase, step, weights, sums, rows

    def add(self, phase: str, terms: Terms, sums: Sums, rows: int) -> None:
        """Count one step of this worker. `sums` are those of its terms, without gradient."""
        self.names[phase] = [*terms, "loss"]
        self.pending.append((phase, self.step, [weight for weight, _ in terms.values()], sums, rows))
        self.step += 1
        if len(self.pending) == SETTLE_EVERY:
            self.settle()

    def settle(self) -> None:
        """Add the pending steps to the totals. Raises Diverged, naming the first step that is not finite."""
        steps, tables = {}, {}
        for phase in dict.fromkeys(phase for phase, *_ in self.pending):
            mine = [entry for some, *entry in self.pending if some == phase]
            steps[phase], weights, sums, rows = zip(*mine, strict=True)
            sums = torch.stack([value for some in sums for value in some.values()]).double().view(len(rows), -1)
            loss = (sums * tabled(weights, sums)).sum(1)
            tables[phase] = torch.column_stack([sums, loss, sums.new_tensor(rows)])
        self.pending = []
        tables = {phase: table.cpu() for phase, table in all_reduce(tables).items()}
        bad = [
            (steps[phase][row], self.names[phase][column])
            for phase, table in tables.items()
            for row, column in (~table.isfinite()).nonzero().tolist()
        ]
        if bad:
            raise Diverged(*min(bad, key=lambda found: found[0]))
        for phase, table in tables.items():
            self.totals[phase] = self.totals.get(phase, 0.0) + table.sum(0)

    def means(self) -> dict[str, float]:
        """The means over the rows of each phase in this epoch."""
        if self.pending:
            self.settle()
        means = {}
        for phase, names in self.names.items():
            prefix = "train" if phase == self.main else f"train/{phase}"
            *sums, rows = self.totals[phase].tolist() if phase in self.totals else [math.nan] * (len(names) + 1)
            means |= {f"{prefix}/{name}": value / rows for name, value in zip(names, sums, strict=True)}
        return means


def tabled(weights: Sequence[Sequence[float | Tensor]], like: Tensor) -> Tensor:
    """The weights of the terms of several steps, (steps, terms), with the type and on the device of another tensor."""
    if not any(isinstance(weight, Tensor) for weight in weights[0]):
        return like.new_tensor(weights)
    flat = [one if isinstance(one, Tensor) else like.new_full((), one) for some in weights for one in some]
    return torch.stack(flat).view(len(weights), -1)
