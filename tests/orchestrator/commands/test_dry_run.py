"""What a dry run says of a sweep: trials, slots, and epochs to expect."""

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.commands.dry_run import as_text, described
from orchestrator.space.plan import Plan, Round
from orchestrator.space.trials import list_trials
from tests.support.one_slot import ASHA, EPOCHS, LOW, drawn, spec_of
from tests.support.small_runs import a_run


def test_the_plan_counts_trials_that_are_not_known_yet(tmp_path):
    spec = drawn(trials=6, seeds=2, confirm={"top": 2, "seeds": 3}, resources={"cpus_per_worker": cpus()})
    planned = described(Plan.of(spec), tmp_path, 1)
    assert (planned["trials"], planned["confirming"], planned["slots"]) == (12 + 6, 6, 1)
    assert planned["epochs_at_most"] == 18 * EPOCHS
    assert planned["epochs_expected"] == 12 * (1 + 1 / 2 + 2 / 4) + 6 * EPOCHS
    assert "18 trials (6 configurations, 2 seeds each), 6 of them to confirm the best" in as_text(planned)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (spec_of(LOW, trials=4), None),
        (
            spec_of(LOW, trials=4, resources={"trials_per_slot": "auto"}),
            "together   4 of 4 trials are alike but for their numbers: up to 64 of them in a slot",
        ),
        (
            spec_of({"batch_size": {"grid": [30, 31]}}, resources={"trials_per_slot": 3}),
            "together   0 of 2 trials are alike but for their numbers: at most 3 of them in a slot",
        ),
        (
            drawn(resources={"trials_per_slot": 3}),
            "together   trials that are alike but for their numbers: at most 3 of them in a slot",
        ),
    ],
)
def test_the_plan_says_how_many_trials_may_share_a_slot(tmp_path, spec, told):
    text = as_text(described(Plan.of(spec), tmp_path, 1))
    assert told in text if told else "together" not in text


@pytest.mark.parametrize(
    ("scheduler", "count", "expected", "note"),
    [
        (ASHA, 1, EPOCHS, None),  # one trial trains in full, and of a trial alone there is nothing to say
        (ASHA, 3, 3 + 1.5 + 2, "3 trials are too few to be halved down to one (that takes 4)"),
        (ASHA, 4, 4 + 2 + 2, None),
        (ASHA | {"reduction_factor": 4}, 3, 3 + 3, "3 trials are too few to be halved down to one (that takes 4)"),
        (ASHA | {"name": "hyperband"}, 4, 5 + 4 + 4, "2 trials of a bracket are too few"),
        ({"name": "none"}, 2, 2 * EPOCHS, None),
    ],
)
def test_the_plan_knows_that_one_at_least_is_trained_in_full(tmp_path, scheduler, count, expected, note):
    spec = spec_of(LOW, trials=count, scheduler=scheduler)
    planned = described(Plan.of(spec), tmp_path, 1)
    assert planned["epochs_at_most"] == count * EPOCHS
    assert planned["epochs_expected"] == round(expected)
    assert len(planned["notes"]) == (note is not None)
    if note:
        [said] = planned["notes"]
        assert said.startswith(note) and said.endswith(
            f"the best of each rung goes on, so one is trained to epoch {EPOCHS}."
        )


@pytest.mark.parametrize(("network", "told"), [("mlp", 1), ("vimae_mlp", 0)])
def test_the_plan_notes_once_that_spectral_normalisation_needs_batch_norm(tmp_path, network, told):
    run = a_run("rae sn", network={"name": network, "hidden": [8], "latent_dim": 2}).model_dump(mode="json")
    spec = spec_of({"method.beta": {"grid": [0.009, 0.03]}, "seed": {"grid": [0, 1]}}, trials=4, run=run)
    planned = described(Plan.of(spec), tmp_path, 1)
    found = [note for note in planned["notes"] if "batch norm" in note]
    assert len(found) == told and as_text(planned).count("collapses without batch norm") == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "along 64 axes, so it is measured after every 43 epochs. run.active_every_epochs: 1 has it after each."),
        ({"active_every_epochs": 1}, "2.1 epochs of training. run.active_every_epochs: 43 makes that a twentieth."),
        ({"network.latent_dim": 24}, "0.8 epochs of training. run.active_every_epochs: 16 makes that a twentieth."),
        ({"network.latent_dim": 16}, None),
        ({"data.train_rows": None}, None),  # of 60,000 rows
        ({"active_every_epochs": 43}, None),
        ({"method": {"name": "sylvester_vae"}}, None),  # it has no such metric
    ],
)
def test_the_plan_notes_where_counting_active_axes_takes_as_long_as_training_or_is_rare(tmp_path, changes, told):
    run = {"method": {"name": "vae"}, "network": {"name": "mlp", "latent_dim": 64}, "epochs": 1}
    run |= {"data": {"name": "mnist", "train_rows": 1000}}
    for path, value in changes.items():
        of, _, name = path.rpartition(".")
        (run[of] if of else run)[name] = value
    planned = described(Plan.of(spec_of({"seed": {"grid": [0]}}, trials=1, run=run)), tmp_path, 1)
    found = [note for note in planned["notes"] if "axes" in note]
    assert len(found) == (told is not None) and all(told in note for note in found)


def test_the_plan_of_an_extended_search_counts_listed_and_drawn_trials(tmp_path):
    spec = drawn(trials=5, seeds=2, confirm={"top": 1, "seeds": 2})
    rounds = (Round(0, 3, 1, 2), Round(3, 2, 2, 2))  # three draws; then a further seed of each, and two draws more
    planned = described(Plan(spec, list_trials(spec_of(LOW, trials=3)), rounds), tmp_path, 1)
    assert (planned["trials"], planned["confirming"], planned["epochs_at_most"]) == (3 + 2 + 3 + 4 + 2, 4, 14 * EPOCHS)
    assert planned["notes"] == []


def test_the_plan_expects_no_more_than_the_budget(tmp_path):
    planned = described(Plan(drawn(budget={"epochs": 5}), []), tmp_path, 1)
    assert planned["epochs_expected"] == 5 and "budget     epochs 5" in as_text(planned)
