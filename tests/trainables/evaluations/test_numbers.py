"""The numbers of evaluations against independent answers, from the model's own codes and images."""

import csv
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from tests.support.evaluations import (
    a_small,
    draws,
    frechet_by_eigenvalues,
    images,
    mean_codes,
    model,
    noises,
    rounded,
    values,
    zeros_and_ones,
)
from trainables.data import Mnist01
from trainables.distributions.divergences import sampled_kl
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.metrics import factor_vae, iwae, mig
from trainables.metrics.latent_mmd import latent_mmd
from trainables.noise import Noise
from trainables.relevance import measure


@torch.no_grad()
def raw_generated(training, rows):
    """The decoder's raw outputs of latents from the prior."""
    z = [training.learner.vae.prior.sample(noise) for noise in noises(rows, 0, "generated", 0)]
    return training.learner.vae.decoder(torch.cat(z))


def test_frechet_of_vectors_is_pytorch_fids_and_generated_data_have_their_noise():
    training = model("vae", "circle")
    vae = training.learner.vae
    with torch.no_grad():
        made = [
            vae.decode(vae.prior.sample(noise)).sample(noise.normal("data", 2))
            for noise in noises(1200, 0, "generated", 0)
        ]
    pair = [np.concatenate([x.double().numpy() for x in made]), images(training).double().numpy()]
    expected = calculate_frechet_distance(*[it for x in pair for it in (x.mean(0), np.cov(x, rowvar=False))])
    found = values(training, "frechet", features="pixels", generated=1200, real=500)
    assert found == {"frechet_pixels": pytest.approx(expected, rel=1e-6)}


