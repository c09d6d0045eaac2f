"""Trainings in a stack equal each training alone, bit for bit where nothing rounds otherwise, for every method.

What rounds otherwise depends on the machine: `compare` finds it, and what it counts as equal has to be.
"""

import math
from functools import cache

import pytest
import torch

from tests.support.small_runs import METHODS, a_run
from trainables.common.errors import Diverged
from trainables.draws import Draw
from trainables.metrics.view import outputs_of
from trainables.run import Run
from trainables.stacked.comparison import Comparison, compare
from trainables.stacked.looking import Looking
from trainables.stacked.numbers import CannotStack
from trainables.stacked.stack import Stack
from trainables.train import Report, Training, train

ROUNDED = (
    "intel_vae sectors",
    "intel_vae learned sectors",
    "intel_vae sparse latents",
    "dip_vae I",
    "dip_vae II",
    "rae gp",
)
"""Products outside of linear layers are batched, and add in another order there."""
ALONE = {
    "rae sn": "Batching rule not implemented",
    "vimae": "steps of several phases",
    "vimae logistic": "steps of several phases",
    "geco_l0_arm_vae": "control flow",
    "geco_l0_arm_vae, goal out of reach": "control flow",
    "geco_l0_arm_vae steep": "control flow",
    "mask_aae": "steps of several phases",
    "mask_aae turns": "steps of several phases",
}
"""Method -> a word of the reason why it is trained alone."""
STACKED = [name for name in METHODS if name not in ALONE]
EQUAL = [name for name in STACKED if name not in ROUNDED]


def runs_of(name: str) -> list[Run]:
    """Three runs with a KL warm-up that differ in their seed and learning rate."""
    various = [{"seed": k, "optimizer": {"lr": 10 ** -(2 + k / 2)}} for k in range(3)]
    return [a_run(name, kl_warmup_epochs=1.3, **own) for own in various]


@cache
def alone(name: str) -> list[dict]:
    """The content of the last checkpoint of each of `runs_of(name)`, trained alone, with its metrics."""
    reports = [list(train(run))[-1] for run in runs_of(name)]
    return [report.training.state() | {"metrics": report.metrics} for report in reports]


def stacked(trainings: list[Training], validates: bool = False) -> list[dict]:
    """The same of trainings in a stack."""
    stack = Stack(trainings, validates)
    for _ in range(trainings[0].run.epochs):
        reports = stack.train_epoch()
    return [report.training.state() | {"metrics": report.metrics} for report in reports]


def assert_equal(mine, theirs, where: str = "") -> None:
    """That nested values are equal, bit for bit; nan is equal to nan."""
    if isinstance(mine, dict):
        assert mine.keys() == theirs.keys(), where
        for key in mine:
            assert_equal(mine[key], theirs[key], f"{where}/{key}")
    elif isinstance(mine, torch.Tensor):
        assert torch.equal(mine.nan_to_num(7.0), theirs.nan_to_num(7.0)), where
    elif isinstance(mine, list | tuple):
        for number, pair in enumerate(zip(mine, theirs, strict=True)):
            assert_equal(*pair, f"{where}/{number}")
    else:
        assert mine == theirs or (mine != mine and theirs != theirs), where


def compared(runs: list[Run]) -> Comparison:
    return compare(runs, Training(runs[0]).splits)


def counts_as_equal(runs: list[Run]) -> bool:
    """Whether this machine rounds the same for these runs in a stack."""
    return compared(runs).equal


def skip_where_rounded(runs: list[Run]) -> None:
    if not counts_as_equal(runs):
        pytest.skip("this machine rounds otherwise for such a stack")


@pytest.mark.parametrize("name", STACKED)
def test_what_counts_as_equal_has_the_checkpoints_and_metrics_of_each_training_alone(name):
    found = compared(runs_of(name))
    if not found.equal:
        pytest.skip("this machine rounds otherwise for such a stack")
    assert_equal(stacked([Training(run) for run in runs_of(name)], found.validates), alone(name))


