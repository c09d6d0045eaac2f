"""What computes with other threads leaves torch as it was."""

import pytest
import torch

from trainables.common.threads import torch_threads


def test_threads_are_as_before_afterwards_also_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), torch_threads(before + 2):
        assert torch.get_num_threads() == before + 2
        raise KeyError
    assert torch.get_num_threads() == before
