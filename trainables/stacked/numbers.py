"""The numbers in which models of equal shape differ: hyper-parameters such as beta, or what a mapping is made with.

They are found by comparing the models' modules and records, whatever the method. Under `vmap` each model gets its own.
"""

# Shapes: K models.

import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainables.common.records import Record

MODULE_STATE = {*vars(nn.Module())}  # what torch itself keeps in a module
Value = Any
Choose = Callable[[Sequence[Tensor]], Value]
"""The tensors of all differing numbers -> a value with them in it."""


class CannotStack(Exception):
    """Runs that cannot be computed together. One line that says why."""


class Numbers:
    """Where models differ, and in what. `values_K` are the numbers, float64, one tensor for each of `names`.

    Numbers are zero-dimensional tensors of float64 under `vmap`: torch takes such a tensor for a Python number.
    """

    def __init__(self, models: Sequence[nn.Module], template: nn.Module):
        self.values_K: list[Tensor] = []
        self.names: list[str] = []
        self.places: list[tuple[nn.Module, str, Choose]] = []
        parts = [[module for _, module in model.named_modules()] for model in models]
        for path_module, own in zip(template.named_modules(), zip(*parts, strict=True), strict=True):
            path, module = path_module
            for name in vars(module).keys() - MODULE_STATE:
                choose = self._choose(f"{path}.{name}", [vars(one).get(name) for one in own])
                if choose:
                    self.places.append((module, name, choose))

    def put(self, numbers: Sequence[Tensor]) -> None:
        """Put one model's numbers into the template."""
        for module, name, choose in self.places:
            module.__dict__[name] = choose(numbers)

    def _choose(self, path: str, values: Sequence[Value]) -> Choose | None:
        """What makes the value of a model from its numbers; None if the models have the same. Raises CannotStack."""
        first = values[0]
        if len({type(value) for value in values}) > 1 and not all(map(_is_number, values)):
            raise CannotStack(f"they differ in {path}")
        if all(map(_is_number, values)):
            return self._number(path, values) if len(set(values)) > 1 else None
        if isinstance(first, Record):
            return self._parts(path, [vars(value) for value in values], lambda new: first.model_copy(update=new))
        if isinstance(first, dict) and len({tuple(value) for value in values}) == 1:
            return self._parts(path, values, lambda new: first | new)
        if isinstance(first, list | tuple) and len({len(value) for value in values}) == 1:
            parts = [dict(enumerate(value)) for value in values]
            return self._parts(path, parts, lambda new: type(first)([new.get(at, one) for at, one in enumerate(first)]))
        return self._callable(path, values)

    def _callable(self, path: str, values: Sequence[Value]) -> Choose | None:
        """Likewise for functions, which may hold numbers, and for all else, which must be equal."""
        first = values[0]
        if isinstance(first, types.MethodType) and len({value.__func__ for value in values}) == 1:
            owner = self._choose(path, [value.__self__ for value in values])
            return owner and (lambda numbers: types.MethodType(first.__func__, owner(numbers)))
        if isinstance(first, functools.partial) and len({value.func for value in values}) == 1:
            parts = [dict(enumerate(value.args)) | value.keywords for value in values]
            return self._parts(path, parts, lambda new: _partial(first, new))
        if isinstance(first, torch.Tensor):
            same = all(torch.equal(first, value) for value in values)
        else:
            same = all(value is first or value == first for value in values) or isinstance(first, nn.Module)
        if not same:
            raise CannotStack(f"they differ in {path}")
        return None

    def _parts(self, path: str, values: Sequence[dict], make: Callable[[dict], Value]) -> Choose | None:
        if len({tuple(value) for value in values}) > 1:
            raise CannotStack(f"they differ in {path}")
        found = {name: self._choose(f"{path}.{name}", [value[name] for value in values]) for name in values[0]}
        found = {name: choose for name, choose in found.items() if choose}
        return (lambda numbers: make({name: choose(numbers) for name, choose in found.items()})) if found else None

    def _number(self, path: str, values: Sequence[float]) -> Choose:
        at = len(self.values_K)
        self.names.append(path)
        self.values_K.append(torch.tensor(values, dtype=torch.float64))
        return lambda numbers: numbers[at]


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _partial(before: functools.partial, new: dict) -> functools.partial:
    args = [new.get(at, value) for at, value in enumerate(before.args)]
    named = {name: new.get(name, value) for name, value in before.keywords.items()}
    return functools.partial(before.func, *args, **named)
