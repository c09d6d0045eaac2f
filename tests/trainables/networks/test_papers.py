"""The papers' networks: sizes of all images, order of all layers, first weights, and number of parameters."""

import math

import pytest
import torch
from torch import nn

from trainables.networks.ard import ArdCelebA, ArdCifar10, ArdMnist, ArdShapes, Locatello
from trainables.networks.blocks import Bilinear, dense, glorot_normal
from trainables.networks.dd import DdFashion
from trainables.networks.geco import GecoMnist
from trainables.networks.intel import IntelCelebA, IntelMnist
from trainables.networks.mask_aae import MaskAaeMlp
from trainables.networks.mlp import Mlp
from trainables.networks.network import ImageNetwork
from trainables.networks.vimae import VimaeCelebA, VimaeCifar10, VimaeMlp, VimaeMnist
from trainables.networks.vsc import VscConv

PLANE, DIGIT, PADDED, SHAPE = (2,), (1, 28, 28), (1, 32, 32), (1, 64, 64)
SMALL_COLOUR, COLOUR = (3, 32, 32), (3, 64, 64)

# metrics.md: (row, network, other fields, shape of the data, latent_dim, heads k, encoder's and decoder's parameters).
# The decoders of the plane have two outputs per dimension. N12 is our own: its sums are written out.
COUNTS = [
    ("N1", IntelMnist, {}, DIGIT, 1, 2, 169_122, 177_441),
    ("N1", IntelMnist, {}, DIGIT, 10, 2, 206_004, 233_889),
    ("N1", IntelMnist, {}, DIGIT, 50, 2, 369_924, 484_769),
    ("N2", DdFashion, {}, PADDED, 50, 2, 369_636, 267_200),
    ("N3", IntelCelebA, {}, COLOUR, 64, 2, 2_757_056, 2_645_635),
    ("N3", IntelCelebA, {}, COLOUR, 128, 2, 4_854_336, 3_694_211),
    ("N3", IntelCelebA, {"decoder_form": "code"}, COLOUR, 64, 2, 2_757_056, 1_724_483),
    ("N3", IntelCelebA, {"decoder_form": "code"}, COLOUR, 128, 2, 4_854_336, 2_773_059),
    ("N4", Mlp, {"hidden": (10, 10, 10)}, PLANE, 2, 2, 294, 294),
    ("N4", Mlp, {"hidden": (10, 10)}, PLANE, 2, 2, 184, 184),
    ("N6", ArdMnist, {}, PADDED, 16, 2, 2_821_984, 2_789_697),
    ("N6", ArdMnist, {}, PADDED, 32, 2, 2_887_552, 2_822_465),
    ("N6", ArdMnist, {}, PADDED, 64, 2, 3_018_688, 2_888_001),
    ("N6", ArdMnist, {}, PADDED, 16, 1, 2_789_200, 2_789_697),
    ("N6", ArdCelebA, {}, COLOUR, 64, 2, 3_807_168, 4_886_851),
    ("N6", ArdCelebA, {}, COLOUR, 64, 1, 3_282_816, 4_886_851),
    ("N6", ArdCifar10, {}, SMALL_COLOUR, 64, 2, 11_546_368, 14_760_195),
    ("N6", ArdCifar10, {}, SMALL_COLOUR, 128, 2, 12_070_784, 18_954_499),
    ("N6", ArdCifar10, {}, SMALL_COLOUR, 256, 2, 13_119_616, 27_343_107),
    ("N6", ArdCifar10, {}, SMALL_COLOUR, 512, 2, 15_217_280, 44_120_323),
    ("N6", ArdCifar10, {}, SMALL_COLOUR, 1024, 2, 19_412_608, 77_674_755),
    ("N7", ArdShapes, {}, SHAPE, 6, 2, 127_692, 122_497),
    ("N7", ArdShapes, {}, SHAPE, 10, 2, 135_892, 126_593),
    ("N7", ArdShapes, {}, COLOUR, 6, 2, 128_716, 123_523),
    ("N7", ArdShapes, {}, COLOUR, 10, 2, 136_916, 127_619),
    ("N7", Locatello, {}, SHAPE, 10, 2, 309_204, 381_313),
    ("N7", Locatello, {}, COLOUR, 10, 2, 310_228, 382_339),
    ("N8", VimaeMnist, {}, DIGIT, 8, 1, 11_050_632, 10_943_745),
    ("N8", VimaeMnist, {}, DIGIT, 8, 2, 22_027_153 - 10_943_745, 10_943_745),
    ("N8", VimaeCelebA, {}, COLOUR, 64, 1, 18_267_200, 21_475_331),
    ("N8", VimaeCelebA, {}, COLOUR, 64, 2, 40_791_171 - 21_475_331, 21_475_331),
    ("N8", VimaeCifar10, {}, SMALL_COLOUR, 64, 1, 17_480_768, 18_280_451),
    ("N8", VimaeCifar10, {}, SMALL_COLOUR, 64, 2, 36_023_427 - 18_280_451, 18_280_451),
    ("N9", VimaeMlp, {"batch_norm": False}, DIGIT, 2, 1, 333_058, 333_840),
    ("N9", VimaeMlp, {"batch_norm": False}, DIGIT, 2, 2, 333_572, 333_840),
    ("N9", VimaeMlp, {}, DIGIT, 2, 1, 334_594, 335_376),
    ("N9", VimaeMlp, {}, DIGIT, 2, 2, 335_108, 335_376),
    ("N10", MaskAaeMlp, {}, DIGIT, 16, 1, 3_969_040, 3_969_808),
    ("N10", MaskAaeMlp, {}, DIGIT, 32, 1, 3_985_440, 3_986_192),
    ("N10", MaskAaeMlp, {}, DIGIT, 48, 1, 4_001_840, 4_002_576),
    ("N11", VscConv, {}, COLOUR, 200, 3, 533_016, 430_979),
    ("N11", Mlp, {"hidden": (400,)}, DIGIT, 50, 3, 708_934 - 334_784, 50 * 400 + 400 + 400 * 784 + 784),
    (
        *("N12", GecoMnist, {}, PADDED, 16, 2),
        (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128 + (2048 + 1) * 256 + (256 + 1) * 32,
        (16 + 1) * 256 + (256 + 1) * 2048 + (9 * 128 + 1) * 64 + (9 * 64 + 1) * 32 + (9 * 32 + 1) * 1,
    ),
]


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def parts(network, fields, shape, latent_dim, heads, multiple=1):
    """Encoder and decoder without memory for their weights."""
    record = network(latent_dim=latent_dim, **fields)
    with torch.device("meta"):
        return record.encoder(shape, heads * latent_dim), record.decoder(shape, latent_dim, multiple)


@pytest.mark.parametrize(("row", "network", "fields", "shape", "latent_dim", "heads", "encoder", "decoder"), COUNTS)
def test_parameter_counts_are_the_papers(row, network, fields, shape, latent_dim, heads, encoder, decoder):
    made = parts(network, fields, shape, latent_dim, heads, multiple=1 + (shape == PLANE))
    assert [count(part) for part in made] == [encoder, decoder]


@pytest.mark.parametrize(("latent_dim", "parameters"), [(16, 3_167_233), (32, 3_183_617), (48, 3_200_001)])
def test_mask_aaes_discriminator_is_dense_layers_of_its_networks_widths(latent_dim, parameters):
    """N10: the method builds it so."""
    widths = (latent_dim, *MaskAaeMlp(latent_dim=latent_dim).hidden, 1)
    with torch.device("meta"):
        assert count(*dense(widths, glorot_normal)) == parameters


# metrics.md: side of the image after each of the encoder's convolutions, and of the decoder's images from the first on.
SIDES = [
    (IntelMnist, {}, DIGIT, [14, 7, 4], [7, 14, 28, 28]),
    (DdFashion, {}, PADDED, [16, 8, 4, 1], [4, 8, 16, 32]),
    (IntelCelebA, {}, COLOUR, [32, 16, 8], [8, 16, 32, 64]),
    (IntelCelebA, {"decoder_form": "code"}, COLOUR, [32, 16, 8], [8, 16, 32, 64]),
    (ArdMnist, {}, PADDED, [16, 8, 4, 2], [2, 4, 8, 16, 32]),
    (ArdCelebA, {}, COLOUR, [32, 16, 8, 4], [8, 16, 32, 64, 64]),
    (ArdCifar10, {}, SMALL_COLOUR, [16, 8, 4, 2], [8, 16, 32, 32]),
    (ArdShapes, {}, SHAPE, [32, 16, 8, 4], [4, 8, 16, 32, 64]),
    (Locatello, {}, COLOUR, [32, 16, 8, 4], [4, 8, 16, 32, 64]),
    (VimaeMnist, {}, DIGIT, [14, 7, 4, 2], [7, 14, 28, 28]),
    (VimaeCelebA, {}, COLOUR, [32, 16, 8, 4], [8, 16, 32, 64, 64]),
    (VimaeCifar10, {}, SMALL_COLOUR, [16, 8, 4, 2], [4, 8, 16, 32, 32]),
    (VscConv, {}, COLOUR, [32, 16, 8, 4], [4, 8, 16, 32, 64]),
    (GecoMnist, {}, PADDED, [16, 8, 4], [4, 8, 16, 32]),
    (GecoMnist, {}, DIGIT, [14, 7, 4], [4, 7, 14, 28]),
]


def sides_of(part, data, kinds):
    """Sides of the images that come out of the layers of these kinds."""
    seen = []
    for layer in part:
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _layer, _inputs, image: seen.append(image.shape[-1]))
    part(data)
    return seen


