"""RAE: its loss by hand, the gradient penalty by finite differences, spectral norms by SVD, and the ex-post mixture."""

# Shapes: N rows of the data, B rows, L latent dimensions.

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.small_runs import a_run
from trainables.methods.modules.ex_post import Mixture, encodings, fit
from trainables.methods.modules.smoothness import decoder_weights, gradient_penalty, normalise
from trainables.methods.rae import RAE
from trainables.noise import Noise
from trainables.train import Training, train

IMAGES = {"name": "ard_mnist", "latent_dim": 3}


pytestmark = pytest.mark.usefixtures("float64")


def training_of(regulariser, **changes):
    return Training(a_run(method={"name": "rae", "regulariser": regulariser}, **changes))


def first_batch(training):
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    return x, noise


# The loss


def test_loss_is_a_mean_over_pixels_and_latents_and_a_sum_over_weights():
    training = training_of({"name": "l2", "weight": 0.01})
    x, noise = first_batch(training)
    vae = training.learner.vae
    loss = sum(weight * value.mean() for weight, value in training.learner(x, noise).values()).item()
    z = vae.encoder(x)
    decoded = vae.decoder(z).sigmoid()
    weights = sum((layer.weight**2).sum() for layer in vae.decoder if isinstance(layer, nn.Linear))
    by_hand = ((x - decoded) ** 2).mean() + 1e-4 * (z**2).mean() + 0.01 * weights
    assert loss == pytest.approx(by_hand.item(), rel=1e-12)


def test_defaults_are_the_official_ones():
    assert RAE().model_dump(include={"beta", "regulariser"}) == {
        "beta": 1e-4,
        "regulariser": {"name": "l2", "weight": 1e-7, "dense": False},
    }
    assert RAE.model_validate({"regulariser": {"name": "gp"}}).regulariser.weight == 0.5e-7


def test_l2_is_on_the_transposed_kernels_alone_unless_linear_layers_are_asked_for():
    dense, conv, up = nn.Linear(2, 8), nn.Conv2d(2, 2, 1), nn.ConvTranspose2d(2, 1, 2)
    decoder = nn.Sequential(dense, nn.Unflatten(1, (2, 2, 2)), conv, nn.BatchNorm2d(2), up)
    assert decoder_weights(decoder, dense=False) == [up.weight]
    assert decoder_weights(decoder, dense=True) == [up.weight, dense.weight]


def test_l2_of_a_decoder_without_transposed_convolutions_is_on_its_linear_layers():
    decoder = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    assert decoder_weights(decoder, dense=False) == [decoder[0].weight, decoder[2].weight]


# The gradient penalty


def by_differences(vae, z, step=1e-6):
    """Mean over latent dimensions of the squared slope of sum x_hat^2, by central differences."""
    slopes = []
    for axis in torch.eye(z.shape[1]):
        up, down = (vae.decode(z + sign * step * axis).mean_BX.square().flatten(1).sum(1) for sign in (1, -1))
        slopes.append((up - down) / (2 * step))
    return torch.stack(slopes, 1).square().mean(1)


def test_gradient_penalty_matches_finite_differences():
    training = training_of({"name": "gp"})
    vae, (x, noise) = training.learner.vae, first_batch(training)
    seen = vae(x, noise)
    with torch.no_grad():
        expected = by_differences(vae, seen.z_BL)
    torch.testing.assert_close(gradient_penalty(seen).detach(), expected, rtol=1e-6, atol=1e-9)


def test_gradient_penalty_of_validation_is_that_of_training():
    training = training_of({"name": "gp"})
    vae, batch = training.learner.vae.eval(), first_batch(training)
    trained = gradient_penalty(vae(*batch))
    with torch.no_grad():
        validated = gradient_penalty(vae(*batch))
    assert trained.requires_grad and not validated.requires_grad
    torch.testing.assert_close(validated, trained.detach(), rtol=1e-12, atol=0)


