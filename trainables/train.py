"""train(run): the one loop, whatever the method. One Report per epoch."""

# Shapes: B rows of this worker's share of a batch, X data dimensions.

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables import checkpoint
from trainables.data import Splits
from trainables.data.epochs import batches, plan
from trainables.metrics import look, metrics_of
from trainables.model import VAE, Learner
from trainables.noise import Noise, seed_of
from trainables.objective import Terms
from trainables.precision import set_matrix_products
from trainables.run import Run
from trainables.sums import Sums, add, all_reduce, rank_and_world, share

SETTLE_EVERY = 100  # steps between looks at the losses; each look waits for the device and for the other workers


class Diverged(Exception):
    """A loss was not finite. A result, not a crash. `step` counts the run's gradient steps from 0."""

    def __init__(self, step: int, term: str):
        super().__init__(f"{term} was not finite at step {step}")
        self.step, self.term = step, term


@dataclass(frozen=True)
class Report:
    """The state of a run after an epoch. Use it before asking for the next: the model goes on changing."""

    epoch: int  # epochs finished
    images: int  # rows of gradient steps so far, over all workers
    seconds: float  # of this epoch, validation included
    metrics: dict[str, float]  # already reduced over workers
    training: "Training"

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; `train(run, resume=path)` goes on from it bit for bit."""
        checkpoint.save(path, self.training.state())

    def draw(self, folder: Path, history: list[dict[str, float]]) -> list[Path]:
        """Draw PNG pictures of the model into `folder`; `history` holds the metrics of all epochs so far."""
        from trainables.pictures import draw  # matplotlib: only where pictures are wanted

        return draw(self.training.learner, self.training.splits, folder, history, self.training.run.seed)


def train(run: Run, data_root: Path | None = None, resume: Path | None = None) -> Iterator[Report]:
    """Train `run` and yield a Report after each epoch, from the one after `resume` if that checkpoint is given.

    Raises DataError, CheckpointError (the checkpoint is unreadable or of another run) and Diverged.
    """
    training = Training(run, data_root)
    if resume:
        training.restore(resume)
    model, splits = training.distributed(), training.splits
    held = run.method.held_out(len(splits.train))

    while training.epoch < run.epochs:
        started = time.perf_counter()
        train_index, held_index = plan(len(splits.train), held.rows, held.every_epochs, run.seed, training.epoch)
        if held.rows and training.epoch % held.every_epochs == 0:
            training.learner.absorb(training.held_out_sums(held_index))

        training.learner.train()
        tally = Tally(training.step)
        for x_BX, noise, rows in training.batches(train_index, "train"):
            terms = model(x_BX, noise, training.kl_scale())
            sums = sums_of(terms, len(x_BX))
            training.update(loss_of(terms, sums, rows), rows)
            tally.add(terms, sums, len(x_BX))
        training.epoch += 1

        metrics = tally.means() | training.validate()
        if training.plateau:
            training.plateau.step(metrics["val/loss"])
        yield Report(training.epoch, training.images, time.perf_counter() - started, metrics, training)


def reopen(run: Run, data_root: Path | None, saved: Path) -> Report:
    """The Report of the epoch that a checkpoint of the run holds, for its pictures: time and metrics are not in it.

    Raises DataError and CheckpointError.
    """
    training = Training(run, data_root)
    training.restore(saved)
    return Report(training.epoch, training.images, 0.0, {}, training)


class Training:
    """All of a run that has state, and nothing else: a checkpoint holds exactly this.

    Noise and the order of rows are functions of (seed, epoch, step), so no generator needs to be kept.
    """

    def __init__(self, run: Run, data_root: Path | None = None):
        set_matrix_products(run.precision)
        self.run = run
        self.splits: Splits = run.data.load(data_root)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.learner = build(run, self.splits).to(self.device)
        self.optimizer = run.optimizer.build(self.learner.parameters())
        self.plateau = run.optimizer.plateau.build(self.optimizer) if run.optimizer.plateau else None
        self.epoch = self.step = self.images = 0

    def named(self) -> dict[str, nn.Module]:
        """The things with a state_dict."""
        things = {"learner": self.learner, "optimizer": self.optimizer, "plateau": self.plateau}
        return {name: thing for name, thing in things.items() if thing}

    def state(self) -> dict:
        """What a checkpoint holds: plain values and tensors."""
        counts = {"epoch": self.epoch, "step": self.step, "images": self.images}
        states = {name: thing.state_dict() for name, thing in self.named().items()}
        return {"run": self.run.model_dump(mode="json")} | counts | states

    def restore(self, path: Path) -> None:
        """Take up the state of a checkpoint of the same run. Raises CheckpointError."""
        saved = checkpoint.load(path)
        if saved["run"] != self.run.model_dump(mode="json"):
            raise checkpoint.CheckpointError(f"{path}: the checkpoint of another run; its settings differ.")
        for name, thing in self.named().items():
            thing.load_state_dict(saved[name])
        self.epoch, self.step, self.images = saved["epoch"], saved["step"], saved["images"]

    def distributed(self) -> nn.Module:
        """The learner, wrapped for several workers where there are several."""
        return nn.parallel.DistributedDataParallel(self.learner) if rank_and_world()[1] > 1 else self.learner

    def batches(self, index: Tensor, stream: str) -> Iterator[tuple[Tensor, Noise, int]]:
        """This worker's share of each batch of an epoch: its rows, their noise, and the rows of the whole batch."""
        for number, some in enumerate(batches(index, self.run.batch_size)):
            mine = share(len(some))
            x_BX = self.splits.train.batch(some[mine]).to(self.device, torch.get_default_dtype(), non_blocking=True)
            noise = Noise(self.run.seed, stream, self.epoch, number, rows=mine, total=len(some), device=self.device)
            yield x_BX, noise, len(some)

    def held_out_sums(self, index: Tensor) -> Sums:
        """The statistics of D_z, each worker encoding its share (ARD-VAE, Algorithm 2)."""
        return all_reduce(
            add(self.learner.statistics(x_BX, noise) for x_BX, noise, _ in self.batches(index, "held out"))
        )

    def kl_scale(self) -> float:
        """The KL's share of its full weight: rises linearly over the warm-up."""
        if not self.run.kl_warmup_epochs:
            return 1.0
        rows = len(self.splits.train)
        rows_per_epoch = rows - self.run.method.held_out(rows).rows
        return min(1.0, self.images / rows_per_epoch / self.run.kl_warmup_epochs)

    def update(self, loss: Tensor, rows: int) -> None:
        """One gradient step on a batch of `rows`."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.run.optimizer.clip_norm:
            nn.utils.clip_grad_norm_(self.learner.parameters(), self.run.optimizer.clip_norm)
        self.optimizer.step()
        self.step, self.images = self.step + 1, self.images + rows

    def validate(self) -> dict[str, float]:
        """The metrics of the validation rows. One that is not finite is for the reader to judge."""
        view = look(self.learner, self.splits.val, self.run.batch_size, self.run.seed, self.device)
        return {f"val/{metric.name}": metric.compute(view) for metric in metrics_of(self.run.method)}


def build(run: Run, splits: Splits) -> Learner:
    """A model with the run's own initial weights. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(run.seed, "weights"))
        shape, data_range = tuple(splits.train.x.shape[1:]), splits.train.range
        vae = VAE(run.method, run.network, run.likelihood, shape, data_range, run.precision)
    return Learner(run.method, vae)


