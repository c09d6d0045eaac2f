"""train(run): the training loop of every method. It yields one Report per epoch."""

# Shapes: B rows of this worker's share of a batch, X data dimensions.

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables import checkpoint
from trainables.ahead import draw_ahead
from trainables.common.errors import CheckpointError
from trainables.common.progress import Progress, silent
from trainables.common.roots import Root
from trainables.data import Splits
from trainables.data.loading import load_splits
from trainables.data.sampling import batches, plan
from trainables.distributions.likelihoods import Range
from trainables.learner import Learner, assemble
from trainables.methods import Phase
from trainables.metrics.view import Batch, ModelView, batches_of, look
from trainables.noise import Noise, seed_of
from trainables.precision import set_cuda_arithmetic
from trainables.run import Run
from trainables.sums import Sums, add, all_reduce, rank_and_world, share
from trainables.tally import Tally
from trainables.terms import Loss, Terms, loss_of, sums_of

EXAMPLES = 1000  # training rows from which a model may take initial values
LEARNER = "learner"  # key of the model in a checkpoint
LONGEST_REASON = 200  # characters kept of torch's message about a state that does not fit


@dataclass(frozen=True)
class Report:
    """The state of a run after an epoch. Use it before asking for the next, which trains the same model further."""

    epoch: int  # epochs finished
    images: int  # rows trained on so far, over all workers
    seconds: float  # of this epoch, validation included
    metrics: dict[str, float]  # already reduced over workers
    training: "Training"

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; `train(run, resume=path)` continues from it bit for bit."""
        checkpoint.save(path, self.training.state())

    def save_model(self, path: Path) -> None:
        """Write the part of a checkpoint that `reopen` needs: the model without the state of its optimizers."""
        checkpoint.save(path, self.training.state(LEARNER))

    def draw(self, folder: Path, history: list[dict[str, float]]) -> list[Path]:
        """Draw PNG pictures of the model into `folder`; `history` holds the metrics of all epochs so far."""
        from trainables.pictures import draw  # imports matplotlib, which a run without pictures does not need

        return draw(self.training.learner, self.training.splits, folder, history, self.training.run.seed)


def train(
    run: Run, data_root: Root = None, resume: Path | None = None, progress: Progress = silent
) -> Iterator[Report]:
    """Train `run` and yield a Report after each epoch. With `resume`, a checkpoint, continue after its epoch.

    Raises DataError, CheckpointError (the checkpoint is unreadable or of another run) and Diverged.
    """
    training = Training(run, data_root)
    if resume:
        training.restore(resume)
    model = training.distributed()
    while not training.is_over:
        epoch = Epoch(training)
        take_steps(epoch, model, progress)
        yield epoch.report()


def take_steps(epoch: "Epoch", model: nn.Module, progress: Progress = silent) -> None:
    """All steps of an epoch; `model` is the learner, wrapped for several workers. Raises Diverged."""
    training = epoch.training
    progress(0, epoch.steps)
    with training.networks:
        for done, (x_BX, noise, rows) in enumerate(epoch.batches(), start=1):
            phase = epoch.phase()
            terms = model(x_BX, noise, training.kl_scale(), phase.name)
            with torch.no_grad():
                sums = sums_of(terms, len(x_BX))
            training.backward(loss_of(terms, rows))
            epoch.step(phase, terms, sums, len(x_BX), rows)
            progress(done, epoch.steps)


def reopen(run: Run, data_root: Root, saved: Path) -> Report:
    """A Report of the model in `saved`, to draw or evaluate it. Its time is 0 and its metrics are empty.

    Raises DataError and CheckpointError.
    """
    training = Training(run, data_root)
    training.restore(saved, LEARNER)
    return Report(training.epoch, training.images, 0.0, {}, training)


class Training:
    """The state of a run, exactly what a checkpoint holds, and the operations that change it.

    Noise and the order of rows are functions of (seed, epoch, step), so no generator's state is saved.
    """

    def __init__(self, run: Run, data_root: Root = None, splits: Splits | None = None):
        """`splits` are those of the run's data set where they have been read before. Raises DataError."""
        set_cuda_arithmetic(run.precision)
        self.run = run
        self.splits: Splits = splits or load_splits(run.data, data_root)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.learner = build(run, self.splits).to(self.device)
        self.rows = self.splits.train
        if self.device.type == "cuda":
            self.learner.to(memory_format=torch.channels_last)  # in which convolutions of GPUs are fastest
            self.rows = self.rows.on_gpu
        self.parameters = list(self.learner.parameters())
        self.epoch = self.step = self.images = 0
        self.watched: list[float] = []  # the values of the metric that may end the run early

    @property
    def is_over(self) -> bool:
        """Whether its last epoch is trained."""
        stopping = self.run.early_stopping
        return self.epoch >= self.run.epochs or bool(stopping and stopping.is_over(self.watched))

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """That of each phase, by its name. Made when first used: drawing needs none."""
        phases = dict.fromkeys(self.run.method.phases)
        build, parameters_of = self.run.optimizer.build, self.learner.parameters_of
        return {phase.name: build(parameters_of(phase), phase.lr_scale) for phase in phases}

    @cached_property
    def plateaus(self) -> dict[str, torch.optim.lr_scheduler.ReduceLROnPlateau]:
        """The plateau scheduler of each phase's optimizer, if the run has them."""
        plateau = self.run.optimizer.plateau
        return {name: plateau.build(some) for name, some in self.optimizers.items()} if plateau else {}

    def named(self, *names: str) -> dict[str, nn.Module]:
        """The objects that have a state_dict, by their key in a checkpoint: all, or those of these names."""
        things = {LEARNER: self.learner}
        if names != (LEARNER,):
            things |= {f"optimizer/{phase}": optimizer for phase, optimizer in self.optimizers.items()}
            things |= {f"plateau/{phase}": plateau for phase, plateau in self.plateaus.items()}
        return {name: things[name] for name in names or things}

    def state(self, *names: str) -> dict:
        """The content of a checkpoint, with the states of all or some of `named`: plain values and tensors."""
        counts = {"epoch": self.epoch, "step": self.step, "images": self.images}
        counts |= {"watched": self.watched} if self.run.early_stopping else {}
        data = {"shape": list(self.splits.train.shape), "range": self.splits.train.range}
        states = {name: thing.state_dict() for name, thing in self.named(*names).items()}
        return {"run": self.run.model_dump(mode="json"), "data": data} | counts | states

    def restore(self, path: Path, *names: str) -> None:
        """Load the states of all or some of `named` from a checkpoint of the same run. Raises CheckpointError."""
        saved, things = checkpoint.load(path), self.named(*names)
        if lacking := [name for name in ("run", "epoch", "step", "images", *things) if name not in saved]:
            raise CheckpointError(f"{path}: holds no {', '.join(lacking)}: take the checkpoint.pt beside it.")
        if not is_of(saved["run"], self.run):
            raise CheckpointError(f"{path}: the checkpoint of another run; its settings differ.")
        try:
            for name, thing in things.items():
                thing.load_state_dict(saved[name])
        except (RuntimeError, ValueError, LookupError) as error:  # torch names each tensor whose shape differs
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            cure = "The data have other shapes than those it was trained on, or another version made it"
            raise CheckpointError(f"{path}: does not fit this model. {cure}: {reason}") from None
        self.epoch, self.step, self.images = saved["epoch"], saved["step"], saved["images"]
        self.watched = list(saved.get("watched", ()))

    @cached_property
    def networks(self) -> AbstractContextManager:
        """The context of training steps, in which the networks are compiled if the run asks for it."""
        if not self.run.compile:
            return nullcontext()
        from trainables.compilation import Compiled  # slow to import

        return Compiled((self.learner.vae.encoder, self.learner.vae.decoder), self.device)

    def distributed(self) -> nn.Module:
        """The learner, wrapped in DistributedDataParallel if there are several workers."""
        if rank_and_world()[1] == 1:
            return self.learner
        several = len(self.run.method.phases) > 1  # then no phase has a gradient for every parameter
        return nn.parallel.DistributedDataParallel(self.learner, find_unused_parameters=several)

    @property
    def draws_ahead(self) -> bool:
        """Whether noise is drawn ahead by a thread. On a CPU it would only take turns with the steps."""
        return self.device.type == "cuda"

    def batches(self, index: Tensor, stream: str) -> Iterator[tuple[Tensor, Noise, int]]:
        """This worker's share of each batch of an epoch: its rows, their noise, and the rows of the whole batch."""
        found = self._batches(index, stream)
        return draw_ahead(found, len(self.run.method.phases)) if self.draws_ahead else found

    def _batches(self, index: Tensor, stream: str) -> Iterator[tuple[Tensor, Noise, int]]:
        dtype, key = torch.get_default_dtype(), (self.run.seed, stream, self.epoch)
        for number, some in enumerate(batches(index, self.run.batch_size)):
            rows = len(some)
            mine = share(rows)
            x_BX = self.rows.batch(some[mine], self.device).to(dtype)
            yield x_BX, Noise(*key, number, rows=mine, total=rows, device=self.device), rows

    def held_out_sums(self, index: Tensor) -> Sums:
        """The statistics of D_z, each worker encoding its share (ARD-VAE, Algorithm 2)."""
        return all_reduce(
            add(self.learner.statistics(x_BX, noise) for x_BX, noise, _ in self.batches(index, "held out"))
        )

    def kl_scale(self) -> float:
        """The KL's weight as a fraction of its full value: it rises linearly over the warm-up."""
        if not self.run.warmup_epochs:
            return 1.0
        rows = len(self.splits.train)
        rows_per_epoch = (rows - self.run.method.held_out(rows).rows) * self.run.method.passes()
        return min(1.0, self.images / rows_per_epoch / self.run.warmup_epochs)

    def backward(self, loss: Loss) -> None:
        """Compute the gradients of a batch's loss."""
        for parameter in self.parameters:  # as `zero_grad`, which walks over all modules first
            parameter.grad = None
        loss.backward()

    def update(self, phase: Phase, rows: int, step: Callable[[], None] | None = None) -> None:
        """One step along the gradients of a batch of `rows`, of the phase's parameters.

        `step` takes it in place of the optimizer.
        """
        optimizer = self.optimizers[phase.name]
        if self.run.optimizer.clip_norm:
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], self.run.optimizer.clip_norm)
        (step or optimizer.step)()
        self.step, self.images = self.step + 1, self.images + rows

    def schedule(self, val_loss: float) -> None:
        """Set the learning rates for the next epoch."""
        for plateau in self.plateaus.values():
            plateau.step(val_loss)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= self.run.optimizer.factor_after(self.epoch)

    @property
    def validation_batch_size(self) -> int:
        return self.run.validation_batch_size or self.run.batch_size

    def validation_batches(self, last: int | None = None) -> Iterator[Batch]:
        """This worker's share of each batch of the validation rows, or of the `last` ones."""
        return batches_of(self.splits.val, self.validation_batch_size, self.run.seed, self.device, last)

    def validate(self, view: ModelView | None = None) -> dict[str, float]:
        """The metrics of the validation rows. They may be non-finite: only training losses raise Diverged.

        `view` is that of these rows, if they have been passed through the model already.
        """
        view = view or look(self.learner, self.validation_batches())
        return {f"val/{metric.name}": metric.compute(view) for metric in self.run.metrics_after(self.epoch)}


