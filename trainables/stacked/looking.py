"""The validation rows are passed through K models at once, as `trainables.metrics.view.look` does through one."""

# Shapes: K models, B rows of a batch, X data dimensions.

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from trainables.common.errors import one_line
from trainables.draws import Draw, Replay, asked_by, draw_all
from trainables.learner import Learner
from trainables.metrics.view import Batch, ModelView, Outputs, Seen, kept, outputs_of, view_of
from trainables.noise import Noise
from trainables.stacked.numbers import CannotStack, Numbers
from trainables.train import Training


class Looking(nn.Module):
    """The outputs of a model as those of a module, whose weights `functional_call` can replace."""

    def __init__(self, learner: Learner):
        super().__init__()
        self.learner = learner

    def forward(self, x_BX: Tensor, noise: Noise) -> Outputs:
        return outputs_of(self.learner, x_BX, noise)


class StackedLook:
    """Looks at the models of K trainings.

    Args:
        template: a copy of one of them, whose linear layers are batched.
        numbers: those in which they differ.
    """

    def __init__(self, trainings: Sequence[Training], template: Learner, numbers: Numbers):
        self.trainings, self.template, self.numbers = trainings, Looking(template), numbers
        self.asked: dict[int, list[Draw]] = {}  # rows of a batch -> what its noise is asked for

    @torch.no_grad()
    def __call__(self, last: int | None = None) -> list[ModelView]:
        """The view of each model on the validation rows, or on the `last` batches. Raises CannotStack."""
        if len({(len(training.splits.val), training.validation_batch_size) for training in self.trainings}) > 1:
            raise CannotStack("their batches of validation have other shapes")
        learners = [training.learner.eval() for training in self.trainings]
        parameters, buffers = stack_module_state(learners)
        state = {f"learner.{name}": value.detach() for name, value in (parameters | buffers).items()}
        seen: list[list[Seen]] = [[] for _ in learners]
        self.template.eval()
        for batches in zip(*(training.validation_batches(last) for training in self.trainings), strict=True):
            for k, outputs in enumerate(self._outputs(state, batches)):
                seen[k].append(kept(outputs, batches[k]))
        self.template.train()
        return [view_of(learner.vae, of_one) for learner, of_one in zip(learners, seen, strict=True)]

    def _outputs(self, state: dict[str, Tensor], batches: Sequence[Batch]) -> Iterator[Outputs]:
        """The outputs of each model on its own batch."""
        x_KBX, noise = torch.stack([batch.x_BX for batch in batches]), batches[0].noise
        if x_KBX.shape[1] not in self.asked:
            outputs = partial(outputs_of, self.trainings[0].learner, batches[0].x_BX)
            self.asked[x_KBX.shape[1]] = asked_by(outputs, noise)
        drawn = draw_all(self.asked[x_KBX.shape[1]], [batch.noise for batch in batches])
        try:
            per_row, z_KBD, mean_KBD = vmap(self._of_one(noise))(state, x_KBX, drawn, self.numbers.values_K)
        except RuntimeError as error:
            raise CannotStack(one_line(error)) from error
        for k in range(len(batches)):
            yield Outputs({name: value[k] for name, value in per_row.items()}, z_KBD[k], mean_KBD[k])

    def _of_one(self, noise: Noise) -> Callable[..., tuple]:
        def outputs_of_one(state: dict[str, Tensor], x_BX: Tensor, drawn, numbers):
            self.numbers.put(numbers)
            return tuple(functional_call(self.template, state, (x_BX, Replay(noise, drawn))))

        return outputs_of_one