def test_vectors_of_a_range_keep_their_digits(tmp_path):
    """Values of a thousandth of the range, which bytes would round away."""
    x = np.random.default_rng(0).uniform(-1, 1, (400, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", np.concatenate([x, x[:, :1] * 1e-3], 1))
    training = model(data={"name": "array", "path": str(tmp_path / "x.npy")})
    seen = EvaluationContext(training)
    assert training.splits.val.range == (-1.0, 1.0) and training.splits.val.shape == (4,)
    pair = [(v.double().numpy() + 1) / 2 for v in (seen.share_of_generated(300), seen.share_of(seen.rows("val", 20)))]
    expected = frechet_by_eigenvalues(*pair)
    for name, suffix in (("frechet", ""), ("frechet_intel", "_intel"), ("frechet_ard", "_ard")):
        finding = find(a_small(name, features="pixels", generated=300, real=20), seen)
        assert finding.values == {f"frechet_pixels{suffix}": pytest.approx(expected, rel=1e-6)}
        assert finding.provenance.mapping == "scaled"


def through_jpeg(x):
    rows = []
    for row in np.floor(x.numpy()[:, 0].astype(np.float64) * 255 + 1e-4).astype(np.uint8):
        stream = io.BytesIO()
        Image.fromarray(row).save(stream, "JPEG", quality=75)
        rows.append(np.asarray(Image.open(stream)).ravel() / 255)
    return np.stack(rows)


def stretched(raw):
    low, high = raw.amin((1, 2, 3), keepdim=True), raw.amax((1, 2, 3), keepdim=True)
    return rounded((raw - low) / (high - low))


@pytest.mark.parametrize(
    ("name", "suffix", "of_generated", "of_real"),
    [
        ("frechet", "", lambda raw: rounded(raw.sigmoid()), rounded),
        ("frechet_intel", "_intel", stretched, rounded),
        ("frechet_ard", "_ard", lambda raw: through_jpeg(raw.sigmoid()), through_jpeg),
    ],
)
def test_frechet_of_images_sees_what_the_protocol_makes_of_them(name, suffix, of_generated, of_real):
    training = model()
    expected = frechet_by_eigenvalues(of_generated(raw_generated(training, 700)), of_real(images(training)[:80]))
    found = values(training, name, features="pixels", generated=700, real=80)
    assert found == {f"frechet_pixels{suffix}": pytest.approx(expected, rel=1e-4)}


@pytest.mark.parametrize("likelihood", [{"name": "laplace", "linear": True}, {"name": "gaussian"}])
def test_grey_values_that_no_sigmoid_has_made_are_stretched_as_they_are(likelihood):
    training = model(likelihood=likelihood)
    if likelihood["name"] == "laplace":
        raw = raw_generated(training, 700)
    else:
        mean, log_variance = raw_generated(training, 700).chunk(2, 1)
        eps = torch.cat([noise.normal("data", 1, 8, 8) for noise in noises(700, 0, "generated", 0)])
        raw = mean.sigmoid() + (log_variance / 2).exp() * eps
    assert raw.min() < 0 and raw.max() > 1
    expected = frechet_by_eigenvalues(stretched(raw), rounded(images(training)[:80]))
    finding = find(a_small("frechet_intel", features="pixels", generated=700, real=80), EvaluationContext(training))
    assert finding.values == {"frechet_pixels_intel": pytest.approx(expected, rel=1e-4)}
    assert finding.provenance.mapping == "stretched_raw"


def test_colour_images_have_the_mappings_of_theirs(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (300, 6, 6, 3), dtype=np.uint8))
    seen = EvaluationContext(model(data={"name": "array", "path": str(tmp_path / "x.npy")}))
    mappings = {
        name: find(a_small(name, features="pixels"), seen).provenance.mapping
        for name in ("frechet", "prd", "frechet_intel", "frechet_ard")
    }
    assert mappings == {"frechet": "rounded", "prd": "rounded", "frechet_intel": "wrapped", "frechet_ard": "truncated"}


def test_more_features_than_a_covariance_can_have_are_refused(monkeypatch):
    monkeypatch.setattr("trainables.evaluations.generation.MOST_FEATURES", 63)
    finding = find(a_small("frechet", features="pixels"), EvaluationContext(model()))
    assert "64 features are too many for a covariance, 63 the most" in finding.undefined


def test_a_model_that_makes_half_of_what_is_real_is_precise_and_recalls_half(monkeypatch):
    training = model()
    val = training.splits.train
    half = val.take(val.y < 5)
    seen = EvaluationContext(training)
    monkeypatch.setattr(seen, "generated", lambda *_, **__: iter([half.batch(torch.arange(400))]))
    found = find(a_small("prd", features="pixels", split="train", generated=400, real=400), seen).values
    assert found["precision_pixels"] > 0.9 > 0.75 > found["recall_pixels"]


def test_active_counts_are_those_of_jacobians_by_hand():
    training = model("vae", dead=(1, 4))
    vae, x = training.learner.vae, images(training, "train")
    with torch.no_grad():
        noise = [Noise(0, "relevance", start, rows=slice(n), total=n) for start, n in ((0, 1000), (1000, 10))]
        z = torch.cat([vae.encode(some).draw(it).y_BD for some, it in zip(x.split(1000), noise, strict=True)])
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda z: vae.decode(z[None]).mean_BX.flatten(), row) for row in z[:100]]
    )
    second = z.double().square().mean(0)
    weights = {"": jacobian.abs().mean(0).square().sum(0), "_eq19": jacobian.square().mean(0).sum(0)}
    expected = {}
    for form, weight in weights.items():
        for kind, score in (("active", weight * second), ("active_w", weight)):
            share = (score.sort(descending=True).values.cumsum(0) / score.sum()).double()
            for label in ("95", "99", "99.9"):
                expected[f"{kind}{form}_{label}"] = 1 + int((share <= float(label) / 100).sum())
    assert values(training, "active") == expected | {"active_own": 6}
    assert 1 < expected["active_99.9"] <= 4


@pytest.mark.parametrize("example", ["geco_l0_arm_vae", "mask_aae"])
def test_the_methods_own_rule_counts_open_gates(example):
    training = model(example)
    parameter = next(training.learner.vae.mapping.parameters())
    parameter.data = torch.tensor([2.0, 0.05, 0.5, -0.1 if example[0] == "g" else 0.0, 3.0, 0.2])
    assert values(training, "active")["active_own"] == (5 if example[0] == "g" else 4)  # 1 - exp(-.05) < .1


