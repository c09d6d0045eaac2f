"""The layers that networks are made of: Keras' padding, batch norm and first weights in PyTorch."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from trainables.networks import batch_norm as norms
from trainables.networks.batch_norm import BatchNorm1d, BatchNorm2d
from trainables.networks.blocks import (
    Bilinear,
    SameConv2d,
    SameConvTranspose2d,
    as_made,
    batch_norm,
    dense,
    glorot_normal,
    glorot_uniform,
    he_normal,
    normal,
    same_padding,
    truncated_normal,
)


def convolved(x: np.ndarray, layer: nn.Conv2d, before: int, outputs: int) -> np.ndarray:
    """A convolution written out: output (i, j) is the kernel laid at pixel (i, j) * stride - before."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    stride = layer.stride[0]
    out, _, kernel, _ = weight.shape
    room = np.zeros((x.shape[0], x.shape[1] + 4 * kernel, x.shape[2] + 4 * kernel))
    room[:, 2 * kernel : 2 * kernel + x.shape[1], 2 * kernel : 2 * kernel + x.shape[2]] = x
    y = np.empty((out, outputs, outputs))
    for i, j in np.ndindex(outputs, outputs):
        top, left = (2 * kernel + n * stride - before for n in (i, j))
        y[:, i, j] = (weight * room[:, top : top + kernel, left : left + kernel]).sum((1, 2, 3)) + bias
    return y


@pytest.mark.parametrize(("before", "after"), [((4, 4), (8, 8)), ((4, 7), (7, 14)), ((1, 2), (2, 3))])
def test_bilinear_interpolation_is_torchs(before, after, float64):
    x_BCHW = torch.randn(3, 2, *before, requires_grad=True)
    ours, theirs = Bilinear(before, after)(x_BCHW), nn.functional.interpolate(x_BCHW, after, mode="bilinear")
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    gradients = (torch.autograd.grad((weight * out).sum(), x_BCHW)[0] for out in (ours, theirs))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (28, 4, 2, (1, 1)),
        (7, 4, 2, (1, 2)),
        (7, 4, 1, (1, 2)),
        (28, 5, 2, (1, 2)),
        (7, 5, 1, (2, 2)),
        (4, 1, 2, (0, 0)),
    ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, padding):
    assert same_padding(size, kernel, stride) == padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "outputs"),
    [(8, 4, 2, 1, 4), (7, 4, 2, 1, 4), (6, 4, 1, 1, 6), (8, 5, 2, 1, 4)],
)
def test_same_convolution_lays_the_kernel_where_keras_does(size, kernel, stride, before, outputs):
    torch.manual_seed(0)
    layer = SameConv2d(3, 5, kernel, stride).double()
    x = torch.randn(1, 3, size, size, dtype=torch.float64)
    expected = convolved(x[0].numpy(), layer, before, outputs)
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), expected, rtol=0, atol=1e-12)


def test_same_convolution_pads_each_axis_by_its_own_size():
    layer = SameConv2d(1, 1, 4, 2).double()
    wide = torch.randn(1, 1, 7, 8, dtype=torch.float64)
    expected = nn.functional.conv2d(nn.functional.pad(wide, (1, 1, 1, 2)), layer.weight, layer.bias, 2)
    torch.testing.assert_close(layer(wide), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(4, 2, 8), (4, 1, 7), (5, 2, 8), (5, 1, 6), (2, 2, 6), (5, 5, 10)]
)
def test_transposed_same_convolution_is_the_adjoint_of_the_convolution(kernel, stride, size):
    torch.manual_seed(1)
    down = SameConv2d(3, 4, kernel, stride).double()
    up = SameConvTranspose2d(4, 3, kernel, stride).double()
    up.weight = down.weight
    nn.init.zeros_(down.bias)
    nn.init.zeros_(up.bias)
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    y = torch.randn(2, 4, size // stride, size // stride, dtype=torch.float64)
    assert up(y).shape == x.shape
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum(), rtol=1e-12, atol=1e-12)


def test_transposed_convolution_of_stride_one_drops_one_row_at_the_start_and_two_at_the_end():
    layer = SameConvTranspose2d(2, 3, 4, 1).double()
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    whole = nn.functional.conv_transpose2d(x, layer.weight, layer.bias)
    assert whole.shape[2:] == (9, 9)
    torch.testing.assert_close(layer(x), whole[..., 1:7, 1:7], rtol=0, atol=1e-12)