def test_most_methods_count_as_equal_in_their_steps_and_in_validation():
    found = [compared(runs_of(name)) for name in EQUAL]
    assert sum(one.equal for one in found) >= len(EQUAL) / 2
    assert sum(one.equal and one.validates for one in found) >= len(EQUAL) / 2


def test_trainings_that_validate_otherwise_validate_alone(monkeypatch):
    changed = a_run(seed=1, validation_batch_size=7)  # so its rows get other noise, in other batches
    assert not compared([a_run(), changed]).validates
    with monkeypatch.context() as patch:
        patch.setattr(Looking, "forward", lambda self, x_BX, noise: outputs_of(self.learner, 2 * x_BX, noise))
        assert not compared(runs_of("vae")).validates
    assert compared(runs_of("vae")).validates


@pytest.mark.parametrize("name", ["sparse_vae", "rate_bound_vae", "mog_vae"])
def test_what_counts_as_equal_is_so_after_many_epochs(name):
    """Rare differences of rounding, and those of training's metrics alone."""
    rates = [{"method": METHODS[name] | {"rate": 5.3 + k}} if name == "rate_bound_vae" else {} for k in range(3)]
    runs = [a_run(name, seed=k, epochs=12, batch_size=100, **own) for k, own in enumerate(rates)]
    found = compare(runs, Training(runs[0]).splits)
    if not found.equal:
        pytest.skip("this machine rounds otherwise for such a stack")
    last = [list(train(run))[-1] for run in runs]
    theirs = [report.training.state() | {"metrics": report.metrics} for report in last]
    assert_equal(stacked([Training(run) for run in runs], found.validates), theirs)


def test_one_that_diverges_is_compared_beside_one_that_does_not():
    wild = a_run(seed=1, optimizer={"lr": 1e18})
    with pytest.raises(Diverged):
        list(train(wild))
    assert compared([a_run(), wild]).equal == compared([a_run(), a_run(seed=1)]).equal


def test_other_numbers_do_not_count_as_equal(monkeypatch):
    monkeypatch.setattr(Draw, "of", lambda self, noise: noise.normal("another", *self.shape))
    assert not counts_as_equal(runs_of("vae"))


@pytest.mark.parametrize("groups", [[[0], [1, 2]], [[2, 0], [1]], [[1, 2, 0]]])
def test_any_grouping_gives_the_same(groups):
    runs, expected = runs_of("ard_vae"), alone("ard_vae")
    for group in groups:
        skip_where_rounded([runs[k] for k in group])
        assert_equal(stacked([Training(runs[k]) for k in group]), [expected[k] for k in group])


@pytest.mark.parametrize("name", STACKED)
def test_what_rounds_otherwise_differs_by_a_millionth_after_a_step(name):
    runs = [run.model_copy(update={"batch_size": 300, "epochs": 1}) for run in runs_of(name)]
    for report, run in zip(Stack([Training(run) for run in runs]).train_epoch(), runs, strict=True):
        [other] = train(run)
        for mine, theirs in zip(*(one.training.learner.parameters() for one in (report, other)), strict=True):
            assert (mine - theirs).norm() <= 1e-6 * theirs.norm() + 1e-9


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_computed_together_says_why(name):
    with pytest.raises(CannotStack, match=ALONE[name]):
        Stack([Training(run) for run in runs_of(name)]).train_epoch()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("beta_vae", [{"method": {"name": "beta_vae", "beta": beta}} for beta in (0.1, 1.0, 7.3)]),
        ("info_vae", [{"method": METHODS["info_vae"] | {"lam": weight}} for weight in (1.0, 5.0, 20.0)]),
        ("vae", [{"kl_warmup_epochs": epochs} for epochs in (0.0, 0.7, 1.9)]),
        ("vae", [{"optimizer": {"clip_norm": norm, "beta1": 0.9 - norm / 10}} for norm in (0.1, 1.0, 3.0)]),
        ("vae", [{"optimizer": {"algorithm": of}} for of in ("amsgrad", "amsgrad", "amsgrad")]),
        ("vae", [{"optimizer": {"algorithm": "rmsprop", "lr": lr}} for lr in (1e-3, 1e-4, 3e-3)]),
        ("vae", [{"optimizer": {"schedule": ((1, factor),)}} for factor in (0.5, 0.1, 1.0)]),
    ],
)
def test_numbers_may_differ(name, changes):
    runs = [a_run(name, seed=k, **change) for k, change in enumerate(changes)]
    skip_where_rounded(runs)
    expected = [list(train(run))[-1] for run in runs]
    found = stacked([Training(run) for run in runs])
    assert_equal(found, [report.training.state() | {"metrics": report.metrics} for report in expected])


