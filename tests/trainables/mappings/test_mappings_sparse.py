"""The sparse mapping: its gates, and its loss term against brute force and the released code's."""

# Shapes: B rows of a batch, D latent dimensions.

import math

import numpy as np
import pytest
import torch

from trainables.mappings.modules.sparse import sparsity
from trainables.mappings.sparse import Sparse


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("latent_dim", "count"), [(50, 1170), (128, 2808)])
def test_dimension_selector_has_the_papers_parameter_count(latent_dim, count):
    assert sum(p.numel() for p in Sparse().build(latent_dim).parameters()) == count


def test_dimension_selector_starts_as_keras_would_with_open_gates():
    torch.manual_seed(0)
    selector = Sparse().build(50).selector
    for layer, bias in zip(selector[::2], (0.0, 0.0, 2.0), strict=True):
        limit = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.9 * limit < layer.weight.abs().max() <= limit
        assert (layer.bias == bias).all()


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_gates_lie_between_floor_and_one_and_reach_both(floor):
    module = Sparse(floor=floor).build(3).double()
    y_BD = gaussian(50, 3)
    with torch.no_grad():
        module.selector[-1].weight.zero_()
        module.selector[-1].bias.copy_(torch.tensor([-60.0, 0.0, 60.0]))
    expected = torch.tensor([floor, (1 + floor) / 2, 1.0], dtype=torch.float64)
    torch.testing.assert_close(module.gates(y_BD), expected.expand(50, 3))
    torch.testing.assert_close(module(y_BD), y_BD * expected)


def brute_sparsity(gates: np.ndarray) -> float:
    """Minus the mutual information between row and dimension, from their joint table."""
    joint = gates / gates.sum(1, keepdims=True) / len(gates)
    total = 0.0
    for i in range(joint.shape[0]):
        for j in range(joint.shape[1]):
            total += joint[i, j] * math.log(joint[i, j] / (joint[i].sum() * joint[:, j].sum()))
    return -total


def test_sparsity_term_is_minus_the_mutual_information_of_row_and_dimension():
    torch.manual_seed(0)
    spec, y_BD = Sparse(gamma=30.0), 3 * gaussian(40, 12)
    module = spec.build(12).double()
    ((name, (weight, value)),) = spec.terms(module, y_BD).items()
    assert (name, weight, value.shape) == ("sparsity", 30.0, ())
    assert value.item() == pytest.approx(brute_sparsity(module.gates(y_BD).detach().numpy()), abs=1e-7)
    assert value.item() < -1e-3


def released_loss(table: np.ndarray) -> float:
    """The released code's loss of a table of rows and dimensions, in the order of its steps."""
    share = table / table.sum(1, keepdims=True)
    of_each = -(share * np.log(share + 1e-8)).sum(1).mean()
    of_all = -(share.mean(0) * np.log(share.mean(0) + 1e-5)).sum()
    return of_each - of_all


def test_the_released_codes_loss_is_of_absolute_latents_behind_soft_gates():
    torch.manual_seed(0)
    spec, y_BD = Sparse(gamma=3.0, floor=0.2, loss_on="latents", initial_bias=0.0, log_offset=1e-5), gaussian(40, 12)
    module = spec.build(12).double()
    with torch.no_grad():
        (weight, value) = spec.terms(module, y_BD)["sparsity"]
        latents = np.abs(module(y_BD).numpy())
        gates = module.gates(y_BD).numpy()
    assert weight == 3.0
    assert value.item() == pytest.approx(released_loss(latents), abs=1e-6)
    assert abs(released_loss(latents) - brute_sparsity(latents)) > 1e-5  # so that the offset is seen
    assert abs(value.item() - released_loss(gates)) > 0.1


def test_gates_start_half_open_with_the_released_codes_bias():
    module = Sparse(initial_bias=0.0).build(5)
    assert (module.selector[-1].bias == 0).all()
    torch.testing.assert_close(module.gates(torch.zeros(1, 5)), torch.full((1, 5), 0.5))


@pytest.mark.parametrize(("floor", "most"), [(0.0, math.log(50)), (0.2, 0.07)])
def test_a_gamma_does_not_carry_over_to_gates_with_a_floor(floor, most):
    """What L_sp can fall by, if each of 50 rows keeps one gate of its own open and closes all others."""
    fall = -sparsity(floor + (1 - floor) * torch.eye(50, dtype=torch.float64)).item()
    assert fall == pytest.approx(most, abs=0.005)


@pytest.mark.parametrize(("rows", "latent_dim"), [(4, 50), (100, 8), (20, 20)])
@pytest.mark.parametrize("spread", [0.1, 3.0, 100.0])
def test_sparsity_lies_between_minus_log_of_the_smaller_side_and_zero(rows, latent_dim, spread):
    value = sparsity((spread * gaussian(rows, latent_dim)).sigmoid()).item()
    assert -math.log(min(rows, latent_dim)) - 1e-12 <= value <= 1e-12


@pytest.mark.parametrize(
    ("gates_BD", "expected"),
    [
        (torch.eye(8), -math.log(8)),  # every row keeps a dimension of its own
        (torch.eye(8).repeat(5, 1), -math.log(8)),  # more rows than dimensions
        (torch.eye(8)[:3], -math.log(3)),  # fewer
        (torch.ones(5, 8), 0.0),  # dense
        (torch.eye(8)[[2] * 5], 0.0),  # all rows keep the same dimension
        (torch.zeros(5, 8), 0.0),  # all closed
    ],
)
def test_sparsity_of_extreme_gates(gates_BD, expected):
    gates_BD = gates_BD.double().requires_grad_()
    value = sparsity(gates_BD)
    value.backward()
    assert value.item() == pytest.approx(expected, abs=3e-6)  # 8 closed gates of 1e-8 count
    assert gates_BD.grad.isfinite().all()


def test_minimising_the_sparsity_term_closes_gates_but_not_the_same_for_all_rows():
    torch.manual_seed(0)
    spec, y_BD = Sparse(), gaussian(64, 6).float()
    module = spec.build(6)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        ((weight, value),) = spec.terms(module, y_BD).values()
        (weight * value).backward()
        optimizer.step()
    gates_BD = module.gates(y_BD).detach()
    assert (gates_BD < 0.1).float().mean() > 0.5
    assert (gates_BD.max(0).values > 0.9).sum() >= 3
