"""What a shell is offered after the first letters of a word."""

import pytest
from click.shell_completion import ShellComplete

from orchestrator.cli.main import cli
from orchestrator.storage import layout
from tests.support.one_slot import LOW
from tests.support.sweep_folders import swept, write_epochs


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """What is offered for the last of some words, in a folder with the sweep `first` and the run `fast` in runs/."""
    swept(tmp_path / "runs" / "first", search=LOW, trials=2)
    write_epochs(tmp_path / "runs" / "fast", "val/elbo", [1.0])
    (tmp_path / "runs" / "mlartifacts").mkdir()
    swept(tmp_path / "others" / "other", search=LOW, trials=2)
    monkeypatch.chdir(tmp_path)

    def complete(*words):
        offered = ShellComplete(cli, {}, "vaeorch", "_VAEORCH_COMPLETE").get_completions(list(words[:-1]), words[-1])
        return [item.value for item in offered]

    return complete


@pytest.mark.parametrize("verb", ["resume", "evaluate", "results", "report", "compare", "figure", "ui", "sync"])
def test_the_names_of_sweeps_and_runs_are_known(complete, verb):
    assert complete(verb, "f") == ["fast", "first"] and complete(verb, "fi") == ["first"]


@pytest.mark.parametrize("verb", ["remove", "rename", "watch", "stop"])
def test_they_are_known_to_the_verbs_that_manage_them(complete, verb):
    assert complete(verb, "") == ["fast", "first"]


def test_the_names_are_those_of_the_folder_that_is_named(complete):
    assert complete("results", "--out", "others", "") == ["other"]
    assert complete("results", "--out", "none", "") == []


def test_the_trials_of_a_sweep_are_known(complete):
    assert complete("evaluate", "first/") == ["first/0001", "first/0002"]
    assert complete("results", "first/0002") == ["first/0002"] and complete("results", "none/") == []


def test_data_sets_metrics_and_figures_are_known(complete):
    assert complete("data", "info", "celeb") == ["celeba", "celeba_half"]
    assert complete("evaluate", "first", "--metrics", "ms") == ["mse"]
    assert "mse,prd" in complete("evaluate", "first", "--metrics", "mse,")
    assert "mse,mse" not in complete("evaluate", "first", "--metrics", "mse,")
    assert complete("figure", "first", "trav") == ["traversals"]


def test_specs_and_cluster_files_that_come_with_vaeorch_are_known(complete):
    assert complete("sweep", "quick") == complete("train", "quick") == ["quickstart"]
    assert (
        complete("sweep", "quickstart", "--cluster", "aw")
        == complete("cluster", "up", "aw")
        == ["aws", "aws_multi_gpu"]
    )
    assert complete("examples", "s") == ["slurm", "ssh"]


def test_where_no_shipped_file_begins_so_files_are_completed():
    for verb in (["sweep"], ["cluster", "up"]):
        for word in ("", "my_"):
            offered = ShellComplete(cli, {}, "vaeorch", "_VAEORCH_COMPLETE").get_completions(verb, word)
            assert [item.type for item in offered] == ["file"]


def test_sweeps_that_were_sent_to_a_cluster_are_known_to_its_verbs(complete, tmp_path):
    layout.sent_file(tmp_path / "runs", "far").parent.mkdir()
    layout.sent_file(tmp_path / "runs", "far").write_text("{}")
    assert complete("cluster", "attach", "") == ["far"]
