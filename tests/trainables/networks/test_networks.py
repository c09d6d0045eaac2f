"""Networks: what each of the table must do, and the fully connected one."""

import json
import subprocess
import sys

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from tests.support import ROOT
from trainables.common.records import choice, name_of
from trainables.networks import NETWORKS
from trainables.networks.batch_norm import OverWorkers
from trainables.networks.intel import IntelCelebA
from trainables.networks.mlp import Mlp
from trainables.networks.network import ImageNetwork
from trainables.networks.vimae import VimaeMlp

every_network = pytest.mark.parametrize("network", NETWORKS, ids=name_of)


def shape_for(network: type) -> tuple[int, ...]:
    """The smallest images that all image networks can make; for the others points of the plane."""
    return (network.made_for[0], 16, 16) if issubclass(network, ImageNetwork) else (2,)


def made(network, seed, multiple=1):
    """Encoder with 6 outputs and decoder, for a latent space of 3 dimensions."""
    torch.manual_seed(seed)
    record, shape = network(latent_dim=3), shape_for(network)
    return record.encoder(shape, 6), record.decoder(shape, 3, multiple)


@pytest.fixture(scope="module", params=NETWORKS, ids=name_of)
def parts(request):
    """(network, encoder, decoder), made once for all tests: some have 17 million weights."""
    encoder, decoder = made(request.param, seed=0)
    return request.param, encoder, decoder


def weights_of(*modules):
    return [parameter for module in modules for parameter in module.parameters()]


@every_network
@pytest.mark.parametrize("multiple", [1, 2])
def test_outputs_fit_the_data(network, multiple):
    channels, *size = shape_for(network)
    with torch.device("meta"):
        encoder, decoder = made(network, 0, multiple)
        assert encoder(torch.zeros(2, channels, *size)).shape == (2, 6)
        assert decoder(torch.zeros(2, 3)).shape == (2, channels * multiple, *size)
    assert not list(network(latent_dim=3).mistakes((channels, *size)))


def test_a_network_says_whether_it_has_batch_norm(parts):
    network, encoder, decoder = parts
    normalising = [any(isinstance(layer, OverWorkers) for layer in part.modules()) for part in (encoder, decoder)]
    assert normalising == [network(latent_dim=3).normalised] * 2


def test_vimaes_mlp_has_batch_norm_where_it_is_asked_for():
    assert [VimaeMlp(latent_dim=3, hidden=(4,), batch_norm=on).normalised for on in (True, False)] == [True, False]


@pytest.mark.parametrize("rows", [1, 3])
def test_every_weight_gets_a_gradient(parts, rows):
    """A batch of one row is what an epoch may end with. Its batch norm then passes no gradient."""
    network, encoder, decoder = parts
    weights = weights_of(encoder.train(), decoder.train())
    codes, decoded = encoder(torch.rand(rows, *shape_for(network))), decoder(torch.randn(rows, 3))
    gradients = torch.autograd.grad(codes.square().sum() + decoded.square().sum(), weights)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert rows == 1 or all(gradient.any() for gradient in gradients if gradient.ndim > 1)  # a bias's ReLU may be dead


def test_all_first_weights_follow_the_seed(parts):
    """Those of ARD-VAE's convolutions too, which its code starts alike in all runs."""
    network, *modules = parts
    pairs = zip(weights_of(*modules), weights_of(*made(network, seed=1)), strict=True)
    assert not [one.shape for one, other in pairs if one.ndim > 1 and torch.equal(one, other)]


def test_decoder_ends_without_sigmoid_or_tanh(parts):
    """What it makes grows with its last layer, by a power of two exactly."""
    decoder, z_BD = parts[-1].eval(), torch.randn(2, 3)
    last = f"{len(decoder) - 1 - isinstance(decoder[-1], nn.Unflatten)}."
    larger = {name: 1024 * value for name, value in decoder.named_parameters() if name.startswith(last)}
    assert larger
    torch.testing.assert_close(torch.func.functional_call(decoder, larger, z_BD), 1024 * decoder(z_BD))


def test_decoder_in_eval_mode_can_be_differentiated_forwards_row_by_row(parts):
    decoder = parts[-1].eval()
    z_BD = torch.randn(2, 3)
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda z: decoder(z[None])[0]))(z_BD)
    backward = torch.autograd.functional.jacobian(lambda z: decoder(z).flatten(1).sum(1), z_BD)
    summed = jacobian.flatten(1, -2).sum(1)
    torch.testing.assert_close(summed, torch.stack([backward[i, i] for i in range(2)]), rtol=1e-3, atol=1e-3)


@every_network
def test_network_survives_a_trip_through_a_file(network):
    table = TypeAdapter(choice(NETWORKS))
    record = network(latent_dim=7)
    assert table.validate_python(json.loads(record.model_dump_json())) == record


@every_network
def test_network_says_where_it_comes_from(network):
    assert network.source
    assert network.__doc__


def test_names_in_the_table_are_distinct():
    names = [name_of(network) for network in NETWORKS]
    assert len(set(names)) == len(names)


def test_networks_are_read_and_checked_without_torch():
    code = (
        "import sys; from trainables.networks import NETWORKS;"
        "print([list(network(latent_dim=2).mistakes((1, 2, 3))) for network in NETWORKS], 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert (
        said.count("takes images") == sum(issubclass(network, ImageNetwork) for network in NETWORKS) - 1
    )  # GECO's takes any
    assert said.strip().endswith("False")


def test_unknown_form_of_a_decoder_is_refused():
    with pytest.raises(ValidationError, match="decoder_form"):
        IntelCelebA(latent_dim=2, decoder_form="paper")


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
