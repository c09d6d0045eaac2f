"""Configurations by their data, and as curves along a number."""

import pytest

from orchestrator.checks.read import read_spec
from orchestrator.figures.grouping import by_data, groups_of
from orchestrator.figures.trained import Configuration, Model, differing, title_of, without
from orchestrator.space.trials import list_trials
from tests.support import ROOT


class Named(Model):
    """A model of which nothing but its method's name is asked."""

    def __init__(self):
        pass


def configurations(every):
    return [Configuration([Named()], values) for values in differing(every)]


def of_file(name):
    spec = read_spec(ROOT / "search_spaces" / "papers" / f"{name}.yaml", ())
    every = []
    for trial in list_trials(spec):
        if trial.config not in every:
            every.append(trial.config)
    return configurations(every)


def test_figure_7_has_two_data_sets_and_a_curve_for_each_method_along_its_weight():
    groups = by_data(of_file("intel_figure_7"))
    assert list(groups) == ["fashion_mnist", "mnist"]
    for own in groups.values():
        curves = groups_of(own)
        assert [(curve.title, curve.along, len(curve.members)) for curve in curves] == [
            ("vae", None, 1),
            ("intel_vae sparse floor=0", "method.mapping.gamma", 8),
            ("intel_vae sparse floor=0.2", "method.mapping.gamma", 8),
            ("sparse_vae bernoulli", "method.alpha", 2),
            ("dd_vae algorithm=amsgrad", "method.alpha", 4),
        ]
        gammas = [one.values["method.mapping.gamma"] for one in curves[1].members]
        assert gammas == sorted(gammas) and len(set(gammas)) == 8


def test_table_b1_has_a_curve_along_the_latent_dimension_and_three_hierarchies_of_their_own():
    own = of_file("intel_table_b1")
    curves = groups_of(own)
    assert [(curve.along, len(curve.members)) for curve in curves] == [
        ("network.latent_dim", 8),
        (None, 1),
        (None, 1),
        (None, 1),
    ]
    assert [one.values["network.latent_dim"] for one in curves[0].members] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_each_configuration_is_in_exactly_one_group():
    own = of_file("intel_figure_7")
    members = [id(one) for curve in groups_of(own) for one in curve.members]
    assert sorted(members) == sorted(map(id, own))


def test_configurations_of_close_numbers_are_groups_of_their_own():
    noise = [0.0123456, 0.0123457]
    every = [{"data.noise": n, "method.name": name, "method.beta": 1.0} for n in noise for name in ("vae", "rae")]
    own = configurations(every)
    assert [len(some) for some in by_data(own).values()] == [2, 2]
    assert list(by_data(own)) == ["noise=0.0123456", "noise=0.0123457"]


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ({"data.name": "mnist", "method.name": "vae", "method.beta": 0.5}, "mnist vae beta=0.5"),
        ({"network.latent_dim": 4}, "latent_dim=4"),
        ({}, ""),
    ],
)
def test_a_title_has_the_words_that_choose_records_first(values, title):
    assert title_of(values) == title


def test_values_below_a_path_are_left_out_and_those_that_only_begin_alike_stay():
    values = {"method.mapping.name": "sphere", "method.mapping": 1, "method.mappings": 2, "data.name": "circle"}
    assert without(values, "method.mapping", "data") == {"method.mappings": 2}


def test_only_what_differs_between_configurations_is_told():
    every = [{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2}]
    assert differing(every) == [{"b": 1, "c": 1}, {"b": 2}]
    assert differing(every[:1]) == every[:1]
