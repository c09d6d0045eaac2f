"""Every command and every YAML file in the documentation is one that the program takes."""

import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from docs.build.sweep import DOCS, Block, blocks
from orchestrator.checks.read import read_plan
from orchestrator.cli.main import cli
from orchestrator.clusters.read import read_cluster
from orchestrator.spec.records import SweepSpec
from tests.support import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
INLINE = re.compile(r"`(vaeorch [^`]*)`")
OTHERS = {".", "docker", "eval", "python"}
"""Programs of others that pages call."""
SEARCHED = "<!-- needs free_bits_vae -->"

BASE = {
    "name": "base",
    "run": {
        "method": {"name": "vae"},
        "network": {"name": "mlp", "hidden": [8], "latent_dim": 4},
        "data": {"name": "digits"},
        "epochs": 2,
        "batch_size": 8,
    },
}
"""What parts of a spec are parts of."""


@pytest.fixture(scope="module")
def own_data(tmp_path_factory) -> Path:
    """The data of the guide to one's own data: pictures of two classes, and curves."""
    root = tmp_path_factory.mktemp("data")
    for kind in ("rose", "tulip"):
        (root / "flowers" / kind).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (210 + number, 220), (9 * number, 80, 10)).save(root / "flowers" / kind / f"{number}.png")
    np.savez(root / "curves.npz", x=np.random.default_rng(0).random((100, 20), dtype=np.float32))
    return root


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with all files that commands of pages name: those of the repository, of the pages, and SPEC and FILE."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    shutil.copytree(ROOT / "clusters", folder / "clusters")
    shutil.copy(ROOT / "search_spaces" / "quickstart.yaml", folder / "SPEC")
    shutil.copy(ROOT / "clusters" / "ssh.yaml", folder / "FILE")
    for block in (block for page in PAGES for block in of_language(page, "yaml") if block.title):
        (folder / block.title).write_text(block.text)
    return folder


def parse(words: list[str], whole: bool = True) -> None:
    """Parse a command as click does, without running it. Raises click.UsageError."""
    command, name = cli, ["vaeorch"]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{shlex.join(name)} has no {words[0]}"
        command, name, words = command.commands[words[0]], [*name, words[0]], words[1:]
    if isinstance(command, click.Group) or not (words or whole):
        return
    try:
        command.make_context(shlex.join(name), list(words))
    except click.MissingParameter:
        assert not whole, f"{shlex.join(name)}: an argument is missing"


def of_language(page: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(page.read_text()) if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_is_one_that_the_program_takes(page, desk, monkeypatch):
    monkeypatch.chdir(desk)
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in of_language(page, "bash"):
        for program, *words in block.commands():
            if program == "vaeorch":
                parse(words)
            elif program == "make":
                assert set(words) <= set(targets), f"{page}:{block.line}: make {words}"
            else:
                assert program in OTHERS, f"{page}:{block.line}: {program}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_within_a_line_names_a_verb_and_options_that_there_are(page, desk, monkeypatch):
    monkeypatch.chdir(desk)
    for command in INLINE.findall(page.read_text()):
        parse(command.split()[1:], whole=False)


def test_a_command_that_the_program_does_not_take_is_found(desk, monkeypatch):
    monkeypatch.chdir(desk)
    with pytest.raises(click.NoSuchOption):
        parse(["sweep", "first.yaml", "--fast"])
    with pytest.raises(AssertionError, match="has no train_all"):
        parse(["train_all"])
    with pytest.raises(AssertionError, match="missing"):
        parse(["rename", "one"])


def merged(base: dict, more: dict) -> dict:
    both = {key: merged(base[key], more[key]) for key in base.keys() & more.keys() if isinstance(base[key], dict)}
    return base | more | both


def completed(values: dict) -> dict:
    """A whole spec: what a page shows of one, in the place where it belongs."""
    if values.keys() <= SweepSpec.model_fields.keys():
        return merged(BASE, values)
    return merged(BASE, {"run": values})


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_yaml_file_is_a_sound_spec_or_cluster_file_or_a_part_of_one(page, own_data, tmp_path, monkeypatch):
    monkeypatch.chdir(own_data)
    text = page.read_text()
    for block in of_language(page, "yaml"):
        before = text.splitlines()[block.line - 2] if block.line > 1 else ""
        values = YAML(typ="safe", pure=True).load(block.text)
        file = tmp_path / "block.yaml"
        if before == SEARCHED:
            continue  # test_own_method.py reads it, where there is this method
        if "kind" in values:
            file.write_text(block.text)
            read_cluster(file)
        elif {"name", "run"} <= values.keys():
            file.write_text(block.text)
            read_plan(file)
        else:
            YAML(typ="safe", pure=True).dump(completed(values), file)
            read_plan(file)


def test_there_are_commands_and_yaml_files_to_check():
    found = [block for page in PAGES for block in of_language(page, "bash", "yaml")]
    assert len([block for block in found if block.language == "bash"]) > 40
    assert len([block for block in found if block.language == "yaml"]) > 20
    assert all("```" not in block.text for block in found)


def test_the_spec_in_the_readme_is_a_part_of_the_shipped_quickstart():
    shipped = YAML(typ="safe", pure=True).load((ROOT / "search_spaces" / "quickstart.yaml").read_text())
    (block,) = of_language(ROOT / "README.md", "yaml")
    shown = YAML(typ="safe", pure=True).load(block.text)
    assert shown["run"].items() <= shipped["run"].items()
    for option in shown["search"]["method"]["choice"]:
        assert option in shipped["search"]["method"]["choice"]
    assert {key: shown[key] for key in shown.keys() - {"run", "search"}}.items() <= shipped.items()
