"""Evaluations as they are asked for on the command line, and what is said of mistakes."""

import pytest

from orchestrator.errors import UserError
from orchestrator.evaluation.jobs import threads_each, without
from orchestrator.evaluation.selection import ALL, KNOWN, select_evaluations, written_in
from orchestrator.storage import layout


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


def spec_with(folder, text):
    (folder / layout.SPEC).write_text(f"name: a\nevaluate:\n{text}")
    return folder


def test_what_the_spec_asks_for_is_measured_where_the_command_line_names_nothing(tmp_path):
    text = "  checkpoint: last\n  metrics: [mig, {name: prd, axes: all, real: 3}, {name: prd, real: 3}]\n"
    written = written_in(spec_with(tmp_path, text))
    assert written.checkpoint == "last"
    mig, every, plain = select_evaluations(None, ["features=pixels", "mig.seed=8"], written)
    assert (mig.name, mig.seed) == ("mig", 8)
    assert [(own.name, own.axes, own.real, own.features) for own in (every, plain)] == [
        ("prd", "all", 3, "pixels"),
        ("prd", None, 3, "pixels"),
    ]
    assert [own.name for own in select_evaluations("mse", [], written)] == ["mse"]
    assert len(select_evaluations(ALL, [], written)) == len(KNOWN)


@pytest.mark.parametrize("text", [None, "  checkpoint: last\n", "  metrics: null\n"])
def test_a_spec_that_asks_for_nothing_means_all(tmp_path, text):
    written = written_in(spec_with(tmp_path, text) if text else tmp_path)
    assert select_evaluations(None, (), written) == [record() for record in KNOWN.values()]
    assert written.checkpoint == ("last" if text and "last" in text else "best")


def test_a_mistake_in_the_spec_of_a_sweep_is_told_with_its_line(tmp_path):
    with pytest.raises(UserError) as error:
        written_in(spec_with(tmp_path, "  checkpoint: last\n  metrics: [mse, prdd]\n"))
    [line] = error.value.lines
    assert line.startswith(f"{tmp_path / layout.SPEC}:4: evaluate.metrics[1].name: unknown name 'prdd'. Did you mean")


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


def test_of_one_evaluation_asked_for_twice_only_what_was_answered_is_done():
    plain, every = {"name": "prd", "axes": None}, {"name": "prd", "axes": "all"}
    job = {"id": "0001", "evaluations": [plain, every]}
    answer = {"id": "0001", "finding": {"metric": "prd", "settings": plain}}
    assert without(job, answer)["evaluations"] == [every]
    assert without(job, {"id": "0001", "failed": "a bug"}) == job


@pytest.mark.parametrize("cpus, jobs, threads", [([2], 3, 1), ([16], 3, 5), ([8, 4], 2, 4), ([8, 8], 1, 8)])
def test_all_models_are_measured_at_once_where_there_is_room(cpus, jobs, threads):
    assert threads_each(cpus, jobs) == threads