def test_transposed_convolution_with_gaps_between_kernels_is_refused():
    with pytest.raises(ValueError, match="gaps"):
        SameConvTranspose2d(1, 1, 2, 3)


def test_batch_norm_keeps_keras_running_statistics():
    layer = batch_norm(1)
    layer(torch.tensor([1.0, 5.0]).view(2, 1, 1, 1))
    torch.testing.assert_close(layer.running_mean, torch.tensor([0.01 * 3.0]))  # 0.99 old + 0.01 new
    layer.eval()
    expected = (2.0 - 0.03) / math.sqrt(layer.running_var.item() + 1e-3)
    assert layer(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "start"), [(4, 2, 1, 0), (4, 1, 0, 1), (5, 2, 0, 1), (5, 1, 2, 0)]
)
def test_transposed_same_convolution_is_torchs_after_a_cut(kernel, stride, padding, start):
    """models.md, section 0.2: what PyTorch computes with this padding, from pixel `start` on."""
    layer = SameConvTranspose2d(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    whole = nn.functional.conv_transpose2d(x, layer.weight, layer.bias, stride, padding)
    end = start + 6 * stride
    torch.testing.assert_close(layer(x), whole[..., start:end, start:end], rtol=0, atol=1e-12)


SHAPES = [(BatchNorm1d, (7, 3)), (BatchNorm2d, (7, 3, 2, 4))]


def pair_of_norms(kind):
    """Ours and torch's, alike, with weights and biases that are not 1 and 0."""
    ours, theirs = kind(3, momentum=0.3).double(), kind.__mro__[2](3, momentum=0.3).double()
    for layer in (ours, theirs):
        layer.weight.data, layer.bias.data = torch.arange(1.0, 4).double(), torch.arange(3.0).double()
    return ours, theirs


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_batch_norm_of_some_rows_is_torchs_of_all(kind, shape, rows, monkeypatch):
    """This worker has `rows` of seven; the others' sums reach it through `over_workers`."""
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 100
    others = x[rows:].transpose(0, 1).flatten(1)
    theirs_sums = torch.cat([torch.tensor([others.shape[1]]), others.sum(1), others.square().sum(1)])
    monkeypatch.setattr(norms, "rank_and_world", lambda: (0, 2))
    monkeypatch.setattr(norms, "over_workers", lambda sums: sums + theirs_sums)
    ours, theirs = pair_of_norms(kind)
    torch.testing.assert_close(ours(x[:rows]), theirs(x)[:rows], rtol=1e-8, atol=1e-8)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_batch_norm_passes_torchs_gradient(kind, shape, monkeypatch):
    monkeypatch.setattr(norms, "rank_and_world", lambda: (0, 2))  # the formula of many workers, tried on one
    weight, x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    ours, theirs = (torch.autograd.grad((layer(x) * weight).sum(), x)[0] for layer in pair_of_norms(kind))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "shape"), [(BatchNorm1d, (64, 3)), (BatchNorm2d, (32, 3, 8, 8))])
def test_batch_norm_of_many_workers_rounds_at_most_twice_as_much_as_torchs(kind, shape, monkeypatch):
    """In float32, against torch's in float64: the output, and the gradient by input, weight and bias; of 30 batches."""
    monkeypatch.setattr(norms, "rank_and_world", lambda: (0, 2))
    generator, (ours, theirs), (_, exact) = torch.Generator().manual_seed(2), pair_of_norms(kind), pair_of_norms(kind)
    layers, squares = (ours.float(), theirs.float()), torch.zeros(2, 4, dtype=torch.float64)
    for _ in range(30):
        weight, x = torch.randn(2, *shape, generator=generator)
        x += 3  # a mean of three standard deviations
        truth = passed(exact, x.double(), weight.double())
        for layer, square in zip(layers, squares, strict=True):
            pairs = zip(passed(layer, x, weight), truth, strict=True)
            square += torch.stack([(value - true).square().mean() for value, true in pairs])
    our_errors, their_errors = squares.sqrt()
    assert (our_errors < 2 * their_errors).all()