def test_methods_without_gates_use_all_axes_and_ard_vae_those_that_it_finds_relevant():
    found = values(model("ard_vae", dead=(0, 3)), "active")
    assert found["active_own"] == found["active_99"] == 4
    assert values(model("vae", dead=(0, 3)), "active")["active_own"] == 6


def test_the_axes_of_a_flow_are_in_use_and_not_counted():
    assert values(model("sylvester_vae"), "active") == {"active_own": 6}


def test_squared_errors_are_those_of_a_loop():
    training = model("ard_vae", dead=(0, 3))
    vae, x = training.learner.vae, images(training)
    relevance = measure(vae, images(training, "train"))
    assert relevance.active().tolist() == [False, True, True, False, True, True]
    total, pruned = 0.0, 0.0
    for row in x:
        with torch.no_grad():
            z = vae.encode(row[None]).mean_BD
            total += (vae.decode(z).mean_BX - row).double().square().mean().item() / len(x)
            z[:, [0, 3]] = relevance.mean_D[[0, 3]].float()
            pruned += (vae.decode(z).mean_BX - row).double().square().mean().item() / len(x)
    found = values(training, "mse")
    assert (found["mse"], found["mse_pruned"]) == pytest.approx((total, pruned), rel=1e-6)


def test_sparsity_is_that_of_sampled_latents():
    training = model("intel_vae sparse")
    z = training.learner.vae.mapping(draws(training, 80)).detach().double().numpy()
    z = z / z.std(0)
    expected = np.mean([(math.sqrt(6) - np.abs(row).sum() / np.linalg.norm(row)) / (math.sqrt(6) - 1) for row in z])
    assert values(training, "hoyer", rows=80) == {"hoyer": pytest.approx(expected, rel=1e-6)}


@pytest.mark.parametrize("name", ["factor_vae", "mig"])
@pytest.mark.parametrize("example", ["ard_vae", "vae", "intel_vae sparse", "intel_vae sectors", "geco_l0_arm_vae"])
def test_factors_are_told_by_the_relevant_axes_of_ard_vae_and_by_all_of_others(name, example):
    training = model(example, "sprites", dead=(2, 4))
    kept = [0, 1, 3, 5] if example == "ard_vae" else slice(None)
    codes, factors = mean_codes(training, "train")[:, kept], training.splits.train.factors.values.numpy()
    score = {"factor_vae": factor_vae.factor_vae, "mig": mig.mig}[name]
    assert values(training, name) == pytest.approx(score(codes, factors), rel=1e-6)


def gaussian_rate(mean, log_variance, variance):
    return kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, variance.sqrt())).sum(1).mean().item()


@pytest.mark.parametrize("example", ["vae", "ard_vae", "geco_l0_arm_vae"])
def test_the_rate_is_the_kl_to_the_prior_of_the_evaluation_and_of_open_axes(example):
    training = model(example)
    vae = training.learner.vae
    with torch.no_grad():
        q = vae.encode(images(training))
    kept = [1, 4, 5] if example == "geco_l0_arm_vae" else slice(None)
    variance = torch.ones(6)
    if example == "ard_vae":  # the second moment of the first training rows, whatever D_z was
        variance = measure(vae, images(training, "train")).variance_D.float()
        assert (vae.prior.variance_D == 1).all()
    expected = gaussian_rate(q.mean_BD[:, kept], q.log_variance_BD[:, kept], variance[kept])
    assert values(training, "rate") == {"rate": pytest.approx(expected, rel=1e-5)}
    assert (vae.prior.variance_D == 1).all() if example == "ard_vae" else True