class Epoch:
    """One epoch of a training: its batches, the sums of its terms, and its report.

    Making it draws the rows, and updates the prior from those that are held out.

    Args:
        last_rows: train only on so many of the epoch's last rows, to try what steps do.
    """

    def __init__(self, training: Training, last_rows: int | None = None):
        self.training, self.started = training, time.perf_counter()
        run, rows = training.run, len(training.splits.train)
        held = run.method.held_out(rows)
        drawn = (run.seed, training.epoch, run.method.passes())
        index, held_index = plan(rows, held.rows, held.every_epochs, *drawn)
        self.index = index if last_rows is None else index[-last_rows:]
        self.steps = math.ceil(len(self.index) / run.batch_size)
        if held.rows and training.epoch % held.every_epochs == 0:
            training.learner.absorb(training.held_out_sums(held_index))
        training.learner.train()
        self.tally = Tally(training.step, run.method.phases[0].name, run.method.term_names)

    def batches(self) -> Iterator[tuple[Tensor, Noise, int]]:
        """This worker's share of each batch, its noise, and the rows of the whole batch."""
        return self.training.batches(self.index, "train")

    def phase(self) -> Phase:
        """The phase of the next step."""
        return self.training.run.method.phase(self.training.step, self.training.learner.vae)

    def step(
        self, phase: Phase, terms: Terms, sums: Sums, mine: int, rows: int, step: Callable[[], None] | None = None
    ) -> None:
        """Step along the gradients of a batch, `mine` of whose `rows` are this worker's. Raises Diverged.

        `step` takes it in place of the optimizer.
        """
        self.training.update(phase, rows, step)
        self.training.learner.after_step(phase, sums, rows)
        self.tally.add(phase.name, terms, sums, mine)

    def report(self, view: ModelView | None = None) -> Report:
        """End the epoch, and report it; `view` as in `validate`. Raises Diverged."""
        training = self.training
        training.epoch += 1
        metrics = self.tally.means() | training.validate(view)
        training.schedule(metrics["val/loss"])
        if training.run.early_stopping:
            training.watched.append(metrics[training.run.early_stopping.metric])
        return Report(training.epoch, training.images, time.perf_counter() - self.started, metrics, training)


def is_of(saved: Any, run: Run) -> bool:
    """Whether the settings in a checkpoint are those of `run`, or of a shorter one whose epochs are its first.

    Settings that its version did not have are the defaults.
    """
    try:
        before = Run.model_validate(saved)
    except ValueError:  # settings that this version does not have
        return False
    return before == run or (before.epochs < run.epochs and before.longer(run.epochs) == run)


def build(run: Run, splits: Splits) -> Learner:
    """A learner with the run's initial weights. Leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(run.seed, "weights"))
        train = splits.train
        examples_BX = train.batch(torch.randperm(len(train))[:EXAMPLES]).to(torch.get_default_dtype())
        return learner_of(run, examples_BX, train.range)


def learner_of(run: Run, examples_BX: Tensor, data_range: Range) -> Learner:
    """A learner with weights from the global generator; `examples_BX` are rows for initial values, see `assemble`."""
    vae = assemble(run.method, run.network, run.likelihood, examples_BX, data_range, run.precision)
    return Learner(run.method, vae)