def test_a_mapping_s_numbers_may_differ():
    mappings = [{"name": "sparse", "gamma": gamma} for gamma in (1.0, 3.0)]
    runs = [a_run("intel_vae sparse", method={"name": "intel_vae", "mapping": mapping}) for mapping in mappings]
    skip_where_rounded(runs)
    found = stacked([Training(run) for run in runs])
    for state, run in zip(found, runs, strict=True):
        assert_equal(state["metrics"], list(train(run))[-1].metrics)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (a_run("vae"), a_run("vae", network={"name": "mlp", "hidden": [8], "latent_dim": 6})),
        (a_run("vae"), a_run("vae", batch_size=31)),
        (a_run("vae"), a_run("vae", data={"name": "digits", "train_rows": 299, "val_rows": 90})),
        (a_run("ard_vae"), a_run("ard_vae", method=METHODS["ard_vae"] | {"dz_size": 102})),
        (a_run("intel_vae holes"), a_run("intel_vae sphere")),
        (a_run("vae"), a_run("beta_vae")),
        (a_run("ard_vae"), a_run("ard_vae", method=METHODS["ard_vae"] | {"prior_form": "student_t"})),
    ],
)
def test_trainings_of_other_shapes_are_refused(one, other):
    with pytest.raises(CannotStack):
        Stack([Training(one), Training(other)])


def test_compiled_trainings_are_refused():
    with pytest.raises(CannotStack, match="compiled"):
        Stack([Training(a_run(seed=seed, compile=True)) for seed in (0, 1)])


def test_one_that_diverges_leaves_the_others_alone():
    runs = runs_of("vae")
    skip_where_rounded(runs)
    runs[1] = a_run("vae", seed=1, optimizer={"lr": 1e18})
    with pytest.raises(Diverged) as expected:
        list(train(runs[1]))
    first, ended, last = Stack([Training(run) for run in runs]).train_epoch()
    assert (ended.step, ended.term) == (expected.value.step, expected.value.term)
    stack = Stack([first.training, last.training])
    for found, of in zip(stack.train_epoch(), (alone("vae")[0], alone("vae")[2]), strict=True):
        assert_equal(found.training.state() | {"metrics": found.metrics}, of)


def test_trainings_in_different_epochs_go_together(tmp_path):
    runs = runs_of("ard_vae")
    skip_where_rounded(runs[:2])
    ahead = next(iter(train(runs[0])))
    ahead.save(tmp_path / "ahead.pt")
    behind, resumed = Training(runs[1]), Training(runs[0])
    resumed.restore(tmp_path / "ahead.pt")
    report, _ = Stack([resumed, behind]).train_epoch()
    assert_equal(report.training.state() | {"metrics": report.metrics}, alone("ard_vae")[0])


def test_a_checkpoint_of_one_holds_no_more_than_that_of_a_training_alone(tmp_path):
    first, *_ = Stack([Training(run) for run in runs_of("vae")]).train_epoch()
    first.save(tmp_path / "stacked.pt")
    next(iter(train(runs_of("vae")[0]))).save(tmp_path / "alone.pt")
    assert abs((tmp_path / "stacked.pt").stat().st_size - (tmp_path / "alone.pt").stat().st_size) < 200


def test_the_times_of_a_stack_add_up_to_no_more_than_it_took(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    reports = Stack([Training(run) for run in runs_of("vae")]).train_epoch()
    assert all(isinstance(report, Report) for report in reports)
    assert 0 < math.fsum(report.seconds for report in reports) <= next(clock)
