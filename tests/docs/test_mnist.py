"""Samples of each method are on the page of methods where there are some, and else the page says so."""

import json

import pytest

from docs.build import mnist
from docs.build.pages import PAGES
from orchestrator.checks.read import read_plan
from trainables.common.records import name_of
from trainables.methods import METHODS


@pytest.fixture
def page() -> str:
    return PAGES["reference/methods.md"]()


def test_without_mnist_there_are_no_pictures_and_the_page_says_so(page, tmp_path, monkeypatch):
    monkeypatch.delenv("VAEORCH_DATA", raising=False)
    assert mnist.pictures(tmp_path) == {}
    text = mnist.with_samples(page, tmp_path)
    assert mnist.ABSENT in text
    assert "![" not in text


def test_the_first_trial_of_a_method_is_shown_below_its_heading(page, tmp_path):
    sweep = tmp_path / "runs" / mnist.NAME
    for trial, method in {"0001": "vae", "0002": "vae", "0003": "rae"}.items():
        (sweep / "trials" / trial / "pictures" / "0010").mkdir(parents=True)
        (sweep / "trials" / trial / "config.json").write_text(json.dumps({"run": {"method": {"name": method}}}))
        (sweep / "trials" / trial / "pictures" / "0010" / "samples.png").write_bytes(b"")
    (sweep / "results.json").write_text("{}")
    drawn = mnist.pictures(tmp_path)
    assert drawn.keys() == {"made/samples/vae.png", "made/samples/rae.png"}
    assert "0001" in drawn["made/samples/vae.png"].parts
    text = mnist.with_samples(page, tmp_path)
    assert text.count("![") == 2
    assert mnist.TOLD in text
    assert text.split("## `rae` {#rae}")[1].lstrip().startswith("![Samples of rae](../made/samples/rae.png)")


def test_its_changes_are_ones_that_the_sweep_of_all_methods_takes():
    plan = read_plan(mnist.DOCS.parent / "search_spaces" / "all_methods.yaml", mnist.CHANGES)
    assert {trial.run["method"]["name"] for trial in plan.trials} == {name_of(method) for method in METHODS}
