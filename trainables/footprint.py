"""How much memory a pass takes, so that as many are held at once as a bound allows."""

from collections.abc import Callable

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Made(TorchDispatchMode):
    """Counts the bytes of every tensor that an operation makes; a view of another is none."""

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
    """The bytes of all that `work` makes, as if nothing were let go: never less than what it holds at once."""
    with _Made() as made:
        work()
    return made.bytes
