"""Several trainings of equal shape whose gradients are computed together.

Their parameters are stacked, and `vmap` computes all losses at once from each run's own weights, rows, noise and
numbers; likewise the outputs for validation rows. All else is each training's own, as when it trains alone: optimizer,
clipping, schedules, metrics, reports.

Source: Wang et al. 2021 (HFTA), for the idea to fuse the models of a search for hyper-parameters.
"""

# Shapes: K trainings, B rows of a batch, X data dimensions, T terms of the objective.

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainables.common.errors import Diverged, one_line
from trainables.common.progress import Progress, silent
from trainables.draws import Draw, Replay, asked_by, draw_all
from trainables.metrics.view import ModelView
from trainables.noise import Noise
from trainables.stacked.adam import AdamSteps, are_fused_adams
from trainables.stacked.linear import batch_layers
from trainables.stacked.looking import StackedLook
from trainables.stacked.numbers import CannotStack, Numbers
from trainables.sums import Sums, rank_and_world
from trainables.terms import Terms
from trainables.train import Epoch, Report, Training

State = dict[str, Tensor]
"""Name -> a parameter or a buffer of one model, or of all with K before its shape."""
Weights = dict[str, float | Tensor]
"""Name of a term -> its weight, one for all models or (K,)."""


class Stack:
    """K trainings that take their steps together. Raises CannotStack for those that cannot.

    They may be in different epochs, and differ in seed, optimizer, and all numbers that no code branches on.

    Args:
        validates: whether the validation rows are passed through all at once, too, see `comparison`.
    """

    def __init__(self, trainings: Sequence[Training], validates: bool = False):
        self.trainings, run = list(trainings), trainings[0].run
        if rank_and_world()[1] > 1 or len(run.method.phases) > 1:
            raise CannotStack("several workers, or steps of several phases, are trained alone")
        if run.compile:
            raise CannotStack("compiled networks are trained alone")
        if convolves(trainings[0]) and trainings[0].device.type == "cuda":
            raise CannotStack("vmap cannot batch the layout in which GPUs convolve")
        self.phase = run.method.phases[0]
        self.models = [training.learner for training in trainings]
        if any(_form(training) != _form(trainings[0]) for training in trainings):
            raise CannotStack("their models or batches have other shapes")
        self.template = copy.deepcopy(self.models[0]).train()
        batch_layers(self.template)
        self.numbers = Numbers(self.models, self.template)
        self.warms_up = any(training.run.warmup_epochs for training in self.trainings)
        self.look = StackedLook(self.trainings, self.template, self.numbers)
        self.validates = validates
        own = [dict(model.named_parameters()) for model in self.models]
        self.own = {name: [parameters[name] for parameters in own] for name in own[0]}
        self.buffers = [name for name, _ in self.models[0].named_buffers()]
        self.adams: AdamSteps | None = None
        self.updated: list[str] = []  # names of the parameters that have gradients
        self.asked: dict[int, list[Draw]] = {}  # rows of a batch -> what its noise is asked for

    @property
    def differing(self) -> tuple[str, ...]:
        """In what the trainings differ: in other stacks of such, the same is computed in the same way."""
        return (*sorted(self.numbers.names), *(["warm-up"] if self.warms_up else []))

    def train_epoch(self, progress: Progress = silent) -> list[Report | Diverged]:
        """Train all for an epoch. A report of each, or how it diverged: it must not be trained further."""
        started = time.perf_counter()
        epochs = [Epoch(training) for training in self.trainings]
        diverged = self.take_steps(epochs, progress)
        views = self.look() if self.validates else repeat(None)
        seconds = (time.perf_counter() - started) / len(epochs)  # a share of what it took all of them
        told = enumerate(zip(epochs, views, strict=False))
        return [diverged.get(k) or _report(epoch, view, seconds) for k, (epoch, view) in told]

    def take_steps(self, epochs: Sequence[Epoch], progress: Progress = silent) -> dict[int, Diverged]:
        """All steps of each training's epoch. Returns those that diverged, by their place, and how."""
        diverged: dict[int, Diverged] = {}
        progress(0, epochs[0].steps)
        with self._views() as parameters:
            for done, batches in enumerate(zip(*(epoch.batches() for epoch in epochs), strict=True), start=1):
                x_KBX, noises = torch.stack([x_BX for x_BX, *_ in batches]), [noise for _, noise, _ in batches]
                told, rows = self._backward(parameters, x_KBX, noises), x_KBX.shape[1]
                for k, (terms, sums) in enumerate(told):
                    if k not in diverged:
                        try:
                            epochs[k].step(self.phase, terms, sums, rows, rows, self._optimizer_step(k))
                        except Diverged as error:
                            diverged[k] = error
                progress(done, epochs[0].steps)
        return diverged

    @contextmanager
    def _views(self) -> Iterator[State]:
        """The stacked parameters. Inside, the models' own are views of them.

        Afterwards they have memory of their own again: a checkpoint of a view would hold the whole stack.
        """
        parameters = {name: torch.stack([one.data for one in own]).requires_grad_() for name, own in self.own.items()}
        for name, stacked in parameters.items():
            for one, view in zip(self.own[name], stacked.data, strict=True):
                one.data = view
        try:
            yield parameters
        finally:
            if self.adams:
                self.adams.close()
            self.adams = None
            for own in self.own.values():
                for one in own:
                    one.data, one.grad = one.data.clone(), None

    def _backward(self, parameters: State, x_KBX: Tensor, noises: Sequence[Noise]) -> list[tuple[Terms, Sums]]:
        """Set the gradients of each model's loss on its own batch. Returns each one's terms and their sums."""
        rows, scales = x_KBX.shape[1], [training.kl_scale() for training in self.trainings]
        drawn = draw_all(self._asked(x_KBX[0], noises[0]), noises)
        buffers = {name: torch.stack([_at(model, name) for model in self.models]) for name in self.buffers}
        versions = {name: value._version for name, value in buffers.items()}
        scale = torch.tensor(scales, dtype=torch.float64) if self.warms_up else 1.0
        mapped = vmap(self._of_one(noises[0]), in_dims=(0, 0, 0, 0, 0, 0 if self.warms_up else None))
        try:
            values, weights, replaced = mapped(parameters, buffers, x_KBX, drawn, self.numbers.values_K, scale)
        except RuntimeError as error:  # of `vmap`: code that branches on a value, or an operation that it has not
            raise CannotStack(one_line(error)) from error
        weights = self.weights | weights
        backpropagate(values, weights, rows)
        self._hand_out(parameters, {k: v for k, v in buffers.items() if v._version != versions[k]} | replaced)
        return self._each(values, weights, rows)

    def _of_one(self, noise: Noise) -> Callable[..., tuple[State, State, State]]:
        """What `vmap` calls once for all models: a model's terms, their weights, and the buffers that it replaced.

        Weights are those that are the model's own; the others are in `self.weights`.
        """

        def terms_of_one(parameters: State, buffers: State, x_BX: Tensor, drawn, numbers, kl_scale):
            self.numbers.put(numbers)
            state = parameters | buffers
            terms = functional_call(self.template, state, (x_BX, Replay(noise, drawn), kl_scale, self.phase.name))
            weights = {name: weight for name, (weight, _) in terms.items()}
            self.weights = {name: weight for name, weight in weights.items() if not isinstance(weight, Tensor)}
            own = {name: weight for name, weight in weights.items() if isinstance(weight, Tensor)}
            replaced = {name: state[name] for name, value in buffers.items() if state[name] is not value}
            return {name: value for name, (_, value) in terms.items()}, own, replaced

        return terms_of_one

    def _asked(self, x_BX: Tensor, noise: Noise) -> list[Draw]:
        """What the method asks of its noise in a step on so many rows, by a pass of a model that is thrown away."""
        rows = len(x_BX)
        if rows not in self.asked:
            model = copy.deepcopy(self.models[0]).train()
            try:
                with torch.no_grad():
                    self.asked[rows] = asked_by(lambda recorder: model(x_BX, recorder, 1.0, self.phase.name), noise)
            except RuntimeError as error:  # of a method that differentiates through what changes a buffer
                raise CannotStack(one_line(error)) from error
        return self.asked[rows]

    def _hand_out(self, parameters: State, changed: State) -> None:
        """Give the models their gradients, and the buffers that the step has changed."""
        for name, stacked in parameters.items():
            gradients = repeat(None) if stacked.grad is None else stacked.grad.unbind()
            for one, gradient in zip(self.own[name], gradients, strict=False):
                one.grad = gradient
            stacked.grad = None
        for name, stacked in changed.items():
            for model, value in zip(self.models, stacked, strict=True):
                _at(model, name).copy_(value)
        updated = [name for name, own in self.own.items() if own[0].grad is not None]
        if self.adams is None or updated != self.updated:
            self._prepare_steps(updated)
        if self.adams:
            self.adams.begin()

    def _prepare_steps(self, updated: list[str]) -> None:
        """Take the optimizers' steps directly from here on, where that can be done."""
        if self.adams:
            self.adams.close()
        self.updated = updated
        optimizers = [training.optimizers[self.phase.name] for training in self.trainings]
        parameters = list(zip(*(self.own[name] for name in updated), strict=True))
        self.adams = AdamSteps(optimizers, parameters) if are_fused_adams(optimizers, parameters) else None

    def _optimizer_step(self, k: int) -> Callable[[], None] | None:
        """What takes the step of training k, if not its optimizer itself."""
        if self.adams is None:
            return None
        return lambda: self.adams.step(k, [self.own[name][k].grad for name in self.updated])

    def _each(self, values: State, weights: Weights, rows: int) -> list[tuple[Terms, Sums]]:
        """The terms of each model, without their values, and their sums."""
        totals = [(value.sum(1) if value.ndim > 1 else value * rows).detach() for value in values.values()]
        weights_KT = zip(*(_spread(weights[name], len(self.models)) for name in values), strict=True)
        return [
            (dict(zip(values, zip(own, repeat(None)), strict=False)), dict(zip(values, sums_T, strict=True)))
            for own, sums_T in zip(weights_KT, torch.stack(totals, 1), strict=True)
        ]


