"""Linear layers of several models at once have the bits of each layer alone, at every shape, with their gradients."""

from itertools import product as shapes

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from trainables.stacked.linear import Layers, aligned, batch_layers

SIZES = (2, 3, 10, 16, 64)


@pytest.mark.parametrize("models", [3, 8])
@pytest.mark.parametrize("rows", [2, 7, 32, 100])
def test_layers_and_their_gradients_are_those_of_each_alone(models, rows):
    torch.manual_seed(0)
    for inputs, outputs in shapes(SIZES, SIZES):
        x_KBI, weight_KOI = torch.randn(models, rows, inputs), torch.randn(models, outputs, inputs) / 3
        bias_KO, gradient_KBO = torch.randn(models, outputs), torch.randn(models, rows, outputs)
        stacked = [value.clone().requires_grad_() for value in (x_KBI, weight_KOI, bias_KO)]
        found_KBO = Layers.apply(*stacked)
        found_KBO.backward(gradient_KBO)
        for k in range(models):
            own = [value[k].clone().requires_grad_() for value in (x_KBI, weight_KOI, bias_KO)]
            expected_BO = F.linear(*own)
            expected_BO.backward(gradient_KBO[k].clone())
            assert torch.equal(found_KBO[k], expected_BO), (inputs, outputs, k)
            for mine, theirs in zip(stacked, own, strict=True):
                assert torch.equal(mine.grad[k], theirs.grad), (inputs, outputs, k)


def test_second_derivatives_are_right():
    inputs = [torch.randn(3, *shape, dtype=torch.float64, requires_grad=True) for shape in ((4, 2), (5, 2), (5,))]
    assert torch.autograd.gradcheck(Layers.apply, inputs) and torch.autograd.gradgradcheck(Layers.apply, inputs)


def test_matrices_begin_where_those_of_a_tensor_of_its_own_would():
    x_KNM = torch.randn(5, 3, 7)
    for found in (aligned(x_KNM), aligned(x_KNM.transpose(1, 2)).transpose(1, 2)):
        assert torch.equal(found, x_KNM) and all(one.data_ptr() % 64 == 0 for one in found)


def test_under_vmap_each_model_has_its_own_layers_and_may_share_its_input():
    layer, x_BI = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False)), torch.randn(4, 3)
    batch_layers(layer)
    weights = {name: torch.randn(6, *value.shape) for name, value in layer.named_parameters()}
    found = vmap(lambda own: functional_call(layer, own, (x_BI,)))(weights)
    for k in range(6):
        own = {name: value[k] for name, value in weights.items()}
        assert torch.allclose(found[k], functional_call(layer, own, (x_BI,)), atol=1e-6)
