"""Estimates the memory of a computation, from which callers choose how many rows to compute at once."""

from collections.abc import Callable

from torch import Tensor
from torch.utils._pytree import tree_leaves

from trainables.common.watching import Watch


class _Made(Watch):
    """Counts the bytes of every tensor that an operation allocates; views allocate none."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        old = {_place(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        new = [value for value in tree_leaves(made) if isinstance(value, Tensor) and _place(value) not in old]
        self.bytes += sum(value.numel() * value.element_size() for value in new)
        return made


def _place(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def bytes_of(work: Callable[[], object]) -> int:
    """The bytes of all tensors that `work` allocates, as if none were freed: an upper bound of its peak memory."""
    with _Made() as made:
        work()
    return made.bytes