def backpropagate(values: State, weights: Weights, rows: int) -> None:
    """Compute the gradients of the models' losses, as `Loss.backward` does for one."""
    scaled = {name: weights[name] * (1 / rows) if values[name].ndim > 1 else weights[name] for name in values}
    parts = [(_filled(scaled[name], value), value) for name, value in values.items() if value.requires_grad]
    torch.autograd.backward([value for _, value in parts], [gradient for gradient, _ in parts])


def _filled(weight: Tensor | float, like_K: Tensor) -> Tensor:
    """A gradient of each model's weight, in the shape of K models' values."""
    if isinstance(weight, Tensor):
        return weight.to(like_K).reshape(-1, *[1] * (like_K.ndim - 1)).expand_as(like_K)
    return like_K.new_full((), weight).expand_as(like_K)


def _report(epoch: Epoch, view: ModelView | None, seconds: float) -> Report | Diverged:
    """The report of an epoch that has taken its training `seconds` until now, with its validation's view if known."""
    started = time.perf_counter()
    try:
        report = epoch.report(view)
    except Diverged as error:
        return error
    return replace(report, seconds=seconds + time.perf_counter() - started)


def convolves(training: Training) -> bool:
    """Whether the networks have convolutions."""
    return any(isinstance(layer, nn.modules.conv._ConvNd) for layer in training.learner.modules())


def _form(training: Training) -> tuple:
    """The shapes of a training's parameters, buffers and rows, and what decides those of its batches."""
    run, rows = training.run, training.splits.train
    shapes = {name: value.shape for name, value in training.learner.state_dict().items()}
    return shapes, rows.shape, len(rows), run.method.held_out(len(rows)).rows, run.method.passes(), run.batch_size


def _at(model: nn.Module, name: str) -> Tensor:
    path, _, last = name.rpartition(".")
    return getattr(model.get_submodule(path), last)


def _spread(weight: Tensor | float, models: int) -> list[float]:
    """A term's weight of each model."""
    return weight.tolist() if isinstance(weight, Tensor) else [weight] * models
