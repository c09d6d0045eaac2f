"""`vaeorch examples`: what comes with vaeorch, what each file needs, and a copy to edit."""

import json

import pytest

from orchestrator.spec.shipped import CLUSTERS, KINDS, SPECS
from tests.support import ROOT


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return tmp_path


@pytest.fixture
def listed(vaeorch):
    code, out, _ = vaeorch("examples", "--json")
    assert code == 0
    return {kind: {each["name"]: each for each in some} for kind, some in json.loads(out).items()}


def test_every_shipped_file_is_listed_once_within_100_columns(vaeorch, here):
    code, out, err = vaeorch("examples")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    first = [line.partition(" ")[0] for line in out.splitlines()]
    for name in (name for kind in KINDS for name in kind.files()):
        assert first.count(name) == 1


def test_the_list_says_how_much_a_spec_trains_and_what_it_needs(vaeorch, here):
    lines = {line.split()[0]: line.split() for line in vaeorch("examples")[1].splitlines() if line.strip()}
    assert lines["quickstart"][1:5] == ["16", "x", "27", "no"]
    assert lines["ard_table_1"][1:7] == ["100", "x", "35", "to", "60", "advised"]


def test_as_json_the_list_has_all_facts(listed):
    assert set(listed["specs"]) == set(SPECS.files()) and set(listed["clusters"]) == set(CLUSTERS.files())
    quickstart = {key: value for key, value in listed["specs"]["quickstart"].items() if key != "what"}
    file = str(ROOT / "search_spaces" / "quickstart.yaml")
    facts = {"trials": 16, "epochs": [27], "gpu": "no", "data": {"digits": "no files"}, "file": file}
    assert quickstart == {"name": "quickstart", **facts}
    assert listed["specs"]["ardvae_mnist"]["data"] == {"mnist32": "downloaded"}
    assert listed["specs"]["intelvae_celeba"]["data"] == {"celeba": "by hand"}
    assert listed["specs"]["intelvae_celeba"]["gpu"] == "advised"
    assert listed["clusters"]["aws_multi_gpu"]["kind"] == "aws"


def test_each_file_says_in_a_line_what_it_is(listed):
    for each in (each for some in listed.values() for each in some.values()):
        assert 10 < len(each["what"]) < 120 and "\n" not in each["what"], each["name"]


def test_the_data_sets_that_are_downloaded_are_those_that_the_code_downloads():
    from trainables.data import DATASETS
    from trainables.data.sets.mnist import Published

    assert {record for record in DATASETS if record.is_downloaded} == {
        record for record in DATASETS if issubclass(record, Published)
    }


@pytest.mark.parametrize("name", ["quickstart", "ard_table_1", "aws"])
def test_a_copy_is_the_shipped_file_and_takes_the_place_of_its_name(vaeorch, here, name):
    [file] = [kind.files()[name] for kind in KINDS if name in kind.files()]
    assert vaeorch("examples", name) == (0, f"{name}.yaml\n", "")
    assert (here / f"{name}.yaml").read_bytes() == file.read_bytes()


def test_a_copy_goes_where_it_is_told_and_overwrites_nothing(vaeorch, here):
    assert vaeorch("examples", "local", "--to", "mine.yaml")[0] == 0
    (here / "mine.yaml").write_text("changed")
    code, out, err = vaeorch("examples", "local", "--to", "mine.yaml")
    assert (code, out, err) == (2, "", "mine.yaml: is there already. Choose another file by --to.\n")
    assert (here / "mine.yaml").read_text() == "changed"


MISTAKES = [
    (["quickstrat"], "Did you mean 'quickstart'?"),
    (["--to", "mine.yaml"], "--to is for a copy"),
    (["local", "--to", "no/such/folder.yaml"], "cannot be written: No such file or directory."),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_mistakes_are_one_line(vaeorch, here, words, said):
    code, out, err = vaeorch("examples", *words)
    assert (code, out) == (2, "") and said in err and len(err.splitlines()) == 1
    assert not list(here.iterdir())
