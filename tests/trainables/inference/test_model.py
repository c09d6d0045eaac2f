"""A model in use gives what the trained model gives, without its data, whatever the method."""

from functools import cache

import numpy as np
import pytest
import torch

from tests.support.small_runs import METHODS, a_run
from trainables import checkpoint
from trainables.common.errors import CheckpointError, UsageError
from trainables.evaluations.context import EvaluationContext
from trainables.inference import building, fitted
from trainables.inference.fitted import Fitted
from trainables.inference.model import Model, Origin, needs_data
from trainables.noise import Noise
from trainables.train import Report, train

FOLDERS = {}


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory):
    FOLDERS["all"] = tmp_path_factory.mktemp("models")


@cache
def trained(name: str) -> Report:
    """The last report of a small run; its checkpoint and what was fitted lie in a folder of its own."""
    folder = FOLDERS["all"] / name.replace(" ", "_")
    *_, report = train(a_run(name))
    report.save_model(folder / "best.pt")
    fitted.keep(folder / "fitted.pt", report.training, folder / "best.pt")
    return report


def no_form():
    raise AssertionError("the checkpoint holds the form of its data")


@cache
def loaded(name: str) -> Model:
    """The model of that run from its files alone."""
    trained(name)
    folder = FOLDERS["all"] / name.replace(" ", "_")
    learner, epoch = building.load(folder / "best.pt", a_run(name), no_form)
    return Model(learner, a_run(name), lambda: fitted.read(folder / "fitted.pt", "best", epoch), Origin(name, epoch))


def rows_of(name: str, count: int = 20) -> torch.Tensor:
    return trained(name).training.splits.val.batch(torch.arange(count))


@pytest.mark.parametrize("name", METHODS)
def test_a_model_without_data_encodes_and_decodes_as_the_trained_one(name):
    vae, model, x_BX = trained(name).training.learner.eval().vae, loaded(name), rows_of(name)
    with torch.no_grad():
        q, z_BL = vae.encode(x_BX), vae.represent(x_BX)
        decoded_BX = vae.decode(z_BL).mean_BX
    code = model.encode(x_BX)
    assert torch.equal(code.mean, q.mean_BD)
    assert q.variance_BD is None and code.variance is None or torch.equal(code.variance, q.variance_BD)
    assert torch.equal(model.represent(x_BX), z_BL)
    assert torch.equal(model.decode(z_BL), decoded_BX) and torch.equal(model.reconstruct(x_BX), decoded_BX)


@pytest.mark.parametrize("name", METHODS)
def test_its_samples_are_those_that_evaluations_count_and_do_not_depend_on_their_number(name):
    model, seen = loaded(name), EvaluationContext(trained(name).training)
    expected = next(iter(seen.generated(7, 0)))
    torch.testing.assert_close(torch.from_numpy(model.sample(7)), expected, rtol=1e-5, atol=1e-5)
    assert np.allclose(model.sample(503)[:7], model.sample(7), atol=1e-5) and len(model.sample(503)) == 503
    assert not np.array_equal(model.sample(7, seed=1), model.sample(7))


@pytest.mark.parametrize("name", METHODS)
def test_evaluations_of_another_seed_count_its_samples_unless_a_sampler_is_fitted(name):
    expected = next(iter(EvaluationContext(trained(name).training).generated(7, 3)))
    same = np.allclose(loaded(name).sample(7, seed=3), expected.numpy(), atol=1e-5)
    assert same == (a_run(name).method.name not in ("rae", "ard_vae"))


@pytest.mark.parametrize("name", METHODS)
def test_the_relevance_that_is_kept_is_that_of_the_training_rows(name):
    expected = EvaluationContext(trained(name).training).relevance()
    kept = loaded(name).fitted
    pairs = [(kept.score_D, expected.score_D), (kept.mean_D, expected.mean_D), (kept.second_D, expected.variance_D)]
    for mine, theirs in pairs:  # sums of float32 numbers, whose order may differ
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("vae", lambda q: q.log_variance_BD.exp()), ("dd_vae", lambda q: q.log_variance_BD.exp()), ("rae", lambda q: 0.0)],
)
def test_variances_are_those_of_the_posterior(name, variance):
    x_BX = rows_of(name)
    with torch.no_grad():
        expected = torch.as_tensor(variance(trained(name).training.learner.vae.encode(x_BX)))
    assert torch.equal(loaded(name).encode(x_BX).variance, expected.expand(20, 6))


def test_the_variance_of_spike_and_slab_matches_draws_with_hard_gates():
    x_BX = rows_of("sparse_vae", 3)
    with torch.no_grad():
        q = trained("sparse_vae").training.learner.vae.encode(x_BX)
    generator = torch.Generator().manual_seed(0)
    gate = torch.rand(200_000, 3, 6, generator=generator) < q.gate_BD
    slab = q.slab_BD + (0.5 * q.log_variance_BD).exp() * torch.randn(200_000, 3, 6, generator=generator)
    drawn = (gate * slab).double().var(0)
    assert torch.allclose(q.variance_BD.double(), drawn, rtol=0.03, atol=1e-4)


