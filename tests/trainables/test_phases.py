"""Methods of several kinds of gradient steps, seen on MaskAAE: 10 steps in an epoch, 8 in a turn."""

import math

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.support.small_runs import a_run
from trainables.common.errors import Diverged
from trainables.methods import Phase
from trainables.tally import Tally
from trainables.train import Training, train

TURN = ["autoencoder", *["critic"] * 5, "generator", "mask"]
PARTS = {
    "autoencoder": ("encoder.", "decoder."),
    "critic": ("extras.",),
    "generator": ("encoder.",),
    "mask": ("mapping.",),
}


def values_of(training):
    return {name: value.detach().clone() for name, value in training.learner.vae.named_parameters()}


@pytest.fixture
def steps(monkeypatch):
    """(phase, the names of the parameters that the step moved), for each step that is taken."""
    taken, update = [], Training.update

    def spy(self, phase, *others):
        before = values_of(self)
        update(self, phase, *others)
        moved = {name for name, value in values_of(self).items() if not torch.equal(value, before[name])}
        taken.append((phase.name, moved))

    monkeypatch.setattr(Training, "update", spy)
    return taken


@pytest.mark.parametrize("algorithm", ["adam", "rmsprop"])
def test_a_step_moves_all_tensors_of_its_phase_and_no_others(steps, algorithm):
    for report in train(a_run("mask_aae", optimizer={"algorithm": algorithm})):
        names = values_of(report.training)
    for phase, moved in steps:
        expected = {name for name in names if name.startswith(PARTS[phase])}
        assert moved <= expected
        assert expected - moved <= {"extras.critic.4.bias"}  # a constant, which the critic's loss is free of


def test_turns_go_on_across_epochs(steps):
    list(train(a_run("mask_aae")))
    assert [phase for phase, _ in steps] == (TURN * 3)[:20]


def test_each_phase_has_one_optimizer_of_its_parameters_and_its_rate():
    training = Training(a_run("mask_aae", optimizer={"lr": 0.01, "schedule": [[1, 0.5]]}))
    training.epoch = 1
    training.schedule(0.0)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in training.optimizers.items()}
    assert rates == pytest.approx({"autoencoder": 0.005, "critic": 0.001, "generator": 0.001, "mask": 0.005})
    names = {id(value): name for name, value in training.learner.vae.named_parameters()}
    for phase, optimizer in training.optimizers.items():
        held = [names[id(value)] for value in optimizer.param_groups[0]["params"]]
        assert held == [name for name in names.values() if name.startswith(PARTS[phase])]


def test_the_norm_that_is_clipped_is_that_of_the_phases_gradient():
    norms = []

    def note(optimizer, *_):
        norms.append(torch.cat([p.grad.flatten() for p in optimizer.param_groups[0]["params"]]).norm().item())

    hook = register_optimizer_step_pre_hook(note)
    list(train(a_run("mask_aae", epochs=1, optimizer={"algorithm": "rmsprop", "clip_norm": 1e-3})))
    hook.remove()
    assert norms == pytest.approx([1e-3] * 10, rel=1e-2)


def test_the_states_of_all_optimizers_survive_a_resume_in_the_middle_of_a_turn(tmp_path):
    changes = {"optimizer": {"algorithm": "rmsprop", "schedule": [[2, 0.5]], "plateau": {"patience": 1}}}
    run = a_run("mask_aae", epochs=4, **changes)
    for report in train(run):
        if report.epoch == 2:
            report.save(tmp_path / "checkpoint.pt")
    *_, resumed = train(run, resume=tmp_path / "checkpoint.pt")
    assert resumed.metrics == report.metrics
    assert resumed.training.step == report.training.step == 40
    for phase, optimizer in report.training.optimizers.items():
        theirs = resumed.training.optimizers[phase].state_dict()
        assert theirs["param_groups"] == optimizer.state_dict()["param_groups"]
        for number, state in optimizer.state_dict()["state"].items():
            assert torch.equal(theirs["state"][number]["square_avg"], state["square_avg"])
    assert values_equal(resumed, report)


def values_equal(one, other):
    theirs = values_of(other.training)
    return all(torch.equal(value, theirs[name]) for name, value in values_of(one.training).items())


def test_reports_hold_the_means_over_the_rows_of_each_phase(monkeypatch):
    seen, add = [], Tally.add

    def spy(self, phase, terms, sums, rows):
        values = {name: (weight, value.detach().double().expand(rows)) for name, (weight, value) in terms.items()}
        loss = sum(weight * value for weight, value in values.values())
        seen.append((phase, {name: value for name, (_, value) in values.items()} | {"loss": loss}))
        add(self, phase, terms, sums, rows)

    monkeypatch.setattr(Tally, "add", spy)
    monkeypatch.setattr("trainables.tally.SETTLE_EVERY", 3)
    (report,) = train(a_run("mask_aae", epochs=1))
    expected = {}
    for phase in PARTS:
        mine = [terms for some, terms in seen if some == phase]
        prefix = "train" if phase == "autoencoder" else f"train/{phase}"
        expected |= {f"{prefix}/{name}": torch.cat([terms[name] for terms in mine]).mean().item() for name in mine[0]}
    found = {name: value for name, value in report.metrics.items() if name.startswith("train/")}
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_epoch_without_the_main_phase_reports_nan_for_its_terms_and_goes_on():
    """Three steps in an epoch: the second has critic's steps alone."""
    first, second, _ = [report.metrics for report in train(a_run("mask_aae", batch_size=100, epochs=3))]
    assert math.isfinite(first["train/nll"])
    assert math.isfinite(first["train/critic/loss"])
    assert all(math.isnan(second[f"train/{name}"]) for name in ("nll", "spread", "loss"))
    assert math.isfinite(second["train/critic/loss"])
    assert math.isfinite(second["val/loss"])
    assert set(a_run("mask_aae").metric_names()) <= set(second)


def test_divergence_in_any_phase_names_the_runs_step_and_the_term(monkeypatch):
    update = Training.update

    def poison(self, *args):
        update(self, *args)
        if self.step == 3:
            self.learner.vae.extras.critic[0].weight.data[0] = math.nan

    monkeypatch.setattr(Training, "update", poison)
    with pytest.raises(Diverged) as caught:
        list(train(a_run("mask_aae")))
    assert (caught.value.step, caught.value.term) == (3, "codes")


def test_the_default_is_one_phase_of_all_parameters():
    training = Training(a_run())
    assert training.run.method.phases == (Phase(),)
    assert len(training.optimizers["all"].param_groups[0]["params"]) == len(list(training.learner.parameters()))
