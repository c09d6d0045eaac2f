"""Machines that cost money are started only after a yes, and dollars are counted only where prices are known."""

from pathlib import Path

import pytest

from orchestrator.clusters.cost import Cost
from orchestrator.storage import layout
from tests.support.fake_clusters import a_sweep


@pytest.fixture
def billed(world):
    world.bill, world.prices = Cost(2.5, 60.0), {"head": 0.5, "gpus": 2.0}
    return world


def asked(monkeypatch, answer):
    """The user is at a terminal, and gives that answer."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda text: answer)


@pytest.mark.parametrize("verb", [("sweep", "tiny.yaml"), ("resume", "tiny"), ("evaluate", "tiny")])
def test_machines_that_cost_money_are_not_started_where_nobody_can_be_asked(billed, there, verb):
    code, _, said = there(*verb)
    assert code == 2 and said.endswith("and nobody can be asked here: add --yes.\n")
    assert billed.did == []


def test_with_yes_they_are_started_and_what_they_are_is_shown(billed, there):
    code, out, _ = there("sweep", "tiny.yaml", "--yes")
    assert code == 0 and out.startswith("cluster      the Ray that runs at")
    assert billed.did == ["up", "submit", "follow", "down"]
    [job] = billed.jobs.values()
    assert job.prices == {"head": 0.5, "gpus": 2.0}


@pytest.mark.parametrize(("answer", "code", "did"), [("y", 0, ["up", "submit", "follow", "down"]), ("", 2, [])])
def test_at_a_terminal_the_user_is_asked_and_an_empty_answer_is_no(billed, there, monkeypatch, answer, code, did):
    asked(monkeypatch, answer)
    assert (there("sweep", "tiny.yaml")[0], billed.did) == (code, did)


def test_a_cluster_that_is_only_started_is_asked_for_too(billed, here):
    (Path.cwd() / "far.yaml").touch()
    assert here("cluster", "up", "far.yaml")[0] == 2 and billed.did == []
    assert here("cluster", "up", "far.yaml", "--yes")[0] == 0 and billed.did == ["up"]


def test_nobody_is_asked_where_nothing_is_billed(world, there):
    assert there("sweep", "tiny.yaml")[0] == 0


def test_a_budget_in_dollars_needs_every_price(billed, there, tmp_path):
    budget = ("--set", "budget.usd=50")
    billed.prices = {"head": 0.5, "gpus": None}
    for words in (["--yes"], ["--dry-run"]):
        code, _, said = there("sweep", "tiny.yaml", *words, *budget)
        assert code == 2 and said.startswith("budget.usd: the price of gpus is not known. Write the usd_per_hour")
    assert billed.did == []
    billed.prices = {"head": 0.5, "gpus": 2.0}
    assert there("sweep", "tiny.yaml", "--yes", *budget)[0] == 0
    billed.drive = a_sweep
    there("sweep", "tiny.yaml", "--yes", "--name", "whole")
    file, done = tmp_path / "runs" / "whole" / layout.SPEC, list(billed.did)
    file.write_text(file.read_text().replace("budget: null", "budget: {usd: 50.0}"))
    billed.prices = {"head": 0.5, "gpus": None}
    code, _, said = there("resume", "whole", "--yes")
    assert code == 2 and said.startswith("budget.usd: the price of gpus is not known")
    assert billed.did == done  # nothing was started