def sums_of(terms: Terms, rows: int) -> Sums:
    """The terms summed over this worker's `rows`; one of the whole batch counts once for each."""
    return {name: value.sum() if value.ndim else value * rows for name, (_, value) in terms.items()}


def loss_of(terms: Terms, sums: Sums, total: int) -> Tensor:
    """This worker's loss on a batch of `total` rows over all workers; `sums` are those of its terms.

    Its mean over workers, which DistributedDataParallel takes of the gradients, is the loss that one worker would see,
    however unevenly the rows are shared.
    """
    scale = rank_and_world()[1] / total
    return sum(weight * scale * sums[name] if value.ndim else weight * value for name, (weight, value) in terms.items())


class Tally:
    """Sums of an epoch's terms over rows and workers. One that is not finite ends the run on all workers at once."""

    def __init__(self, first_step: int):
        self.step, self.names, self.total = first_step, [], 0.0
        self.pending: list[tuple[list[float], Tensor, int]] = []  # weights, sums and rows of a step

    def add(self, terms: Terms, sums: Sums, rows: int) -> None:
        """Count one step of this worker."""
        self.names = list(terms)
        self.pending.append(([weight for weight, _ in terms.values()], torch.stack(list(sums.values())).detach(), rows))
        if len(self.pending) == SETTLE_EVERY:
            self.settle()

    def settle(self) -> None:
        """Add the pending steps to the total. Raises Diverged at the first that is not finite."""
        weights, sums, rows = zip(*self.pending, strict=True)
        sums = torch.stack(sums).double()
        loss = (sums * sums.new_tensor(weights)).sum(1)
        table = all_reduce({"steps": torch.column_stack([sums, loss, sums.new_tensor(rows)])})["steps"].cpu()
        if not table.isfinite().all():
            row, column = (~table.isfinite()).nonzero()[0].tolist()
            raise Diverged(self.step + row, [*self.names, "loss"][column])
        self.total = self.total + table.sum(0)
        self.step, self.pending = self.step + len(self.pending), []

    def means(self) -> dict[str, float]:
        """The means over the epoch's rows, as `train/<term>`."""
        if self.pending:
            self.settle()
        *sums, rows = self.total.tolist()
        return {f"train/{name}": value / rows for name, value in zip([*self.names, "loss"], sums, strict=True)}