@pytest.mark.parametrize(("network", "fields", "shape", "down", "up"), SIDES)
def test_images_shrink_and_grow_as_in_the_paper(network, fields, shape, down, up):
    encoder, decoder = parts(network, fields, shape, 3, 2)
    assert sides_of(encoder, torch.zeros(2, *shape, device="meta"), nn.Conv2d) == down
    grown = sides_of(decoder, torch.zeros(2, 3, device="meta"), (nn.Unflatten, nn.ConvTranspose2d, Bilinear))
    assert grown == ([1, *up] if network is DdFashion else up)  # which unflattens the code itself


WORDS = {
    nn.Conv2d: "conv",
    nn.ConvTranspose2d: "up",
    nn.Linear: "fc",
    nn.BatchNorm1d: "norm",
    nn.BatchNorm2d: "norm",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky",
    nn.Flatten: "flat",
    nn.Unflatten: "image",
    Bilinear: "grow",
}


def words(part) -> str:
    """The part's layers in a few words, one each."""
    return " ".join(word for layer in part for kind, word in WORDS.items() if isinstance(layer, kind))


BLOCK = " norm relu"
ORDERS = [
    (IntelMnist, {}, 3 * "conv norm leaky " + "flat fc", "fc image relu" + 3 * f"{BLOCK} up"),
    (IntelCelebA, {}, 3 * "conv norm leaky " + "flat fc", "fc image" + 3 * f"{BLOCK} up"),
    (
        *(IntelCelebA, {"decoder_form": "code"}),
        *(3 * "conv norm leaky " + "flat fc", "fc image relu" + 3 * f"{BLOCK} up"),
    ),
    (DdFashion, {}, "conv leaky " + 2 * "conv norm leaky " + "conv flat", "image" + 3 * f" up{BLOCK}" + " up"),
    (ArdMnist, {}, 4 * "conv norm relu " + "flat fc", "fc image" + 3 * f" up{BLOCK}" + " up"),
    (ArdShapes, {}, 4 * "conv relu " + "flat fc", "fc image" + 3 * " up relu" + " up"),
    (Locatello, {}, 4 * "conv relu " + "flat fc relu fc", "fc relu fc image relu" + 3 * " up relu" + " up"),
    (VscConv, {}, 4 * "conv relu " + "flat fc relu fc", "fc relu fc image relu" + 3 * " up relu" + " up"),
    (VimaeMnist, {}, 4 * "conv norm relu " + "flat fc", "fc image relu" + 2 * f" up{BLOCK}" + " up"),
    (VimaeCelebA, {}, 4 * "conv norm relu " + "flat fc", "fc image relu" + 3 * f" up{BLOCK}" + " up"),
    (VimaeMlp, {}, "flat " + 3 * "fc norm relu " + "fc", 3 * "fc relu norm " + "fc image"),
    (VimaeMlp, {"batch_norm": False}, "flat " + 3 * "fc relu " + "fc", 3 * "fc relu " + "fc image"),
    (MaskAaeMlp, {}, "flat " + 4 * "fc relu " + "fc", 4 * "fc relu " + "fc image"),
    (
        *(GecoMnist, {}, 3 * "conv relu " + "flat fc relu fc"),
        "fc relu fc relu image" + 2 * " grow conv relu" + " grow conv",
    ),
]


