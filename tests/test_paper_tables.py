"""The sweeps of search_spaces/papers: each is sound, and each of its numbers stands in the table that it names.

The tables are read from the text of the papers, which is not ours to ship: where it is not beside the repository, the
comparison is skipped.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from orchestrator.checks.read import read_spec, schema
from orchestrator.space.plan import Plan
from orchestrator.space.trials import RunTable, list_trials, notes
from orchestrator.spec.published import PrintedTable
from orchestrator.spec.records import SweepSpec
from tests.support import BESIDE, ROOT
from tests.support.paper_tables import PAPERS, Cell, Number, read_table
from trainables.data.access import DataAccess
from trainables.data.loading import read_facts
from trainables.run import Run
from trainables.values import value_named

FILES = sorted((ROOT / "search_spaces" / "papers").glob("*.yaml"))
TRAININGS = {
    "intel_table_1": (5 + 1 + 3) * 10,
    "intel_table_2": 6 * 10,
    "intel_table_3": 5 * 10,
    "intel_table_4": (3 + 2 + 3 * 2) * 10,
    "intel_table_b1": (8 + 2 + 1) * 10,
    "intel_figure_3": (2 + 3) * 10,
    "intel_figure_4": (5 * 2 * 2 + 5) * 10,
    "intel_figure_b2": 1,
    "intel_figure_7": 2 * (1 + 8 * 2 + 2 + 4) * 10,
    "intel_appendix_c3": 10 * 10,
    "ard_table_1": 2 * (4 + 2 + 4) * 5,
    "ard_table_2": 2 * 7 * 5,
    "ard_table_3": (3 + 4 + 3 + 4) * 5,
    "ard_table_4": (2 + 2 + 1 + 1) * 5,
    "ard_table_5": 2 * 2 * 5,
    "ard_table_s1": 4 + 4 + 2,
    "ard_table_s9": 2 * 7 * 5,
    "vimae_tables_1_4": 5,
    "vimae_tables_2_5": 2 * 5,
    "vimae_table_3": 5,
    "vimae_figure_1": 5,
}

CASES = [(paper, table) for paper, tables in PAPERS.items() for table in tables]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The papers' text by the first word of their sweeps' names; skips where they are not beside the data."""
    folder = Path(os.environ.get("VAEORCH_DATA") or BESIDE).parent / "papers"
    files = {paper: folder / f"{paper}{'' if paper == 'vimae' else '-vae'}.txt" for paper in PAPERS}
    absent = [file.name for file in files.values() if not file.is_file()]
    if absent:
        pytest.skip(f"no {', '.join(absent)} in {folder}: numbers are not compared with the papers")
    return {paper: file.read_text(encoding="utf-8") for paper, file in files.items()}


@pytest.fixture(scope="module")
def specs() -> dict[str, SweepSpec]:
    return {file.stem: read_spec(file) for file in FILES}


def runs_of(spec: SweepSpec) -> list[dict[str, Any]]:
    """One run of each configuration."""
    return [trial.run for trial in list_trials(spec)][:: spec.seeds]


def test_each_sweep_has_its_number_of_trainings_written_here():
    assert {file.stem for file in FILES} == set(TRAININGS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_sweep_of_a_paper_is_sound_without_any_data_set_on_disk(file, tmp_path):
    spec = read_spec(file, data=DataAccess(tmp_path))
    listed = list_trials(spec)
    assert spec.name == file.stem and spec.description
    searching = Plan(spec, listed).searching
    assert searching == len(listed) == TRAININGS[file.stem]
    assert not notes(spec, range(searching))
    assert len({repr(trial.run) for trial in listed}) == len(listed)
    for run in runs_of(spec):
        built = Run.model_validate_json(json.dumps(run))
        assert not list(built.mistakes(read_facts(built.data, tmp_path)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_sweep_of_a_paper_fits_the_schema_and_names_its_source_and_what_is_ours(file):
    text = file.read_text()
    jsonschema.validate(YAML(typ="safe", pure=True).load(text), schema())
    head = text.partition("name:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "\n# Source: " in head and "\n# Ours: " in head


def test_each_printed_number_is_of_one_configuration_and_stands_in_its_table_once(specs):
    for spec in specs.values():
        runs = runs_of(spec)
        for table in spec.paper:
            keys = [key_of(spec, runs, cell.of, cell.metric) for cell in table.cells()]
            assert all(len(configurations) == 1 for _, configurations, _ in keys), (spec.name, table.table)
            assert len(set(keys)) == len(keys), (spec.name, table.table)


def test_each_table_is_compared_here(specs):
    named_by = {(paper_of(name), number_of(table)) for name, spec in specs.items() for table in spec.paper}
    assert named_by - {("intel", "C.3")} == set(CASES)  # C.3 is text


def test_each_number_is_given_by_what_its_file_evaluates(specs):
    for spec in specs.values():
        asked = spec.evaluate.metrics if spec.evaluate else ()
        given = {(evaluation.name, getattr(evaluation, "axes", None)) for evaluation in asked}
        values = [value_named(cell.metric) for table in spec.paper for cell in table.cells()]
        assert {(value.evaluation, value.axes) for value in values} <= given, spec.name


@pytest.mark.parametrize(("paper", "name"), CASES, ids=lambda value: str(value))
def test_the_numbers_of_a_table_are_those_that_the_paper_prints_all_and_no_others(specs, texts, paper, name):
    mine = [spec for spec in specs.values() if paper_of(spec.name) == paper]
    parts = [(spec, table) for spec in mine for table in spec.paper if number_of(table) == name]
    concerned = {spec.name: (spec, runs_of(spec)) for spec, _ in parts}
    ours = {
        key_of(*concerned[spec.name], cell.of, cell.metric): (cell.mean, cell.std)
        for spec, table in parts
        for cell in table.cells()
    }
    cells = read_table(texts[paper], paper, name)
    theirs = [found for cell, number in cells for found in keyed(cell, number, concerned)]
    assert ours == dict(theirs)
    assert len(ours) == len(theirs)


def test_the_text_on_the_sparse_loss_has_its_two_scores(specs, texts):
    (words,) = re.findall(r"> 30\.0\$[^(]*\(\$([\d.]+) \\rightarrow ([\d.]+)\$\)", texts["intel"])
    without, most = specs["intel_appendix_c3"].paper[0].cells()
    assert (without.mean, most.mean) == tuple(map(float, words))
    assert without.of == {"method.gamma": 0} and most.of["method.gamma"] > 30


def paper_of(sweep: str) -> str:
    return sweep.partition("_")[0]


def number_of(table: PrintedTable) -> str:
    """Table S10 -> S10."""
    return table.table.rpartition(" ")[2]


def key_of(spec: SweepSpec, runs: list[dict], row: Cell, metric: str) -> tuple:
    """The same for the same number, however its row is written."""
    return spec.name, tuple(RunTable(runs).selected(row)), metric


def keyed(cell: Cell, number: Number, concerned: dict) -> Iterator[tuple[tuple, Number]]:
    """A cell of the paper with the key that its number has in each sweep that trains it."""
    row = {path: value for path, value in cell.items() if path != "metric"}
    found = [
        (key_of(spec, runs, row, cell["metric"]), number)
        for spec, runs in concerned.values()
        if RunTable(runs).selected(row)
    ]
    assert found, f"no sweep trains {cell}"
    yield from found
