"""Which runs are of a kind: they may be trained together, where trying it shows that they can."""

import pytest

from orchestrator.space.stackable import kind_of, several_of_a_kind
from tests.support.small_runs import METHODS, a_run


def values_of(*named, **changes) -> dict:
    return a_run(*named, **changes).model_dump(mode="json")


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"epochs": 9},
        {"kl_warmup_epochs": 2.5},
        {"optimizer": {"lr": 0.5}},
        {"optimizer": {"beta1": 0.5, "eps": 1e-3}},
        {"method": METHODS["beta_vae"] | {"beta": 4.0}},
    ],
)
def test_runs_that_differ_in_numbers_are_of_a_kind(changes):
    assert kind_of(values_of("beta_vae", **changes)) == kind_of(values_of("beta_vae"))


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 31},
        {"network": {"name": "mlp", "hidden": [16], "latent_dim": 5}},
        {"data": {"name": "digits", "train_rows": 299, "val_rows": 90}},
        {"optimizer": {"algorithm": "rmsprop"}},
        {"method": METHODS["beta_vae"] | {"beta": 0.0}},  # a part of the objective is left out
        {"method": METHODS["vae"]},
        {"validation_batch_size": 10},
    ],
)
def test_runs_that_differ_in_shape_are_not(changes):
    assert kind_of(values_of("beta_vae", **changes)) != kind_of(values_of("beta_vae"))


def test_only_those_with_a_like_are_counted():
    runs = [values_of(seed=1), values_of(seed=2), values_of(batch_size=31)]
    assert several_of_a_kind(runs) == 2
    compiled = [values_of(seed=seed, compile=True) for seed in (1, 2)]
    assert several_of_a_kind([*runs, *compiled]) == 2
