"""The specs and cluster files that come with vaeorch are found by their names, wherever a file is to be named."""

from pathlib import Path

import pytest

from orchestrator.spec.diagnostics import SpecError
from orchestrator.spec.shipped import CLUSTERS, KINDS, SPECS, find_cluster, find_spec
from tests.support import ROOT


def line_of(word, find=find_spec):
    with pytest.raises(SpecError) as error:
        find(Path(word))
    [line] = error.value.lines
    return line


def test_each_file_of_the_repository_is_shipped_and_has_a_name_of_its_own():
    there = [file for folder in ("search_spaces", "clusters") for file in (ROOT / folder).rglob("*") if file.is_file()]
    assert len(there) > 30
    assert sorted(file for kind in KINDS for file in kind.files().values()) == sorted(there)
    assert not set(SPECS.files()) & set(CLUSTERS.files())


def test_a_name_finds_the_shipped_file_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_spec(Path("quickstart")) == ROOT / "search_spaces" / "quickstart.yaml"
    assert find_spec(Path("ard_table_1")) == ROOT / "search_spaces" / "papers" / "ard_table_1.yaml"
    assert find_cluster(Path("aws")) == ROOT / "clusters" / "aws.yaml"


def test_a_file_of_the_users_own_comes_first_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("name: mine")
    (tmp_path / "geco_mnist").mkdir()
    assert find_spec(Path("quickstart")) == Path("quickstart")
    assert find_spec(Path("geco_mnist")) == ROOT / "search_spaces" / "geco_mnist.yaml"
    assert find_spec(tmp_path) == tmp_path  # whoever reads it says that it is a folder


def test_a_name_that_is_neither_gets_a_line_with_the_nearest_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    neither = "there is no such file, and no spec of this name comes with vaeorch."
    assert line_of("quickstrat") == f"quickstrat: {neither} Did you mean 'quickstart'? List all: vaeorch examples"
    assert line_of("no/such/Quickstart.yaml") == (
        f"no/such/Quickstart.yaml: {neither} Did you mean 'quickstart'? List all: vaeorch examples"
    )
    assert line_of("xyzzy") == f"xyzzy: {neither} List all: vaeorch examples"
    assert "'vimae_tables_1_4' or " in line_of("vimae_table_1")
    assert "Did you mean 'slurm'?" in line_of("slurn", find_cluster)


@pytest.mark.parametrize("word", ["a\0b", "x" * 5000, "/dev/null/x"])
def test_a_word_that_can_be_no_file_is_left_to_whoever_reads_it(word):
    assert find_spec(Path(word)) == Path(word)
