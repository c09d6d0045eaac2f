"""Evaluations as they are asked for on the command line, and what is said of mistakes."""

import pytest

from orchestrator.errors import UserError
from orchestrator.evaluation.jobs import threads_each
from orchestrator.evaluation.selection import ALL, KNOWN, select_evaluations


def refused(metrics: str, *settings: str) -> list[str]:
    with pytest.raises(UserError) as error:
        select_evaluations(metrics, settings)
    return list(error.value.lines)


def test_all_are_those_of_the_table_with_their_defaults():
    assert select_evaluations(ALL, ()) == select_evaluations("mig,all", ()) == [record() for record in KNOWN.values()]


def test_a_setting_is_of_one_evaluation_or_of_all_that_have_it():
    frechet, prd, mig = select_evaluations(
        "frechet,prd, mig", ["features=pixels", "prd.real=3", "seed=7", "mig.seed=8"]
    )
    assert (frechet.features, prd.features, prd.real, frechet.real) == ("pixels", "pixels", 3, None)
    assert (frechet.seed, prd.seed, mig.seed) == (7, 7, 8)


@pytest.mark.parametrize(
    "metrics, setting, line",
    [
        ("frechett", None, "--metrics frechett: unknown. Did you mean 'frechet'? Known: "),
        ("frechet", "frechet.generatd=3", "--set frechet.generatd=3: frechet.generatd: unknown key. Did you mean 'gen"),
        (
            "frechet",
            "featres=pixels",
            "--set featres=pixels: featres: is no setting of frechet. Did you mean 'features",
        ),
        ("frechet", "mig.seed=1", "--set mig.seed=1: mig: is not asked for: add it to --metrics frechet."),
        ("frechet", "frechet=3", "--set frechet=3: frechet: has several settings: write frechet.FIELD=VALUE. Known: "),
        ("frechet", "features=pixel", "--set features=pixel: features: unknown word 'pixel'. Did you mean 'pixels'?"),
        ("frechet", "frechet.generated=0", "--set frechet.generated=0: frechet.generated: must be above 0, not 0."),
        ("frechet", "features", "--set features: must be PATH=VALUE"),
        ("frechet", "frechet.name=mig", "--set frechet.name=mig: frechet.name: says which evaluation it is: leave it"),
        ("frechet", "weights=/no/w.pth", "--set weights=/no/w.pth: weights: /no/w.pth: no such file: mend the path."),
        (
            "prd,frechet",
            "prd.weights=/no/w",
            "--set prd.weights=/no/w: prd.weights: /no/w: no such file",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_cure(metrics, setting, line):
    [told] = refused(metrics, *([setting] if setting else []))
    assert told.startswith(line)


@pytest.mark.parametrize("cpus, jobs, threads", [([2], 3, 1), ([16], 3, 5), ([8, 4], 2, 4), ([8, 8], 1, 8)])
def test_all_models_are_measured_at_once_where_there_is_room(cpus, jobs, threads):
    assert threads_each(cpus, jobs) == threads