@pytest.mark.parametrize("codes", ["samples", "means"])
def test_ard_vaes_prior_has_the_second_moment_of_the_codes_that_its_method_holds_out(codes):
    training = model("ard_vae", method={"name": "ard_vae", "dz_codes": codes})
    vae = training.learner.vae
    if codes == "means":
        second = torch.from_numpy(mean_codes(training, "train")).double().square().mean(0).float()
    else:
        second = measure(vae, images(training, "train")).variance_D.float()
    with torch.no_grad():
        q = vae.encode(images(training))
        drawn = draws(training, 80)
    expected = gaussian_rate(q.mean_BD, q.log_variance_BD, second)
    assert values(training, "rate") == {"rate": pytest.approx(expected, rel=1e-5)}
    found = values(training, "information", rows=80)
    log_prior = Normal(0.0, second.sqrt()).log_prob(drawn).sum(1).double().mean().item()
    assert found["kl_marginal"] + found["entropy"] == pytest.approx(-log_prior, rel=1e-4)


def test_without_a_closed_form_the_rate_is_a_mean_of_64_draws():
    training = model("vamp_vae")
    with torch.no_grad():
        q = training.learner.vae.encode(images(training))
        expected = sampled_kl(q, training.learner.vae.prior, noises(90, 0, "val", "rate")[0], 64).mean().item()
    assert values(training, "rate") == {"rate": pytest.approx(expected, rel=1e-6)}


def test_deterministic_encoders_have_a_surrogate_rate_of_the_first_500_rows():
    training = model("rae")
    finding = find(a_small("rate", split="train"), EvaluationContext(training))
    assert finding.provenance.counts[0] == ("rows", 500)
    vae, kls = training.learner.vae, []
    for row in images(training, "train")[:500]:
        jacobian = torch.autograd.functional.jacobian(lambda x: vae.encode(x[None]).mean_BD[0], row).flatten(1).double()
        mean = vae.encode(row[None]).mean_BD[0].detach().double()
        covariance = 0.0088**2 * jacobian @ jacobian.T + 1e-10 * torch.eye(6)
        kls.append(0.5 * (covariance.trace() + mean @ mean - 6 - covariance.logdet()).item())
    assert finding.values == {"surrogate_rate": pytest.approx(np.mean(kls), rel=1e-6)}


@pytest.mark.parametrize("example", ["vae", "intel_vae sparse"])
def test_magnitudes_are_of_sampled_latents_by_class_and_a_class_uses_what_stands_out(example):
    training = model(example)
    training.learner.vae.encoder[-1].bias.data[:2] += 9.0  # axes that stand out
    z = training.learner.vae.mapping(draws(training, 80)).detach().double()
    digits = training.splits.val.y[:80]
    finding = find(a_small("magnitudes"), EvaluationContext(training))
    lines = list(csv.DictReader(finding.tables["magnitudes.csv"].decode().splitlines()))
    assert len(lines) == 10 * 6
    used = []
    for line in lines:
        mine = [row.abs() for row, digit in zip(z, digits, strict=True) if digit == int(line["class"])]
        mean = sum(mine) / len(mine)
        assert float(line["magnitude"]) == pytest.approx(mean[int(line["axis"])].item(), rel=1e-6)
        used.append(mean[int(line["axis"])] >= mean.max() / 5)
        assert int(line["active"]) == used[-1]
    assert finding.values == {"active_per_class": pytest.approx(100 * np.mean(used))}
    assert 0 < finding.values["active_per_class"] < 100


def gaussian_model(example, mean_sd, log_variance):
    """Posteriors N(m, s^2) on 6 axes, m a linear function of the image: as nearly Gaussian as digits are."""
    training = model(example)
    vae = training.learner.vae
    with torch.no_grad():
        vae.encoder[-1].weight[:6] *= mean_sd / vae.represent(images(training, "train")).std(0)[:, None]
        vae.encoder[-1].bias[:6] = 0
        vae.encoder[-1].weight[6:], vae.encoder[-1].bias[6:] = 0, log_variance
    return training