def test_gradient_of_the_gradient_penalty_matches_finite_differences():
    training = training_of({"name": "gp"})
    vae, (x, noise) = training.learner.vae, first_batch(training)
    for weight in (vae.encoder[-1].weight, vae.decoder[-2].weight):
        (slope,) = torch.autograd.grad(gradient_penalty(vae(x, noise)).sum(), weight)
        values = []
        for shift in (1e-5, -2e-5):
            weight.data[0, 1] += shift
            values.append(gradient_penalty(vae(x, noise)).sum().item())
        weight.data[0, 1] += 1e-5
        assert slope[0, 1].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_gradient_penalty_passes_batch_norm_once(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (44, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    data = {"name": "array", "path": str(tmp_path / "x.npy")}
    training = training_of({"name": "gp"}, network=IMAGES, data=data, batch_size=8)
    x, noise, _ = next(training.batches(torch.arange(8), "train"))
    training.learner(x, noise)
    counts = {int(value) for name, value in training.learner.state_dict().items() if name.endswith("batches_tracked")}
    assert counts == {1}


# Spectral normalisation


def largest_singular_value(layer):
    """Of its weight, outputs by all else, once many training steps have refined the estimate."""
    for _ in range(3000):
        weight = layer.train().weight
    outputs_first = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return torch.linalg.svdvals(outputs_first.flatten(1))[0].item()


def test_spectral_norm_of_the_encoder_and_of_the_decoder_becomes_one():
    vae = training_of({"name": "sn"}).learner.vae
    layers = [layer for layer in vae.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 4
    assert [largest_singular_value(layer) for layer in layers] == pytest.approx([1.0] * 4, abs=1e-6)


def test_spectral_norm_of_convolutions_becomes_one():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 2))
    normalise(model)
    assert largest_singular_value(model[0]) == pytest.approx(1, abs=1e-6)
    assert largest_singular_value(model[2]) == pytest.approx(1, abs=1e-6)
    assert (model[1].weight == 1).all()


def test_power_iterations_state_is_in_the_checkpoint_and_moves_in_training_only():
    training = training_of({"name": "sn"})
    vae, batch = training.learner.vae, first_batch(training)
    names = [name for name in training.learner.state_dict() if name.endswith("._u")]
    assert len(names) == 4

    def state():
        return [training.learner.state_dict()[name].clone() for name in names]

    before = state()
    vae.eval()(*batch)
    assert all(torch.equal(one, other) for one, other in zip(before, state(), strict=True))
    vae.train()(*batch)
    assert not all(torch.equal(one, other) for one, other in zip(before, state(), strict=True))


# The mixture


def two_clusters():
    g = torch.Generator().manual_seed(0)
    root = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    near = torch.randn(3000, 2, generator=g) @ root.T
    far = 0.2 * torch.randn(1000, 2, generator=g) + torch.tensor([9.0, -4.0])
    return torch.cat([near, far])


def noise(rows):
    return Noise(0, rows=slice(rows), total=rows)


def fitted(components, seed):
    return Mixture.of(fit(two_clusters(), components, seed), like=two_clusters())


def test_fitted_mixture_has_the_mean_and_covariance_of_the_codes():
    """Exactly so, whatever EM has found: each of its steps keeps the first two moments (less sklearn's ridge 1e-6)."""
    z, mixture = two_clusters(), fitted(3, seed=0)
    mean = mixture.weight_K @ mixture.mean_KL
    spread = mixture.mean_KL - mean
    within = mixture.root_KLL @ mixture.root_KLL.transpose(1, 2)
    covariance = (mixture.weight_K[:, None, None] * (within + spread[:, :, None] * spread[:, None])).sum(0)
    torch.testing.assert_close(mean, z.mean(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(covariance, z.T.cov(correction=0) + 1e-6 * torch.eye(2), rtol=1e-9, atol=1e-9)


def test_fitted_mixture_finds_the_clusters():
    mixture = fitted(2, seed=3)
    far = int(mixture.mean_KL[:, 0].argmax())
    assert mixture.weight_K[far].item() == pytest.approx(0.25, abs=1e-3)
    assert mixture.mean_KL[far].tolist() == pytest.approx([9.0, -4.0], abs=0.03)
    near = mixture.root_KLL[1 - far]
    torch.testing.assert_close(near @ near.T, torch.tensor([[1.0, 0.8], [0.8, 0.73]]), rtol=0, atol=0.06)


def test_samples_have_the_moments_of_the_mixture():
    roots = torch.tensor([[[1.0, 0.0], [2.0, 0.5]], [[0.1, 0.0], [0.0, 0.1]]])
    mixture = Mixture(torch.tensor([0.3, 0.7]), torch.tensor([[0.0, 0.0], [50.0, 0.0]]), roots)
    z = mixture.sample(noise(100_000))
    first = z[z[:, 0] < 25]
    assert len(first) / len(z) == pytest.approx(0.3, abs=4.5 * (0.21 / len(z)) ** 0.5)
    torch.testing.assert_close(first.T.cov(), roots[0] @ roots[0].T, rtol=0, atol=0.1)
    torch.testing.assert_close(z[z[:, 0] > 25].mean(0), torch.tensor([50.0, 0.0]), rtol=0, atol=0.003)


def test_a_samples_row_does_not_depend_on_who_draws_it():
    mixture = fitted(3, seed=0)
    shares = [mixture.sample(Noise(0, rows=slice(*rows), total=9)) for rows in ((0, 4), (4, 4), (4, 9))]
    assert torch.equal(torch.cat(shares), mixture.sample(noise(9)))


def test_the_models_sampler_draws_from_the_density_of_its_codes():
    *_, report = train(a_run("rae", epochs=4, optimizer={"lr": 0.01}))
    vae, rows = report.training.learner.vae, report.training.splits.train
    sample = report.training.run.method.sampler(vae, rows, 0)
    codes, drawn = encodings(vae, rows), sample(noise(50_000))
    assert drawn.shape == (50_000, 6) and not drawn.requires_grad
    scale = codes.std(0)
    torch.testing.assert_close(drawn.mean(0) / scale, codes.mean(0) / scale, rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std(0) / scale, torch.ones(6), rtol=0, atol=0.03)
    with torch.no_grad():
        torch.testing.assert_close(codes, vae.represent(rows.batch(torch.arange(300)).to(torch.float64)))


def test_more_gaussians_than_rows_are_a_mistake():
    ((path, text),) = RAE(components=11).mistakes(6, 10)
    assert path == "components" and "10 training rows" in text
    assert list(RAE().mistakes(6, 10)) == []
