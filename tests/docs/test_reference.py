"""The pages that are made from the code hold all of it."""

import re
from functools import cache

import pytest
from ruamel.yaml import YAML

import vaeorch
from docs.build.files import sections
from docs.build.models import differences, loss
from docs.build.pages import PAGES
from docs.build.program import commands
from docs.build.records import TABLES
from docs.build.sweep import DOCS
from orchestrator import signals
from orchestrator.checks.read import schema
from orchestrator.cli import main
from orchestrator.clusters.read import cluster_schema
from orchestrator.errors import EXIT_CODES
from orchestrator.figures.table import FIGURES
from orchestrator.storage import layout
from orchestrator.sweep.state import APPLY
from tests.support import ROOT
from trainables.common.records import name_of
from trainables.data import DATASETS
from trainables.evaluations import EVALUATIONS
from trainables.methods import METHODS
from trainables.methods.vae import VAE
from trainables.metrics import METRICS

LINK = re.compile(r"\]\(([^)\s]+)\)")


@cache
def made(page: str) -> str:
    return PAGES[page]()


@pytest.mark.parametrize("page", TABLES)
def test_every_record_is_on_its_page_with_its_fields_and_source(page):
    text = made(f"reference/{page}")
    for record in TABLES[page]:
        parts = text.split(f"`{name_of(record)}` {{#")
        assert len(parts) >= 2, record
        own = parts[1]
        for field in record.model_fields.keys() - {"name"}:
            assert f"| `{field}` |" in own, (record, field)
        assert not record.source or record.source.split(",")[0].replace("_", r"\_").replace("&", "&amp;") in own


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_every_method_has_its_loss(method):
    assert len(loss(method)) > 5
    assert "loss = " in made("reference/methods.md").split(f"`{name_of(method)}` {{#")[1].split("\n## ")[0]


def test_where_paper_and_code_differ_is_taken_from_the_docstrings():
    assert any("notebooks have 1" in line for line in differences(VAE))
    assert not any("Weight of the sparse loss" in line for line in differences(VAE))


def test_every_definition_of_the_schemas_has_its_place():
    whole = schema()["$defs"]
    pages = "\n".join(made(page) for page in PAGES)
    records = {record.__name__ for records in TABLES.values() for record in records}
    for name, definition in whole.items():
        if name in records or name.startswith("trainables__") or name == "Option":
            continue
        fields = [field for field in definition.get("properties", {}) if field not in ("name", "when")]
        for field in fields:
            assert f"| `{field}` |" in pages or f"{{{field}: [...]}}" in pages, (name, field)
    for name, definition in cluster_schema()["$defs"].items():
        for field in definition["properties"].keys() - {"kind"}:
            assert f"| `{field}` |" in made("reference/cluster-file.md"), (name, field)


def test_every_command_is_on_its_page_with_its_options():
    text = made("reference/commands.md")
    for name, command in commands():
        own = text.split(f"## `{name}` {{#")[1].split("\n## ")[0]
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"`{option}`" in own, (name, option)
    assert "`vaeorch driver`" not in text


def test_what_python_offers_is_on_its_page_as_its_source_has_it():
    text = made("reference/python.md")
    assert all(f"## `vaeorch.{name}` {{#" in text for name in vaeorch.__all__)
    assert "vaeorch.load(place: str | Path, data_root: Root = None, out: Path = 'runs') -> Model" in text
    assert "## `Model.sample`" in text


def test_every_file_of_a_run_is_on_its_page_with_what_it_is():
    files = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    told = {name: text for _, rows in sections() for name, text in rows}
    assert told.keys() == set(files.values())
    assert all(text for text in told.values())


def test_every_event_of_a_journal_is_on_the_page_of_files_with_what_it_says():
    for event, apply in APPLY.items():
        assert apply.__doc__, f"{apply.__qualname__} has no docstring, which says what the event '{event}' means"
        assert f"| `{event}` | {apply.__doc__[:20]}" in made("reference/run-folder.md")


def test_every_exit_code_is_on_its_page():
    codes = {main.NO_RESULT, main.USERS_MISTAKE, main.CLUSTER_FAILED}
    codes |= {signals.exit_code(KeyboardInterrupt()), signals.exit_code(signals.Terminated())}
    assert codes | {0, 141} == EXIT_CODES.keys()
    assert all(f"| `{code}` |" in made("reference/exit-codes.md") for code in EXIT_CODES)


def test_every_metric_number_and_figure_is_on_its_page():
    assert all(f"`val/{metric.name}`" in made("reference/metrics.md") for metric in METRICS)
    numbers = [name.replace("[1-9]", "") for record in EVALUATIONS for name in record.gives]
    assert all(f"| `{name}` |" in made("reference/evaluations.md") for name in numbers)
    assert all(f"| `{kind}` |" in made("reference/figures.md") for kind in FIGURES)


def column(page: str, head: str, number: int) -> set[str]:
    """The code words in a column of the table of a page whose first line begins with `head`."""
    _, _, table = (DOCS / page).read_text().partition(f"\n| {head}")
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[number])}


def test_guides_name_evaluations_and_data_sets_that_there_are():
    assert column("guides/evaluating.md", "you care about", 1) <= {name_of(record) for record in EVALUATIONS}
    assert column("guides/your-own-data.md", "`data`", 0) == {name_of(record) for record in DATASETS}
    kinds = column("guides/reproducing-a-paper.md", "kinds", 0)
    assert kinds == FIGURES.keys()


def pages_of(nav: list) -> list[str]:
    values = [entry if isinstance(entry, str) else next(iter(entry.values())) for entry in nav]
    return [page for value in values for page in ([value] if isinstance(value, str) else pages_of(value))]


def test_every_page_can_be_found_in_the_navigation():
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    nav = pages_of(YAML(typ="safe", pure=True).load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert len(nav) == len(set(nav))
    assert set(nav) == written | PAGES.keys()


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings: those that it gives them, and those that MkDocs makes."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    given = [re.search(r"\{#(.*)\}$", title) for title in titles]
    return {
        found[1] if found else re.sub(r"[^\w]+", "-", title.lower()).strip("-")
        for title, found in zip(titles, given, strict=True)
    }


def test_every_link_leads_somewhere():
    texts = {page.relative_to(ROOT).as_posix(): page.read_text() for page in (*DOCS.rglob("*.md"), *ROOT.glob("*.md"))}
    texts |= {f"docs/{page}": made(page) for page in PAGES}
    for page, text in texts.items():
        for link in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
            path, _, anchor = link.partition("#")
            if path.startswith(("http", "made/", "../made/")):
                continue
            target = ((ROOT / page).parent / path).resolve().relative_to(ROOT.resolve()).as_posix() if path else page
            assert target in texts or (ROOT / target).is_file(), (page, link)
            assert not anchor or anchor in anchors(texts[target]), (page, link)