def test_numpy_gives_numpy_and_torch_gives_torch():
    model, x_BX = loaded("vae"), rows_of("vae")
    assert isinstance(model.encode(x_BX).mean, torch.Tensor) and isinstance(model.encode(x_BX.numpy()).mean, np.ndarray)
    assert np.array_equal(model.represent(x_BX.numpy()), model.represent(x_BX).numpy())
    assert model.decode(np.zeros((2, 6))).dtype == np.float32
    assert not model.encode(x_BX.requires_grad_()).mean.requires_grad


@pytest.mark.filterwarnings("error")
def test_arrays_of_other_kinds_of_floats_are_taken_as_they_are():
    model, x = loaded("vae"), rows_of("vae").numpy()
    read_only, expected = x.copy(), model.represent(x)
    read_only.setflags(write=False)
    for kind in (">f4", np.float64, np.longdouble):
        assert np.array_equal(model.represent(x.astype(kind)), expected)
    assert np.array_equal(model.represent(read_only), expected)
    assert np.array_equal(model.represent(x[::-1]), expected[::-1])


def test_bytes_are_scaled_as_in_training():
    grey = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(loaded("vae").represent(grey), loaded("vae").represent(grey / 255))


def test_a_traversal_moves_one_axis_from_its_mean_and_leaves_the_others_there():
    model = loaded("vae")
    fitted_rows, decoded = model.fitted, model.traverse(2, steps=5, sds=2.0)
    z = fitted_rows.mean_D.float().repeat(5, 1)
    z[:, 2] = fitted_rows.mean_D[2] + torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]) * fitted_rows.sd_D[2]
    assert np.allclose(decoded, model.decode(z.numpy()), atol=1e-6)
    at = model.represent(rows_of("vae", 1))[0]
    along = model.traverse(2, steps=1, sds=0.0, at=at)
    moved = at.clone()
    moved[2] = fitted_rows.mean_D[2]
    assert isinstance(along, torch.Tensor) and torch.allclose(along[0], model.decode(moved[None])[0], atol=1e-6)
    assert np.allclose(model.traverse(2, steps=1, sds=0.0, at=at.tolist()), along.numpy())


def test_the_spread_of_codes_is_their_standard_deviation():
    kept = loaded("vae").fitted
    train_rows = trained("vae").training.splits.train
    q = loaded("vae").encode(train_rows.batch(torch.arange(300)))
    total = q.mean.double().var(0, correction=0) + q.variance.double().mean(0)
    assert torch.allclose(kept.sd_D, total.sqrt(), rtol=0.1)  # of one sample of each of 300 rows


@pytest.mark.parametrize("name", ["intel_vae sectors", "intel_vae hierarchical", "rae", "sparse_vae"])
def test_the_spread_of_mapped_latents_is_about_their_own_mean(name):
    """Not about the mean of the representations, from which the mean of g(y) differs."""
    vae, train_rows = trained(name).training.learner.vae.eval(), trained(name).training.splits.train
    x_BX = train_rows.batch(torch.arange(len(train_rows)))
    with torch.no_grad():
        noise = Noise(0, "relevance", 0, rows=slice(len(x_BX)), total=len(x_BX))
        z_BL = vae.mapping(vae.encode(x_BX).draw(noise).y_BD).double()
    kept = loaded(name).fitted
    np.testing.assert_allclose(loaded(name).relevance.sd, z_BL.numpy().std(0), rtol=1e-4)
    np.testing.assert_allclose(kept.sample_D, z_BL.mean(0), rtol=1e-4, atol=1e-6)
    assert torch.equal(fitted.chosen(kept, torch.tensor([4, 1])).sd_D, kept.sd_D[[4, 1]])


def test_what_earlier_versions_kept_is_read(tmp_path):
    """They did not keep the mean of sampled latents; their spread is about that of representations."""
    before = {name: value for name, value in vars(loaded("rae").fitted).items() if name != "sample_D"}
    checkpoint.save(tmp_path / "fitted.pt", {"best": before})
    kept = fitted.read(tmp_path / "fitted.pt", "best", before["epoch"])
    assert torch.equal(kept.score_D, before["score_D"]) and kept.sample_D is None
    torch.testing.assert_close(kept.sd_D, loaded("rae").fitted.sd_D, rtol=1e-6, atol=0)  # a sample is the mean
    again = fitted.from_state(fitted.state(kept), kept.epoch, kept.collapsed, kept.unfit)
    assert again.sample_D is None and torch.equal(again.second_D, kept.second_D)