def passed(layer, x, weight):
    """The output of a layer, and the gradients of its weighted sum."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return y.detach(), *torch.autograd.grad((y * weight).sum(), (x, layer.weight, layer.bias))


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("kind", [BatchNorm1d, BatchNorm2d])
def test_batch_norm_of_a_single_value_is_its_bias_and_learns_no_variance(kind, world, monkeypatch):
    monkeypatch.setattr(norms, "rank_and_world", lambda: (0, world))
    ours, _ = pair_of_norms(kind)
    x = torch.full((1, 3) if kind is BatchNorm1d else (1, 3, 1, 1), 9.0, dtype=torch.float64, requires_grad=True)
    y = ours(x)
    y.sum().backward()
    torch.testing.assert_close(y.flatten(), ours.bias)
    assert (x.grad.abs() < 1e-9).all()
    assert (ours.running_var == 1).all()
    torch.testing.assert_close(ours.running_mean, torch.full((3,), 0.3 * 9.0, dtype=torch.float64))


LAYERS = [(nn.Conv2d(32, 96, 4), 32 * 16), (nn.ConvTranspose2d(96, 32, 4), 32 * 16), (nn.Linear(400, 300), 400)]
CUT = stats.truncnorm(-2, 2)


def start_of(start, layer):
    """The weights that `start` gives a layer whose biases were 1."""
    torch.manual_seed(2)
    nn.init.ones_(layer.bias)
    assert start(layer) is layer
    assert not layer.bias.any()
    return layer.weight.detach().double().flatten().numpy()


def follows(weight, law) -> bool:
    """Whether the weights have the law's standard deviation and its distribution."""
    return weight.std() == pytest.approx(law.std(), rel=0.01) and stats.kstest(weight, law.cdf).pvalue > 1e-3


def cut_normal(sd):
    """N(0, sd^2) cut off at two standard deviations."""
    return stats.truncnorm(-2, 2, scale=sd)


@pytest.mark.parametrize(("layer", "fan_in"), LAYERS)
def test_he_normal_is_keras_truncated_normal(layer, fan_in):
    sd = math.sqrt(2 / fan_in)  # after the cut
    assert follows(start_of(he_normal, layer), cut_normal(sd / CUT.std()))


@pytest.mark.parametrize(("layer", "fans"), [(LAYERS[0][0], 128 * 16), (LAYERS[1][0], 128 * 16), (LAYERS[2][0], 700)])
def test_glorot_normal_is_keras_truncated_normal(layer, fans):
    sd = math.sqrt(2 / fans)  # after the cut
    assert follows(start_of(glorot_normal, layer), cut_normal(sd / CUT.std()))


def test_glorot_uniform_has_keras_bounds():
    bound = math.sqrt(6 / 700)
    assert follows(start_of(glorot_uniform, LAYERS[2][0]), stats.uniform(-bound, 2 * bound))


def test_truncated_normal_is_cut_and_not_widened():
    assert follows(start_of(lambda layer: truncated_normal(layer, 0.01), LAYERS[0][0]), cut_normal(0.01))


def test_normal_is_not_cut():
    assert follows(start_of(lambda layer: normal(layer, 0.01), LAYERS[1][0]), stats.norm(0, 0.01))


def test_a_layer_without_biases_can_start():
    layer = normal(nn.Conv2d(8, 8, 4, bias=False), 0.02)
    assert layer.bias is None
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_as_made_leaves_torchs_start():
    torch.manual_seed(5)
    expected = nn.Linear(30, 20).state_dict()
    torch.manual_seed(5)
    torch.testing.assert_close(dict(as_made(nn.Linear(30, 20)).state_dict()), dict(expected), rtol=0, atol=0)


def test_dense_has_relu_after_each_layer_but_the_last():
    layers = dense((5, 4, 3, 2))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert [layer.out_features for layer in layers[::2]] == [4, 3, 2]


def test_dense_puts_what_is_asked_for_after_its_hidden_layers():
    *layers, last = dense((5, 4, 3, 2), all_sevens, lambda width: [nn.LayerNorm(width), nn.Tanh()])
    assert [type(layer) for layer in layers] == 2 * [nn.Linear, nn.LayerNorm, nn.Tanh]
    assert [layers[1].normalized_shape, layers[4].normalized_shape] == [(4,), (3,)]
    assert all((layer.weight == 7).all() for layer in (layers[0], layers[3], last))


def all_sevens(layer):
    nn.init.constant_(layer.weight, 7)
    return layer
