"""What is said to round as before in a stack does, whatever the shapes: beside a loop over the models."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import vmap

from trainables.stacked.rounding import rounded_as_one, rounded_by_place

FUNCTIONS = {
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "exp": torch.exp,
    "log1p": lambda x: torch.log1p(x.abs()),
    "tanh": torch.tanh,
    "leaky_relu": F.leaky_relu,
    "power": lambda x: x.abs() ** 1.7,
    "square": lambda x: x**2,
    "angle": lambda x: torch.atan2(x, 1 - x),
    "logaddexp": lambda x: torch.logaddexp(x, -x),
}
SIZES = (1, 7, 50, 64, 100, 640, 1000)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_an_elementwise_function_has_the_same_bits_in_a_stack_or_is_told(name, size):
    """A loop over 40 draws of models, forward and backward."""
    function, models = FUNCTIONS[name], 5

    def both(x):
        x = x.detach().requires_grad_()
        out = function(x)
        return out.detach(), *torch.autograd.grad(out.sum(), x)

    if rounded_by_place(lambda: both(torch.randn(size)), models):
        return
    generator = torch.Generator().manual_seed(size)
    for _ in range(40):
        x_KN = torch.randn(models, size, generator=generator)
        for together, alone in zip(both(x_KN), zip(*map(both, x_KN), strict=True), strict=True):
            assert torch.equal(together, torch.stack(alone))


def test_simple_functions_are_not_told():
    simple = ("exp", "tanh", "leaky_relu", "square", "log1p")
    assert not rounded_by_place(lambda: [FUNCTIONS[name](torch.randn(7)) for name in simple], 3)


def test_a_function_that_rounds_by_place_is_told_but_where_all_elements_fill_vectors(monkeypatch):
    """The stand-in rounds its last elements otherwise on every machine."""
    monkeypatch.setattr("trainables.stacked.rounding._rounds_by_place", lambda function, *given: True)
    assert rounded_by_place(lambda: torch.sigmoid(torch.randn(7)), 3) == ["aten.sigmoid.default"]
    assert rounded_by_place(lambda: torch.sigmoid(torch.randn(128)), 3) == []


def test_products_that_become_one_are_told():
    """A matrix that all models share, and matrices that begin where none of its own would."""
    shared, x_KBI = torch.randn(5, 3), torch.randn(4, 7, 5)
    assert rounded_as_one(lambda: vmap(lambda x_BI: x_BI @ shared)(x_KBI)) == ["aten.mm.default"]
    odd_KIO = torch.randn(4, 5, 3)
    assert rounded_as_one(lambda: torch.bmm(x_KBI, odd_KIO)) == ["aten.bmm.default"]
    assert rounded_as_one(lambda: x_KBI * 2) == []