def test_information_is_that_of_gaussian_codes():
    """Of posteriors N(m, I e^lv): h(q(z|x)) is exact, and the others follow from the covariance of the codes."""
    training = gaussian_model("vae", mean_sd=0.5, log_variance=-2.0)
    found = values(training, "information", split="train", rows=1010)
    codes = draws(training, 1010, "train").double()
    conditional = 3 * (-2.0 + math.log(2 * math.pi * math.e))
    entropy = MultivariateNormal(codes.mean(0), codes.T.cov()).entropy().item()
    log_prior = Normal(0, 1).log_prob(codes).sum(1).mean().item()
    assert found["entropy_gaussian"] == pytest.approx(entropy, rel=1e-6)
    assert found["mutual_information_gaussian"] == pytest.approx(entropy - conditional, rel=1e-6)
    assert found["kl_marginal_gaussian"] == pytest.approx(-entropy - log_prior, rel=1e-6)
    assert found["mutual_information"] == pytest.approx(found["entropy"] - conditional, rel=1e-6)
    assert found["kl_marginal"] == pytest.approx(-found["entropy"] - log_prior, rel=1e-6)


def test_the_rate_is_the_information_and_the_distance_of_the_codes_from_the_prior():
    """E KL(q(z|x) || p) = I_q + KL(q(z) || p) (Hoffman & Johnson 2016), whatever the estimate of h(q(z))."""
    training = gaussian_model("vae", mean_sd=1.0, log_variance=-1.0)
    found = values(training, "information", split="train", rows=1010)
    rate = values(training, "rate", split="train")["rate"]
    assert found["mutual_information"] + found["kl_marginal"] == pytest.approx(rate, abs=0.15)  # log p at samples


def test_codes_that_do_not_depend_on_the_image_carry_no_information():
    training = gaussian_model("vae", mean_sd=0.0, log_variance=0.0)
    found = values(training, "information", split="train", rows=1010)
    assert found == pytest.approx(
        dict.fromkeys(found, 0) | {name: 6 * 1.4189 for name in found if "entropy" in name}, abs=0.3
    )


def test_a_deterministic_encoder_has_an_entropy_and_no_finite_information():
    finding = find(a_small("information"), EvaluationContext(model("vimae logistic")))
    assert set(finding.values) == {f"{name}{end}" for name in ("entropy", "kl_marginal") for end in ("", "_gaussian")}
    assert finding.lacking.startswith("no mutual_information") and not finding.undefined


def test_codes_with_spikes_at_zero_have_no_density():
    finding = find(a_small("information"), EvaluationContext(model("sparse_vae")))
    assert "have no density" in finding.undefined


@pytest.mark.parametrize("example", ["vae", "intel_vae sparse", "geco_l0_arm_vae"])
def test_discrepancy_is_that_of_sampled_codes_not_of_their_means_nor_of_what_is_made_of_them(example):
    """Codes of N(0, I), whatever the image, are the prior: their means, all 0, are far from it.

    What a closed gate hides is far from it too, and counts for nothing.
    """
    training = model(example)
    head, opened = training.learner.vae.encoder[-1], None
    head.weight.data.zero_(), head.bias.data.zero_()
    if example == "geco_l0_arm_vae":
        head.bias.data[2], opened = 8, torch.tensor([False, True, False, False, True, True])
    finding = find(a_small("mmd", split="train"), EvaluationContext(training))
    found = finding.values
    assert found == latent_mmd(draws(training, 1010, "train"), training.learner.vae.prior, opened_D=opened)
    assert finding.provenance.counts == (("rows", 1010), ("sample", 1000), ("draws", 10))
    assert abs(found["mmd_imq"]) < 0.02 < 0.2 < latent_mmd(torch.zeros(1010, 6), training.learner.vae.prior)["mmd_imq"]


def log_window(points, centres, width):
    square = ((points[:, None] - centres) ** 2).sum(2)
    constant = math.log(len(centres)) + points.shape[1] / 2 * math.log(2 * math.pi * width**2)
    return logsumexp(-square / (2 * width**2), axis=1) - constant


