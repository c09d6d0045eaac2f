"""The loop: resume, divergence, schedules, what an epoch trains on."""

import json
import math
import random

import numpy as np
import pytest
import torch

from tests.support.small_runs import CONVOLUTIONAL, a_run
from trainables import checkpoint
from trainables.common.errors import CheckpointError, Diverged
from trainables.data.sampling import plan
from trainables.tally import Tally
from trainables.terms import sums_of
from trainables.train import Training, reopen, train


def last(run, **options):
    *_, report = train(run, **options)
    return report


def weights(report):
    return {name: value.clone() for name, value in report.training.learner.state_dict().items()}


def test_the_same_run_gives_the_same_numbers_twice():
    torch.manual_seed(1)
    first = last(a_run())
    torch.manual_seed(2)
    assert last(a_run()).metrics == first.metrics


def test_another_seed_gives_other_numbers():
    assert last(a_run(seed=1)).metrics["val/elbo"] != last(a_run()).metrics["val/elbo"]


def test_training_leaves_the_global_generator_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    last(a_run(epochs=1))
    assert (torch.rand(3) == expected).all()


def test_loss_falls_on_digits():
    reports = [report.metrics["train/loss"] for report in train(a_run(epochs=8, optimizer={"lr": 0.01}))]
    assert reports[-1] < 0.5 * reports[0]


def test_reports_count_epochs_and_rows():
    reports = [(report.epoch, report.images, report.training.step) for report in train(a_run("ard_vae"))]
    assert reports == [(1, 199, 7), (2, 398, 14)]


def test_plain_run_reports_the_metrics_that_it_promises():
    run = a_run("ard_vae")
    assert set(run.metric_names()) == set(last(run).metrics)


def test_train_loss_is_the_weighted_sum_of_its_terms():
    metrics = last(a_run("beta_vae")).metrics
    assert metrics["train/loss"] == pytest.approx(metrics["train/nll"] + 0.3 * metrics["train/kl"], rel=1e-6)
    assert metrics["val/loss"] == pytest.approx(metrics["val/nll"] + 0.3 * metrics["val/kl"], rel=1e-6)
    assert metrics["val/elbo"] == pytest.approx(-(metrics["val/nll"] + metrics["val/kl"]), rel=1e-12)


def test_resume_equals_unbroken_bit_for_bit(tmp_path):
    run = a_run("ard_vae", epochs=4, kl_warmup_epochs=3.0, optimizer={"plateau": {"patience": 1}, "clip_norm": 1.0})
    unbroken = last(run)
    for report in train(run):
        if report.epoch == 2:
            report.save(tmp_path / "checkpoint.pt")
            break
    resumed = last(run, resume=tmp_path / "checkpoint.pt")
    assert resumed.metrics == unbroken.metrics
    assert resumed.images == unbroken.images
    theirs = weights(unbroken)
    assert all((value == theirs[name]).all() for name, value in weights(resumed).items())


CIRCLE = {"data": {"name": "circle", "train_rows": 120, "val_rows": 60}}  # has a warm-up by default


@pytest.mark.parametrize(
    "changes",
    [CIRCLE, CIRCLE | {"kl_warmup_epochs": 3.0}, {"optimizer": {"plateau": {"patience": 1}, "schedule": [[3, 0.5]]}}],
    ids=["default warm-up", "own warm-up", "learning rates"],
)
def test_a_finished_run_that_is_made_longer_goes_on_bit_for_bit(tmp_path, changes):
    short = a_run(epochs=2, **changes)
    longer = short.longer(4)
    assert (longer.epochs, longer.warmup_epochs) == (4, short.warmup_epochs)
    finished = last(short)
    finished.save(tmp_path / "checkpoint.pt")
    unbroken = list(train(longer))
    assert unbroken[1].metrics == finished.metrics
    resumed = last(longer, resume=tmp_path / "checkpoint.pt")
    assert resumed.metrics == unbroken[-1].metrics
    theirs = weights(unbroken[-1])
    assert all((value == theirs[name]).all() for name, value in weights(resumed).items())


