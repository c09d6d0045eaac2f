"""Watch: what looks at the operations that torch performs inside its context."""

from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    """A subclass says in `__torch_dispatch__` what it looks for."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without torch's mark for torch.compile, for which it imports torch._dynamo: half a second."""
        return False
