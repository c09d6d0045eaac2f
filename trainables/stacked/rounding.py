"""Operations that may round otherwise in a stack, though a trial of some steps seldom shows it.

Elementwise ones: on a CPU torch computes them with vector instructions, and what is left at the end of a tensor, or
lies apart in memory, one by one; `sigmoid` or `softplus` then round otherwise. In a stack others are left over.

And products of matrices outside of linear layers, of which several models' become one.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from trainables.common.watching import Watch
from trainables.stacked.linear import keeps_bits

VECTORS = 64  # elements: a multiple of what any CPU computes at once
GRAIN = 2**15  # elements of a tensor from which on several threads share it
TRIED = 64 * VECTORS + 1  # elements
OF_ALL_ROWS = [getattr(torch.ops.aten, name).default for name in ("mm", "addmm", "mv", "addmv", "dot")]
"""Products in a stack of the rows of all models, or of several models' numbers, at once."""
BACKWARD = "_backward"  # how the derivatives of elementwise functions are called that torch does not mark as such


def rounded_by_place(work: Callable[[], object], models: int) -> list[str]:
    """The elementwise operations in `work`, of one model, that may round otherwise for some elements in a stack."""
    try:
        with Elementwise() as operations:
            work()
    except RuntimeError:  # torch refuses some derivatives while it is watched
        return ["cannot be watched"]
    return sorted(name for name, sizes in operations.sizes.items() if any(_moves(size, models) for size in sizes))


def _moves(size: int, models: int) -> bool:
    """Whether a tensor of so many elements is divided otherwise where those of several models are one."""
    return size % VECTORS > 0 or (torch.get_num_threads() > 1 and size * models > GRAIN)


def rounded_as_one(work: Callable[[], object]) -> list[str]:
    """The products in `work`, of a stack, that may have other bits than each model's own."""
    with Products() as products:
        work()
    return sorted(products.changed)


class Products(Watch):
    """Collects the products inside its context that may round otherwise. Those of linear layers are known not to."""

    def __init__(self):
        super().__init__()
        self.changed: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in OF_ALL_ROWS or (function is torch.ops.aten.bmm.default and not keeps_bits(*args)):
            self.changed.add(str(function))
        return function(*args, **kwargs or {})


class Elementwise(Watch):
    """Collects the elementwise operations inside its context that round by place: name -> sizes of their outputs."""

    def __init__(self):
        super().__init__()
        self.sizes: dict[str, set[int]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = tree_map(_copied, (args, kwargs or {}))
        output = function(*args, **kwargs or {})
        if _is_elementwise(function, output, before) and _rounds_by_place(function, output, *before):
            self.sizes.setdefault(str(function), set()).add(output.numel())
        return output


def _is_elementwise(function: Any, output: Any, given: Any) -> bool:
    if not (isinstance(output, Tensor) and output.is_floating_point() and output.device.type == "cpu"):
        return False
    if not output.numel() or not (torch.Tag.pointwise in function.tags or function._schema.name.endswith(BACKWARD)):
        return False
    try:
        return torch.broadcast_shapes(*(one.shape for one in _tensors(given))) == output.shape
    except RuntimeError:  # they fit each other in another way
        return False


def _rounds_by_place(function: Any, output: Tensor, args: tuple, kwargs: dict) -> bool:
    """Whether values like these come out otherwise one by one."""
    shape = output.shape
    spread = tree_map(lambda one: _spread(one, shape) if isinstance(one, Tensor) else one, (args, kwargs))
    apart = tree_map(lambda one: _apart(one) if isinstance(one, Tensor) else one, spread)
    together, alone = (function(*some, **named) for some, named in (spread, apart))
    return not torch.equal(together.nan_to_num(), alone.contiguous().nan_to_num())


def _spread(values: Tensor, shape: torch.Size) -> Tensor:
    """Many values of the size and sign of these, in the order in which an output of this shape has them."""
    flat = values.expand(shape).flatten()
    many = flat.repeat(math.ceil(TRIED / flat.numel()))[:TRIED]
    if not values.is_floating_point():
        return many
    factors = 0.5 + torch.rand(TRIED, generator=torch.Generator().manual_seed(0)).to(many.dtype)
    return torch.where(many == 0, factors, many * factors)


def _apart(values: Tensor) -> Tensor:
    """The same values, not side by side in memory."""
    return torch.stack([values, values], 1)[:, 0]


def _tensors(given: Any) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda one: found.append(one) if isinstance(one, Tensor) else None, given)
    return found


def _copied(one: Any) -> Any:
    """A value as it was before the operation, which may work in place."""
    return one.clone() if isinstance(one, Tensor) else one