CASES = {
    "another shape": (lambda m: m.encode(np.zeros((3, 5))), r"shape \(3, 5\) does not fit.*\(rows, 1, 8, 8\)"),
    "a single row": (lambda m: m.encode(np.zeros((1, 8, 8))), r"pass x\[None\]"),
    "out of range": (lambda m: m.encode(np.full((3, 1, 8, 8), 9.0)), r"values lie in \[9, 9\].*in \[0, 1\]"),
    "not finite": (lambda m: m.reconstruct(np.full((3, 1, 8, 8), np.nan)), "not finite"),
    "text": (lambda m: m.encode(np.array([["a"]])), "no type of numbers"),
    "booleans": (lambda m: m.represent(np.zeros((3, 1, 8, 8), bool)), "pass floats"),
    "complex numbers": (lambda m: m.decode(np.zeros((3, 6), complex)), "pass floats"),
    "too few axes": (lambda m: m.decode(np.zeros((3, 5))), r"latents: shape \(3, 5\) does not fit.*\(rows, 6\)"),
    "no such axis": (lambda m: m.traverse(6), "axis 6: this model has the axes 0 to 5"),
    "a negative axis": (lambda m: m.traverse(-1), "axis -1"),
    "no steps": (lambda m: m.traverse(0, steps=0), "0 steps"),
    "a word for a distance": (lambda m: m.traverse(0, sds="far"), "far deviations"),
    "more steps than memory": (lambda m: m.traverse(0, steps=10**12), "traverse: 1,000,000,000,000 rows: takes"),
    "no samples": (lambda m: m.sample(0), "0 rows"),
    "half a sample": (lambda m: m.sample(2.5), "2.5 is no whole number"),
    "an axis by its name": (lambda m: m.traverse("1"), "'1' is no whole number"),
    "no distance": (lambda m: m.traverse(0, sds=float("nan")), "nan deviations"),
    "a sparse tensor": (lambda m: m.encode(torch.zeros(3, 1, 8, 8).to_sparse()), "pass a dense one"),
    "no values": (lambda m: m.encode(torch.zeros(3, 1, 8, 8, device="meta")), "pass a dense one"),
    "no such device": (lambda m: m.to("nowhere"), "nowhere: is no device"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_model_cannot_take_is_told_in_one_line(case):
    act, words = CASES[case]
    with pytest.raises(UsageError, match=words) as told:
        act(loaded("vae"))
    assert "\n" not in str(told.value)


def test_an_empty_array_gives_empty_results():
    assert loaded("vae").encode(np.zeros((0, 1, 8, 8), np.float32)).mean.shape == (0, 6)


def test_a_flow_has_no_axes_to_tell_apart():
    with pytest.raises(UsageError, match="sylvester_vae mixes latent axes"):
        _ = loaded("sylvester_vae").active


def test_only_methods_that_fit_their_sampler_need_what_was_kept():
    absent = Model(loaded("vae").module, a_run("vae"), lambda: pytest.fail("was asked"), Origin("x", 2))
    assert absent.sample(2).shape == (2, 1, 8, 8)
    assert [needs_data(a_run(name).method) for name in ("vae", "vamp_vae", "ard_vae", "rae")] == [0, 0, 1, 1]


def test_a_sampler_that_could_not_be_fitted_says_why():
    kept = Fitted(**vars(loaded("rae").fitted) | {"unfit": "codes are not finite.", "sampler": {}})
    model = Model(loaded("rae").module, a_run("rae"), lambda: kept, Origin("x", 2))
    with pytest.raises(UsageError, match="cannot generate: codes are not finite"):
        model.sample(2)


def test_what_was_kept_of_another_epoch_is_not_taken(tmp_path):
    trained("vae")
    file = FOLDERS["all"] / "vae" / "fitted.pt"
    assert fitted.read(file, "best", 2) is not None
    assert fitted.read(file, "best", 1) is None and fitted.read(tmp_path / "none.pt", "best", 2) is None


def test_the_best_epoch_has_its_own_statistics(tmp_path):
    first, last = None, None
    for report in train(a_run("vae")):
        if first is None:
            report.save_model(tmp_path / "best.pt")
            first = fitted.fit(report.training.learner, report.training.splits.train, 1)
        last = report
    fitted.keep(tmp_path / "fitted.pt", last.training, tmp_path / "best.pt")
    best = fitted.read(tmp_path / "fitted.pt", "best", 1)
    assert torch.equal(best.score_D, first.score_D)
    assert not torch.equal(best.score_D, fitted.read(tmp_path / "fitted.pt", "last", 2).score_D)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    trained("vae").save_model(tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match="of another run"):
        building.load(tmp_path / "best.pt", a_run("vae", seed=1), no_form)
