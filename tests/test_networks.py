"""Networks: Keras' layers in PyTorch, and the papers' networks layer by layer and weight by weight."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import nn

from trainables.networks import NETWORKS
from trainables.networks.ard import ArdCelebA, ArdCifar10, ArdMnist
from trainables.networks.batch_norm import BatchNorm2d
from trainables.networks.blocks import (
    SameConv2d,
    SameConvTranspose2d,
    batch_norm,
    glorot_uniform,
    he_normal,
    same_padding,
)
from trainables.networks.mlp import Mlp
from trainables.records import name_of

ARD = (ArdMnist, ArdCelebA, ArdCifar10)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shape_for(network: type) -> tuple[int, ...]:
    return network.layers.shape if network in ARD else (2,)


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
    ("layer", "fan_in"),
    [(nn.Conv2d(32, 96, 4), 32 * 16), (nn.ConvTranspose2d(96, 32, 4), 32 * 16), (nn.Linear(400, 300), 400)],
)
def test_he_normal_is_keras_truncated_normal(layer, fan_in):
    torch.manual_seed(2)
    nn.init.ones_(layer.bias)
    weight = he_normal(layer).weight.detach().double().flatten().numpy()
    cut = stats.truncnorm(-2, 2)
    sd = math.sqrt(2 / fan_in)  # after the cut
    assert weight.std() == pytest.approx(sd, rel=0.01)
    assert stats.kstest(weight / (sd / cut.std()), cut.cdf).pvalue > 1e-3
    assert not layer.bias.any()


def test_glorot_uniform_has_keras_bounds():
    torch.manual_seed(3)
    layer = nn.Linear(300, 200)
    nn.init.ones_(layer.bias)
    weight = glorot_uniform(layer).weight.detach().double().flatten().numpy()
    bound = math.sqrt(6 / 500)
    assert stats.kstest(weight, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    assert not layer.bias.any()


# metrics.md, N4, N6 and N9: (network, shape, heads k, encoder's parameters, decoder's parameters); decoders of the
# synthetic sets have two outputs per dimension, mean and log variance.
COUNTS = [
    (Mlp(latent_dim=2, hidden=(10, 10, 10)), (2,), 2, 2, 294, 294),
    (Mlp(latent_dim=2, hidden=(10, 10)), (2,), 2, 2, 184, 184),
    (Mlp(latent_dim=2), (1, 28, 28), 1, 1, 333_058, 333_840),
    (Mlp(latent_dim=2), (1, 28, 28), 2, 1, 333_572, 333_840),
    (ArdMnist(latent_dim=16), (1, 32, 32), 2, 1, 2_821_984, 2_789_697),
    (ArdMnist(latent_dim=32), (1, 32, 32), 2, 1, 2_887_552, 2_822_465),
    (ArdMnist(latent_dim=64), (1, 32, 32), 2, 1, 3_018_688, 2_888_001),
    (ArdMnist(latent_dim=16), (1, 32, 32), 1, 1, 2_789_200, 2_789_697),
    (ArdCelebA(latent_dim=64), (3, 64, 64), 2, 1, 3_807_168, 4_886_851),
    (ArdCelebA(latent_dim=64), (3, 64, 64), 1, 1, 3_282_816, 4_886_851),
    (ArdCifar10(latent_dim=64), (3, 32, 32), 2, 1, 11_546_368, 14_760_195),
    (ArdCifar10(latent_dim=128), (3, 32, 32), 2, 1, 12_070_784, 18_954_499),
    (ArdCifar10(latent_dim=256), (3, 32, 32), 2, 1, 13_119_616, 27_343_107),
    (ArdCifar10(latent_dim=512), (3, 32, 32), 2, 1, 15_217_280, 44_120_323),
    (ArdCifar10(latent_dim=1024), (3, 32, 32), 2, 1, 19_412_608, 77_674_755),
]


@pytest.mark.parametrize(("network", "shape", "heads", "multiple", "encoder", "decoder"), COUNTS)
def test_parameter_counts_are_the_papers(network, shape, heads, multiple, encoder, decoder):
    with torch.device("meta"):
        assert count(network.encoder(shape, heads * network.latent_dim)) == encoder
        assert count(network.decoder(shape, network.latent_dim, multiple)) == decoder


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
@pytest.mark.parametrize("multiple", [1, 2])
def test_shapes_fit_the_data_and_every_weight_is_used(network, multiple):
    shape = shape_for(network)
    record = network(latent_dim=3)
    encoder, decoder = record.encoder(shape, 6), record.decoder(shape, 3, multiple)
    codes = encoder(torch.rand(2, *shape))
    decoded = decoder(torch.randn(2, 3))
    assert codes.shape == (2, 6)
    assert decoded.shape == (2, shape[0] * multiple, *shape[1:])
    (codes.square().sum() + decoded.square().sum()).backward()
    assert all(p.grad is not None for p in [*encoder.parameters(), *decoder.parameters()])
    assert not list(record.mistakes(shape))


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_decoder_ends_without_sigmoid_or_tanh(network):
    decoder = network(latent_dim=2).decoder(shape_for(network), 2, 1)
    last = [m for m in decoder.modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d)][-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, 5.0)
    assert (decoder(torch.randn(2, 2)) == 5).all()


@pytest.mark.parametrize(("network", "sides"), [(ArdMnist, [2, 4, 8, 16, 32]), (ArdCelebA, [8, 16, 32, 64, 64])])
def test_ard_decoder_grows_as_in_table_4(network, sides):
    decoder = network(latent_dim=2).decoder(network.layers.shape, 2, 1)
    seen = []
    for step in decoder:
        step.register_forward_hook(lambda _module, _inputs, image: seen.append(image.shape[-1]))
    decoder(torch.randn(2, 2))
    assert seen[1:] == sides  # after the linear layer's outputs are an image


@pytest.mark.parametrize(("network", "side"), [(ArdMnist, 2), (ArdCelebA, 4), (ArdCifar10, 2)])
def test_ard_encoder_shrinks_as_in_table_4(network, side):
    encoder = network(latent_dim=2).encoder(network.layers.shape, 2)
    assert encoder[-1].in_features == side * side * network.layers.down[-1]


def test_ard_decoder_has_no_activation_between_its_linear_layer_and_the_first_transposed_convolution():
    decoder = ArdMnist(latent_dim=2).decoder((1, 32, 32), 2, 1)
    kinds = [type(module) for module in decoder.modules() if not list(module.children())]
    block = [SameConvTranspose2d, BatchNorm2d, nn.ReLU]
    assert kinds == [nn.Linear, nn.Unflatten, *block, *block, *block, SameConvTranspose2d]


@pytest.mark.parametrize(("network", "low"), [(ArdMnist, -1.0), (ArdCelebA, 0.0), (ArdCifar10, -1.0)])
def test_ard_encoder_recentres_images_of_the_unit_interval_only(network, low):
    encoder = network(latent_dim=2).encoder(network.layers.shape, 2)
    seen = []
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    encoder(torch.cat([torch.zeros(1, *network.layers.shape), torch.ones(1, *network.layers.shape)]))
    assert (seen[0][0] == low).all()
    assert (seen[0][1] == 1).all()


@pytest.mark.parametrize("network", ARD, ids=name_of)
def test_ard_convolutions_start_he_normal_and_the_rest_glorot(network):
    torch.manual_seed(4)
    shape = network.layers.shape
    record = network(latent_dim=8)
    modules = [*record.encoder(shape, 16).modules(), *record.decoder(shape, 8, 1).modules()]
    layers = [m for m in modules if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        area = layer.weight[0, 0].numel()
        fan_in, fan_out = layer.weight.shape[1] * area, layer.weight.shape[0] * area
        glorot = isinstance(layer, nn.Linear) or layer is layers[-1]
        variance = 2 / (fan_in + fan_out) if glorot else 2 / fan_in
        assert layer.weight.std().item() == pytest.approx(math.sqrt(variance), rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize("network", ARD, ids=name_of)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (2,)])
def test_ard_network_on_other_data_says_what_it_needs_and_what_it_got(network, shape):
    [(path, text)] = network(latent_dim=2).mistakes(shape)
    assert path == "name"
    assert name_of(network) in text
    assert str(network.layers.shape) in text
    assert str(shape) in text


def test_mlp_mirrors_its_hidden_layers():
    record = Mlp(latent_dim=3, hidden=[7, 5])
    encoder, decoder = record.encoder((4,), 6), record.decoder((4,), 3, 2)
    assert [m.out_features for m in encoder if isinstance(m, nn.Linear)] == [7, 5, 6]
    assert [m.out_features for m in decoder if isinstance(m, nn.Linear)] == [5, 7, 8]


def test_mlp_without_hidden_layers_is_linear():
    encoder = Mlp(latent_dim=3, hidden=()).encoder((4,), 6).double()
    a, b = torch.randn(2, 1, 4, dtype=torch.float64)
    torch.testing.assert_close(encoder(a) + encoder(b), encoder(a + b), rtol=0, atol=1e-12)


def test_mlp_decodes_images_in_the_order_in_which_it_reads_them():
    decoder = Mlp(latent_dim=2).decoder((3, 4, 5), 2, 1)
    image = torch.arange(60.0)
    nn.init.zeros_(decoder[-2].weight)
    decoder[-2].bias.data = image
    torch.testing.assert_close(Mlp(latent_dim=2).encoder((3, 4, 5), 2)[0](decoder(torch.zeros(1, 2)))[0], image)


@pytest.mark.parametrize(
    "fields",
    [{"latent_dim": 0}, {"latent_dim": "2"}, {"hidden": [8, 0]}, {"hidden": ["8"]}, {"hidden": 8}, {"hiden": [8]}],
)
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError) as refused:
        Mlp(**{"latent_dim": 2} | fields)
    assert refused.value.error_count() == 1
    assert refused.value.errors()[0]["loc"][0] == next(iter(fields))


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_decoder_in_eval_mode_can_be_differentiated_forwards_row_by_row(network):
    decoder = network(latent_dim=2).decoder(shape_for(network), 2, 1).eval().requires_grad_(False)
    z_BD = torch.randn(2, 2)
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda z: decoder(z[None])[0]))(z_BD)
    backward = torch.autograd.functional.jacobian(lambda z: decoder(z).flatten(1).sum(1), z_BD)
    summed = jacobian.flatten(1, -2).sum(1)
    torch.testing.assert_close(summed, torch.stack([backward[i, i] for i in range(2)]), rtol=1e-3, atol=1e-3)


def test_names_in_the_table_are_distinct():
    names = [name_of(network) for network in NETWORKS]
    assert len(set(names)) == len(names)