@pytest.mark.parametrize(("network", "fields", "encoder", "decoder"), ORDERS)
def test_layers_come_in_the_papers_order(network, fields, encoder, decoder):
    made = parts(network, fields, getattr(network, "made_for", DIGIT), 3, 2)
    assert [words(part) for part in made] == [encoder, decoder]


@pytest.mark.parametrize(
    ("network", "eps", "momentum"),
    [
        *((network, 1e-3, 0.01) for network in (IntelMnist, IntelCelebA, ArdMnist)),
        *((network, 1e-5, 0.1) for network in (DdFashion, VimaeMnist, VimaeCelebA, VimaeCifar10, VimaeMlp)),
    ],
)
def test_batch_norm_is_the_frameworks_of_the_paper(network, eps, momentum):
    norms = [
        layer
        for part in parts(network, {}, getattr(network, "made_for", DIGIT), 3, 2)
        for layer in part
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(eps, momentum)}


def test_leaky_relu_has_the_papers_slope():
    for network in (IntelMnist, IntelCelebA, DdFashion):
        encoder, _ = parts(network, {}, network.made_for, 3, 2)
        assert {layer.negative_slope for layer in encoder if isinstance(layer, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize(
    ("network", "kernels"),
    [(ArdMnist, {4}), (IntelMnist, {4}), (VimaeMnist, {4}), (VimaeCelebA, {5}), (VimaeCifar10, {5}), (GecoMnist, {3})],
)
def test_kernels_have_one_size(network, kernels):
    made = parts(network, {}, network.made_for, 3, 2)
    convolutions = [layer for part in made for layer in part if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert {size for layer in convolutions for size in layer.kernel_size} == kernels


def test_locatellos_encoder_ends_with_smaller_kernels():
    encoder, decoder = parts(Locatello, {}, COLOUR, 10, 2)
    assert [layer.kernel_size[0] for layer in encoder if isinstance(layer, nn.Conv2d)] == [4, 4, 2, 2]
    assert {layer.kernel_size for layer in decoder if isinstance(layer, nn.ConvTranspose2d)} == {(4, 4)}


@pytest.mark.parametrize(("network", "low"), [(ArdMnist, -1.0), (ArdCelebA, 0.0), (ArdCifar10, -1.0), (ArdShapes, 0.0)])
def test_ard_encoder_recentres_images_of_the_unit_interval(network, low):
    """As Table 4's code does; CelebA is in [-1, 1] already, and nothing is known of Table 5's networks."""
    shape = network.made_for
    encoder = network(latent_dim=2).encoder(shape, 2)
    seen = []
    first = next(layer for layer in encoder if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    encoder(torch.cat([torch.zeros(1, *shape), torch.ones(1, *shape)]))
    assert (seen[0][0] == low).all()
    assert (seen[0][1] == 1).all()


def test_dds_head_is_one_linear_map_of_its_last_image_per_output():
    encoder = DdFashion(latent_dim=3).encoder(PADDED, 6).double()
    head = encoder[-2]
    x = torch.rand(5, 128, 4, 4, dtype=torch.float64)
    expected = x.flatten(1) @ head.weight.flatten(1).T + head.bias
    torch.testing.assert_close(encoder[-2:](x), expected, rtol=1e-12, atol=1e-12)


def test_dd_has_biases_in_its_head_only():
    made = parts(DdFashion, {}, PADDED, 3, 2)
    layers = [layer for part in made for layer in part if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.bias is not None for layer in layers] == [False, False, False, True] + 4 * [False]


def test_gecos_upsampling_has_no_weights():
    _, decoder = parts(GecoMnist, {}, PADDED, 3, 2)
    grown = [layer for layer in decoder if isinstance(layer, Bilinear)]
    assert [count(layer) for layer in grown] == 3 * [0]


# First weights: the standard deviation as a function of fan in and fan out, per kind of layer.


def he(fan_in, _fan_out):
    return math.sqrt(2 / fan_in)


def glorot(fan_in, fan_out):
    return math.sqrt(2 / (fan_in + fan_out))


def torchs(fan_in, _fan_out):
    return 1 / math.sqrt(3 * fan_in)  # uniform within 1 / sqrt(fan in)


def constant(sd):
    return lambda _fan_in, _fan_out: sd


CUT = constant(0.01 * 0.8796)  # N(0, 0.01^2) within two standard deviations
STARTS = [  # convolutions, transposed ones, the last of them, linear layers
    (Mlp, glorot, glorot, glorot, glorot),
    (ArdMnist, he, he, glorot, glorot),
    (ArdShapes, he, he, glorot, glorot),
    (Locatello, glorot, glorot, glorot, glorot),
    (IntelMnist, glorot, glorot, glorot, glorot),
    (DdFashion, *4 * [constant(0.02)]),
    (VscConv, torchs, torchs, torchs, torchs),
    (VimaeMnist, CUT, *3 * [constant(0.01)]),
    (VimaeMlp, *4 * [constant(0.01)]),
    (GecoMnist, glorot, glorot, glorot, glorot),
    (MaskAaeMlp, glorot, glorot, glorot, glorot),
]


def expected_of(layer, last, laws):
    """The law of this layer's weights."""
    conv, transposed, final, linear = laws
    kinds = {nn.Conv2d: conv, nn.ConvTranspose2d: final if last else transposed, nn.Linear: linear}
    return next(law for kind, law in kinds.items() if isinstance(layer, kind))


@pytest.mark.parametrize(("network", "laws"), [(network, laws) for network, *laws in STARTS])
def test_first_weights_have_the_papers_spread(network, laws):
    torch.manual_seed(4)
    shape = getattr(network, "made_for", DIGIT)
    record = network(latent_dim=8)
    modules = [*record.encoder(shape, 16), *record.decoder(shape, 8, 1)]
    layers = [module for module in modules if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        area = layer.weight[0, 0].numel()
        law = expected_of(layer, layer is layers[-1], laws)
        sd = law(layer.weight.shape[1] * area, layer.weight.shape[0] * area)
        assert layer.weight.std().item() == pytest.approx(sd, rel=4 / math.sqrt(2 * layer.weight.numel()))
        assert layer.bias is None or law is torchs or not layer.bias.any()


@pytest.mark.parametrize(("network", "uniform"), [(Mlp, True), (IntelMnist, True), (MaskAaeMlp, False)])
def test_glorot_weights_are_uniform_but_for_mask_aaes_cut_normal(network, uniform):
    torch.manual_seed(7)
    encoder = network(latent_dim=8).encoder(DIGIT, 16)
    for layer in [layer for layer in encoder if hasattr(layer, "weight") and layer.weight.numel() > 1e4]:
        largest = layer.weight.abs().max() / layer.weight.std()
        assert largest < 1.8 if uniform else 2.2 < largest < 2.35  # sqrt(3), or 2 / 0.88


def test_vimaes_convolutions_are_cut_at_two_standard_deviations_and_its_other_layers_are_not():
    torch.manual_seed(6)
    record = VimaeMnist(latent_dim=2)
    encoder, decoder = record.encoder(DIGIT, 2), record.decoder(DIGIT, 2, 1)
    largest = [layer.weight.abs().max() for layer in [*encoder, *decoder] if hasattr(layer, "kernel_size")]
    cut, whole = largest[:4], largest[4:-1]
    assert max(cut) <= 0.02 < min(whole)


@pytest.mark.parametrize(
    ("network", "shape", "side"),
    [
        (ArdMnist, (1, 28, 28), 16),
        (IntelMnist, (1, 30, 28), 4),
        (DdFashion, (1, 32, 28), 8),
        (VimaeCelebA, (3, 60, 60), 8),
        (VscConv, (2,), 16),
    ],
)
def test_network_on_data_it_cannot_make_says_what_it_needs_and_what_it_got(network, shape, side):
    [(path, text)] = network(latent_dim=2).mistakes(shape)
    assert path == "name"
    assert text.startswith(f"{network(latent_dim=2).name} takes images whose height and width are multiples of {side}")
    assert str(network.made_for) in text
    assert f"the data has shape {shape}" in text


def test_geco_takes_all_images_and_nothing_else():
    assert not list(GecoMnist(latent_dim=2).mistakes((3, 13, 17)))
    [(_, text)] = GecoMnist(latent_dim=2).mistakes((2,))
    assert text.startswith("geco_mnist takes images, such as (1, 32, 32)")


def test_every_image_network_takes_its_papers_images():
    networks = [network for network, *_ in SIDES]
    assert all(issubclass(network, ImageNetwork) for network in networks)
    assert not [text for network in networks for text in network(latent_dim=2).mistakes(network.made_for)]