def test_windows_are_as_wide_as_training_rows_say_where_validation_rows_are_measured():
    training = model()
    generated = raw_generated(training, 120).sigmoid().flatten(1).double().numpy()
    val, train = (images(training, split)[:60].flatten(1).double().numpy() for split in ("val", "train"))
    widths = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
    forth, back = (max(widths, key=lambda w: log_window(train, c, w).mean()) for c in (generated, val))  # noqa: B023
    assert values(training, "parzen", generated=120, real=60) == pytest.approx(
        {
            "parzen_nll": -log_window(val, generated, forth).mean(),
            "parzen_width": forth,
            "parzen_reversed_nll": -log_window(generated, val, back).mean(),
        },
        rel=1e-6,
    )


def test_importance_samples_are_of_the_first_rows():
    training = model("vamp_vae")
    expected = -iwae.iwae(training.learner, training.splits.val.take(slice(30)), 3)
    assert values(training, "iwae") == {"iwae_nll": expected}


@pytest.fixture
def small_mnist01(monkeypatch):
    monkeypatch.setattr(Mnist01, "from_files", zeros_and_ones)


def test_generated_digits_are_judged_by_a_classifier_of_the_balanced_set(small_mnist01):
    training = model("vae", "mnist01")
    rows = training.splits.train
    line = LogisticRegression(max_iter=1000).fit(rows.batch(torch.arange(len(rows))).flatten(1).numpy(), rows.y)
    vae, made = training.learner.vae, []
    for draw in range(10):
        with torch.no_grad():
            made.append(vae.decode(vae.prior.sample(noises(50, 0, "generated", draw)[0])).mean_BX)
    expected = {}
    for suffix, x in (("", torch.cat(made)), ("_data", images(training, "test"))):
        ones = line.predict_proba(x.flatten(1).numpy())[:, 1]
        expected[f"uncertainty{suffix}"] = 100 * (np.maximum(ones, 1 - ones) < 0.8).mean()
        expected[f"proportion_of_ones{suffix}"] = 100 * (ones > 0.5).mean()
    assert values(training, "uncertainty") == pytest.approx(expected)
    assert expected["uncertainty"] > expected["uncertainty_data"]


def test_a_learned_proportion_needs_clusters(small_mnist01):
    found = find(a_small("proportion"), EvaluationContext(model("intel_vae learned sectors", "mnist01")))
    assert found.values == {"least_proportion": pytest.approx(1 / 3, rel=1e-4)}  # untrained: all clusters decode alike
    assert found.lacking.startswith("no proportion_of_zeros") and found.lacking.endswith("read least_proportion.")
    assert not found.undefined
    finding = find(a_small("proportion"), EvaluationContext(model("vae", "mnist01")))
    assert "the model has no clusters" in finding.undefined


def test_making_a_prior_takes_time_and_leaves_the_model_as_it_is():
    training = model("ard_vae")
    before = {name: value.clone() for name, value in training.learner.state_dict().items()}
    found = values(training, "dz_time")
    assert 0 < found["dz_seconds_min"] <= found["dz_seconds"] < 10 and found["dz_rows"] == 1010
    assert all((before[name] == value).all() for name, value in training.learner.state_dict().items())
    assert not training.learner.training


def test_traversals_are_pictures_around_the_first_code_and_the_mean_code():
    training = model("intel_vae hierarchical", dead=(5,))
    finding = find(a_small("traversals"), EvaluationContext(training))
    assert set(finding.pictures) == {"traversals_first.png", "traversals_mean.png", "levels_first.png"}
    sheets = {name: np.asarray(Image.open(io.BytesIO(png))) for name, png in finding.pictures.items()}
    side, pad = 32, 2  # 8 pixels are shown as 32
    assert sheets["traversals_first.png"].shape[:2] == (6 * (side + pad) + pad, 10 * (side + pad) + pad)
    assert sheets["levels_first.png"].shape[:2] == (2 * (side + pad) + pad, 10 * (side + pad) + pad)
    assert (sheets["traversals_first.png"] != sheets["traversals_mean.png"]).any()
