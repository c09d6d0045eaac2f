"""What cannot go together in a run: each mistake with its path, and none where all fits."""

import pytest

from tests.support.small_runs import a_run
from trainables.data import Facts
from trainables.distributions.likelihoods import Bernoulli
from trainables.networks.geco import GecoMnist
from trainables.networks.mlp import Mlp
from trainables.run import MOST_WEIGHTS, Run

UNIT = (0.0, 1.0)


def mistakes(named="vae", range=UNIT, shape=(3,), train_rows=300, **changes) -> list[tuple[str, str]]:
    run = a_run(named, **changes)
    return list(run.mistakes(Facts(shape, range, train_rows, 90)))


def test_a_run_that_fits_has_no_mistake():
    assert mistakes() == []


@pytest.mark.parametrize(("rows", "wrong"), [(31, True), (32, False), (33, False)])
def test_a_batch_may_be_as_large_as_the_rows_to_train_on_and_no_larger(rows, wrong):
    found = mistakes(train_rows=rows, batch_size=32)
    assert [path for path, _ in found] == (["batch_size"] if wrong else [])
    assert not wrong or "larger than the 31 rows" in found[0][1]


def test_rows_that_the_prior_is_estimated_from_are_not_trained_on():
    held = a_run("ard_vae").method.held_out(300).rows
    assert held > 0
    assert mistakes("ard_vae", batch_size=300 - held) == []
    assert [path for path, _ in mistakes("ard_vae", batch_size=301 - held)] == ["batch_size"]


@pytest.mark.parametrize(("range", "wrong"), [(UNIT, False), ((-1.0, 1.0), True), (None, True)])
def test_bernoulli_needs_values_between_0_and_1(range, wrong):
    found = [path for path, _ in mistakes(range=range, likelihood=Bernoulli())]
    assert found == (["likelihood.name"] if wrong else [])


def test_what_a_network_cannot_take_is_told_below_its_path():
    network = GecoMnist(latent_dim=2)
    own = list(network.mistakes((3,)))
    assert own
    found = mistakes(network=network)
    assert found == [(f"network.{path}" if path else "network", text) for path, text in own]


@pytest.mark.parametrize(
    ("hidden", "latent_dim", "field"),
    [
        ((MOST_WEIGHTS,), 2, "hidden"),
        ((16, MOST_WEIGHTS // 16 + 1), 2, "hidden"),
        ((16,), MOST_WEIGHTS // 16 + 1, "latent_dim"),
        ((16, MOST_WEIGHTS // 16), 2, None),  # not more than the most
        ((16,), MOST_WEIGHTS // 16, None),
    ],
)
def test_the_largest_layer_decides_whether_a_network_has_room_and_is_named(hidden, latent_dim, field):
    found = mistakes(network=Mlp(hidden=hidden, latent_dim=latent_dim))
    assert [path for path, _ in found] == ([f"network.{field}"] if field else [])


def test_where_no_row_is_left_to_train_on_the_method_says_so_and_not_the_batch():
    held = a_run("ard_vae").method.held_out(300).rows
    [(path, _)] = mistakes("ard_vae", train_rows=held)
    assert path.startswith("method.")


@pytest.mark.parametrize(
    ("part", "written", "other"),
    [
        ("likelihood", {"name": "squared_error"}, "bernoulli"),
        ("data", {"name": "mnist", "val_from_train": 5_000}, "cifar10"),
    ],
)
def test_a_likelihood_or_data_set_is_exchanged_by_its_name_alone(part, written, other):
    """As a search over `data.name` does it, in the run with all defaults written out."""
    run = a_run(**{part: written}).model_dump(mode="json")
    run[part]["name"] = other
    assert getattr(Run.model_validate(run), part).name == other


@pytest.mark.parametrize(
    ("part", "written"),
    [("likelihood", {"name": "squared_error", "linear": True}), ("data", {"name": "mnist", "binary": True})],
)
def test_a_setting_that_is_written_only_where_it_is_chosen_survives(part, written):
    run = a_run(**{part: written})
    assert Run.model_validate(run.model_dump(mode="json")) == run != a_run(**{part: {"name": written["name"]}})