def test_a_checkpoint_of_a_run_with_another_warm_up_or_of_a_longer_one_is_refused(tmp_path):
    last(a_run(epochs=2, **CIRCLE)).save(tmp_path / "checkpoint.pt")
    for other in (a_run(epochs=4, **CIRCLE), a_run(epochs=1, **CIRCLE)):
        with pytest.raises(CheckpointError, match="another run"):
            next(train(other, resume=tmp_path / "checkpoint.pt"))


def test_resume_of_a_finished_run_yields_nothing(tmp_path):
    last(a_run()).save(tmp_path / "checkpoint.pt")
    assert list(train(a_run(), resume=tmp_path / "checkpoint.pt")) == []


def test_checkpoint_of_another_run_is_refused(tmp_path):
    last(a_run()).save(tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="another run"):
        next(train(a_run(seed=1), resume=tmp_path / "checkpoint.pt"))


def with_run(path, change):
    """The checkpoint rewritten as if its run had been noted otherwise."""
    saved = checkpoint.load(path)
    change(saved["run"])
    checkpoint.save(path, {name: value for name, value in saved.items() if name != "format"})


def test_a_checkpoint_from_before_a_setting_was_added_goes_on_with_its_default(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for report in train(a_run(epochs=2)):
        if report.epoch == 1:
            report.save(path)
    with_run(path, lambda run: (run["method"].pop("gamma"), run["optimizer"].pop("clip_norm")))
    assert last(a_run(epochs=2), resume=path).metrics == report.metrics
    with pytest.raises(CheckpointError, match="another run"):
        next(train(a_run(epochs=2, optimizer={"clip_norm": 1.0}), resume=path))


def test_a_checkpoint_with_a_setting_that_is_unknown_is_of_another_run(tmp_path):
    path = tmp_path / "checkpoint.pt"
    last(a_run(epochs=1)).save(path)
    with_run(path, lambda run: run["method"].update(unknown=1))
    with pytest.raises(CheckpointError, match="another run"):
        next(train(a_run(epochs=1), resume=path))


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "other tensor file"])
def test_damaged_checkpoint_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    last(a_run(epochs=1)).save(path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other tensor file":
        torch.save({"a": torch.ones(1)}, path)
    else:
        path.write_bytes({"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"hello"}[damage])
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def equal(one, other) -> bool:
    """Whether values that a checkpoint may hold are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_any_bits_that_are_flipped_are_found_or_say_nothing(tmp_path):
    """Half of them in the last quarter, where the archive's index is."""
    path, chance = tmp_path / "checkpoint.pt", random.Random(7)
    last(a_run(epochs=1, network={"name": "mlp", "hidden": [4], "latent_dim": 2})).save(path)
    sound, saved, refused = path.read_bytes(), checkpoint.load(path), 0
    places = [offset + 38 for offset in range(len(sound)) if sound.startswith(b"PK\1\2", offset)]  # "is a folder"
    flips = [[(place, 4)] for place in places]
    for number in range(600):
        least = len(sound) * 3 // 4 if number % 2 else 0
        flips.append([(chance.randrange(least, len(sound)), chance.randrange(8)) for _ in range(chance.choice([1, 3]))])
    for flip in flips:
        data = bytearray(sound)
        for place, bit in flip:
            data[place] ^= 1 << bit
        path.write_bytes(data)
        try:
            assert equal(checkpoint.load(path), saved), flip
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
    assert refused > 400 and len(places) > 10


def test_the_model_alone_is_reopened_and_training_does_not_go_on_from_it(tmp_path):
    run = a_run("geco_l0_arm_vae", optimizer={"plateau": {"patience": 1}})
    report = last(run)
    report.save(tmp_path / "checkpoint.pt")
    report.save_model(tmp_path / "best.pt")
    assert (tmp_path / "best.pt").stat().st_size < 0.6 * (tmp_path / "checkpoint.pt").stat().st_size
    for name in ("best.pt", "checkpoint.pt"):  # those of earlier versions hold all
        again = reopen(run, None, tmp_path / name)
        assert equal(dict(again.training.learner.state_dict()), dict(report.training.learner.state_dict()))
        assert (again.epoch, again.images) == (report.epoch, report.images)
    with pytest.raises(CheckpointError, match=r"best.pt: holds no optimizer/\w+, .*take the checkpoint.pt beside it"):
        next(train(run, resume=tmp_path / "best.pt"))


def test_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code ran')",))

    torch.save({"format": 1, "trap": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_failed_write_leaves_the_old_checkpoint_and_no_litter(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"epoch": 1})
    with pytest.raises(AttributeError):
        checkpoint.save(path, {"epoch": lambda: 2})
    assert checkpoint.load(path)["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_divergence_names_the_step_and_the_term():
    training = train(a_run(epochs=3, optimizer={"lr": 1e30}, likelihood={"name": "gaussian"}))
    with pytest.raises(Diverged) as caught:
        list(training)
    assert 0 < caught.value.step < 20
    assert caught.value.term in ("nll", "kl", "loss")


def test_divergence_is_found_at_the_step_where_it_happens(monkeypatch):
    update, steps = Training.update, []

    def poison(self, loss, rows, phase):
        update(self, loss, rows, phase)
        steps.append(self.step)
        if self.step == 4:
            self.learner.vae.decoder.get_parameter(next(iter(dict(self.learner.vae.decoder.named_parameters())))).data[
                0
            ] = math.nan

    monkeypatch.setattr(Training, "update", poison)
    with pytest.raises(Diverged) as caught:
        list(train(a_run()))
    assert (caught.value.step, caught.value.term) == (4, "nll")


def test_kl_warmup_raises_the_weight_linearly_over_images(monkeypatch):
    scales = []
    monkeypatch.setattr(
        Training, "kl_scale", lambda self, whole=Training.kl_scale: scales.append(whole(self)) or scales[-1]
    )
    last(a_run(kl_warmup_epochs=1.5))
    assert scales[:3] == pytest.approx([0, 32 / 300 / 1.5, 64 / 300 / 1.5])
    assert scales[10] == pytest.approx(1 / 1.5)
    assert scales[-1] == 1.0


def test_warm_up_counts_epochs_by_the_rows_that_are_trained_on():
    training = Training(a_run("ard_vae", kl_warmup_epochs=2.0))  # 101 of 300 rows are held out
    training.images = 199
    assert training.kl_scale() == pytest.approx(0.5)


def test_first_weights_are_a_function_of_the_seed():
    one, same, other = (Training(a_run(seed=seed)).learner.state_dict() for seed in (3, 3, 4))
    drawn = [name for name, value in one.items() if value.ndim > 1]
    assert drawn and all((one[name] == same[name]).all() and (one[name] != other[name]).any() for name in drawn)


def test_every_epoch_trains_in_training_mode_whatever_validation_left(monkeypatch):
    modes, update = [], Training.update
    monkeypatch.setattr(
        Training, "update", lambda self, *args: modes.append(self.learner.vae.encoder.training) or update(self, *args)
    )
    last(a_run(epochs=2))
    assert modes == [True] * 20


def test_means_of_an_epoch_weigh_each_row_the_same():
    """A term of the whole batch counts once for each of its rows."""
    tally = Tally(0, "all", ("per_row", "whole"))
    for per_row, whole in (([1.0, 2.0, 3.0], 5.0), ([8.0], 1.0)):
        terms = {"per_row": (1.0, torch.tensor(per_row)), "whole": (2.0, torch.tensor(whole))}
        tally.add("all", terms, sums_of(terms, len(per_row)), len(per_row))
    assert tally.means() == {"train/per_row": 3.5, "train/whole": 4.0, "train/loss": 11.5}


def test_plateau_halves_the_learning_rate_at_the_tenth_epoch_without_progress():
    """Keras reduces in the epoch in which patience runs out; PyTorch one later. The first epoch sets the best value."""
    training = Training(a_run(optimizer={"lr": 5e-4, "plateau": {}}))
    rates = []
    for _ in range(22):
        training.schedule(1.0)
        rates.append(training.optimizers["all"].param_groups[0]["lr"])
    assert rates == [5e-4] * 10 + [2.5e-4] * 10 + [1.25e-4] * 2


def test_the_plateau_judges_the_validation_loss_and_not_that_of_training():
    found, plateaus = [], []
    for report in train(a_run(epochs=3, optimizer={"lr": 0.01, "plateau": {}})):
        found.append(report.metrics["val/loss"])
        plateaus.append(report.training.plateaus["all"].best)
    assert found == sorted(found, reverse=True)  # each epoch is better than the last, so that each counts
    assert plateaus == found


def test_gradients_are_clipped_to_the_norm(monkeypatch):
    norms = []
    step = torch.optim.Adam.step

    def spy(self, *args, **kwargs):
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    last(a_run(epochs=1, optimizer={"clip_norm": 0.01}))
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)


def test_ard_prior_is_made_of_rows_that_the_epoch_does_not_train_on():
    run = a_run("ard_vae", epochs=1)
    training = next(train(run)).training
    train_index, held_index = plan(300, 101, 1, run.seed, 0)
    assert not set(train_index.tolist()) & set(held_index.tolist())
    assert training.learner.vae.prior.a.item() == 101 / 2


def test_ard_prior_of_the_first_epoch_is_that_of_the_untrained_encoder():
    """Recomputed here with numpy from the initial weights, row by row of D_z."""
    run = a_run("ard_vae", epochs=1)
    fresh = Training(run)
    _, held = plan(300, 101, 1, run.seed, 0)
    seen = []
    for x, noise, rows in fresh.batches(held, "held out"):
        assert len(x) == rows
        q = fresh.learner.vae.encode(x)
        seen.append(
            (q.mean_BD + (q.log_variance_BD / 2).exp() * noise.normal("posterior", 6)).detach().double().numpy() ** 2
        )
    expected = sum(part.sum(0) for part in seen) / 101
    trained = next(train(run)).training.learner.vae.prior
    assert trained.variance_D.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_ard_prior_is_refreshed_only_every_so_many_epochs():
    method = {"name": "ard_vae", "dz_size": 101, "refresh_epochs": 2}
    variances = [
        report.training.learner.vae.prior.variance_D.tolist() for report in train(a_run(epochs=4, method=method))
    ]
    assert variances[0] == variances[1] != variances[2] == variances[3]


def test_bf16_stays_near_fp32_and_keeps_weights_and_losses_in_float32():
    exact, rounded = (last(a_run("ard_vae", epochs=4, precision=precision)) for precision in ("fp32", "bf16"))
    assert rounded.metrics != exact.metrics
    assert rounded.metrics["val/nll"] == pytest.approx(exact.metrics["val/nll"], rel=0.02)
    assert {value.dtype for value in rounded.training.learner.parameters()} == {torch.float32}
    x, noise, _ = next(rounded.training.batches(torch.arange(32), "train"))
    assert {value.dtype for _, value in rounded.training.learner(x, noise).values()} == {torch.float32}


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_bf16_trains_and_validates_every_network(network, tmp_path):
    """torch's forward mode mixes bfloat16 and float32 at batch norm, so that the next layer fails."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8))
    data = {"name": "array", "path": str(tmp_path / "x.npy"), "val_fraction": 0.2}
    sizes = {"name": network, "latent_dim": 3}
    exact, rounded = (last(a_run(network=sizes, data=data, epochs=1, precision=p)) for p in ("fp32", "bf16"))
    assert rounded.metrics["val/nll"] == pytest.approx(exact.metrics["val/nll"], rel=0.02)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_tf32_is_allowed_only_where_it_is_asked_for(precision):
    Training(a_run(precision=precision))
    allowed = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    assert allowed == (precision == "tf32",) * 2


def test_run_survives_a_round_trip_through_json():
    run = a_run("intel_vae hierarchical", optimizer={"plateau": {}})
    assert type(run).model_validate(json.loads(json.dumps(run.model_dump(mode="json")))) == run
