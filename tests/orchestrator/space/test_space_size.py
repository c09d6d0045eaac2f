"""The work of checking a search grows as the search does, and a search that is too large is refused at once."""

import subprocess
import sys

import pytest

from orchestrator.checks.read import read_spec
from orchestrator.space.candidates import candidates
from orchestrator.spec.diagnostics import SpecError
from orchestrator.storage import layout
from tests.support import ROOT

HEAD = """\
name: a
run:
  method: {name: beta_vae}
  network: {name: mlp, hidden: [8], latent_dim: 2}
  data: {name: circle}
  epochs: 1
scheduler: {name: none}
"""
SMALL = 100


def numbers(count):
    return "[" + ", ".join(f"{0.5 + number / 1000:g}" for number in range(count)) + "]"


def whole(count, step=1):
    return str(list(range(1, count + 1, step)))


SEARCHES = {
    "a grid": lambda n: f"search:\n  method.beta: {{grid: {numbers(n)}}}\n",
    "a choice": lambda n: f"trials: 3\nsearch:\n  method.beta: {{choice: {numbers(n)}}}\n",
    "a choice that is walked": lambda n: (
        f"searcher: {{name: grid}}\nsearch:\n  method.beta: {{choice: {numbers(n)}}}\n"
    ),
    "a choice in a choice": lambda n: (
        "trials: 3\nsearch:\n  method:\n    choice:\n      - {name: ard_vae}\n"
        f"      - {{name: beta_vae, beta: {{choice: {numbers(n)}}}}}\n"
    ),
    "rows": lambda n: (
        "search:\n  method.beta, batch_size: {zip: [" + ", ".join(f"[{i}, {i}]" for i in range(1, n + 1)) + "]}\n"
    ),
    "draws": lambda n: f"trials: {n}\nsearch:\n  method.beta: {{uniform: [1, 2]}}\n",
    "draws beside a grid": lambda n: (
        f"trials: 2\nsearch:\n  batch_size: {{grid: {whole(n)}}}\n  method.beta: {{uniform: [1, 2]}}\n"
    ),
    "a condition on a grid": lambda n: (
        f"search:\n  batch_size: {{grid: {whole(n)}}}\n"
        f"  method.beta: {{grid: [1, 2], when: {{batch_size: {whole(n, 2)}}}}}\n"
    ),
    "unknown keys": lambda n: "search:\n" + "".join(f"  method.key{i}: {{grid: [1, 2]}}\n" for i in range(n)),
    "a grid of mistakes": lambda n: f"search:\n  method.beta: {{grid: [{', '.join(f'-{i + 1}' for i in range(n))}]}}\n",
}


def work(file, text):
    """The number of calls of functions that checking a spec takes."""
    file.write_text(HEAD + text)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        read_spec(file)
    except SpecError:
        pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("name", SEARCHES)
def test_twice_the_values_are_twice_the_work(tmp_path, name):
    work(tmp_path / "spec.yaml", SEARCHES[name](SMALL))  # what is made once is made
    one, two, four = (work(tmp_path / "spec.yaml", SEARCHES[name](times * SMALL)) for times in (1, 2, 4))
    assert four - two < 2.2 * (two - one)


def test_a_grid_of_mistakes_tells_each_with_its_line(tmp_path):
    rows = "\n".join(f"      - -{number}" for number in range(1, 1001))
    (tmp_path / "spec.yaml").write_text(f"{HEAD}search:\n  method.beta:\n    grid:\n{rows}\n")
    with pytest.raises(SpecError) as error:
        read_spec(tmp_path / "spec.yaml")
    assert [line.split(": ")[0].rpartition(":")[2] for line in error.value.lines] == [str(n) for n in range(11, 1011)]


def test_a_grid_holds_its_values_in_their_order(tmp_path):
    (tmp_path / "spec.yaml").write_text(HEAD + SEARCHES["a grid"](SMALL))
    found = candidates(read_spec(tmp_path / "spec.yaml"))
    assert [candidate.config["method.beta"] for candidate in found] == [
        float(f"{0.5 + n / 1000:g}") for n in range(SMALL)
    ]


def test_crossed_grids_are_refused_without_walking_through_them(tmp_path):
    text = f"search:\n  method.beta: {{grid: {numbers(2 * SMALL)}}}\n  batch_size: {{grid: {whole(3 * SMALL)}}}\n"
    (tmp_path / "spec.yaml").write_text(HEAD + text)
    with pytest.raises(SpecError, match="spec.yaml:8: search: asks for more than 10,000 trainings"):
        read_spec(tmp_path / "spec.yaml")
    assert work(tmp_path / "spec.yaml", text) < 2 * work(tmp_path / "other.yaml", SEARCHES["a grid"](5 * SMALL))


@pytest.mark.parametrize("more", ["trials: 100000000", "seeds: 100000000", "confirm: {top: 99999, seeds: 99999}"])
def test_numbers_without_measure_are_refused_at_once(tmp_path, more):
    trials = "" if "trials" in more else "trials: 2\n"
    (tmp_path / "spec.yaml").write_text(f"{HEAD}{trials}{more}\nsearch:\n  method.beta: {{uniform: [1, 2]}}\n")
    with pytest.raises(SpecError, match="more than 10,000 trainings") as error:
        read_spec(tmp_path / "spec.yaml")
    assert len(error.value.lines) == 1


@pytest.mark.parametrize(
    ("domain", "cure"),
    [
        ("uniform: [2, 8]", "Write {randint: [2, 8]}."),
        ("loguniform: [2, 8]", "Write {randint: [2, 8]}, or some such values as {choice: [2, 8]}."),
        ("quniform: [1, 2, 0.5]", "Make low, high and step whole numbers."),
        ("normal: [50, 1]", "Write a randint, or a choice."),
    ],
)
def test_numbers_that_need_not_be_whole_are_refused_with_a_domain_of_whole_ones(tmp_path, domain, cure):
    (tmp_path / "spec.yaml").write_text(f"{HEAD}trials: 2\nsearch:\n  batch_size: {{{domain}}}\n")
    with pytest.raises(SpecError) as error:
        read_spec(tmp_path / "spec.yaml")
    word = domain.partition(":")[0]
    assert all(
        line.endswith(f"must be a whole number, and '{word}' draws others. {cure}") for line in error.value.lines
    )


@pytest.mark.parametrize("name", ["mlflow.db", "MLflow.db", "mlflow.db-wal", "mlartifacts", "mlruns", "Prepared"])
def test_names_of_our_own_beside_the_sweeps_are_refused_as_those_of_new_sweeps(tmp_path, name):
    (tmp_path / "spec.yaml").write_text(HEAD.replace("name: a", f"name: {name}", 1))
    with pytest.raises(SpecError, match=f"spec.yaml:1: name: '{name}' is a name of vaeorch's own in --out"):
        read_spec(tmp_path / "spec.yaml", taken=layout.TAKEN)
    assert read_spec(tmp_path / "spec.yaml").name == name  # a sweep that has it is resumed


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("hidden: [8]", "hidden: [8000000, 900000000]", "hidden"),
        ("latent_dim: 2", "latent_dim: 9000000000", "latent_dim"),
    ],
)
def test_a_network_that_no_memory_holds_is_a_mistake_in_run_and_search(tmp_path, old, new, where):
    (tmp_path / "spec.yaml").write_text(HEAD.replace(old, new))
    with pytest.raises(
        SpecError, match=rf"spec.yaml:4: run.network.{where}: a layer of [\d,]+ x [\d,]+ weights has no"
    ):
        read_spec(tmp_path / "spec.yaml")
    (tmp_path / "spec.yaml").write_text(f"{HEAD}search:\n  network.{where}: {{grid: [{new.partition(': ')[2]}]}}\n")
    with pytest.raises(SpecError, match=rf"spec.yaml:9: search.network.{where}.grid\[0\]: a layer of"):
        read_spec(tmp_path / "spec.yaml")


def test_a_run_that_memory_does_not_hold_is_one_line(tmp_path):
    (tmp_path / "spec.yaml").write_text(HEAD.replace("hidden: [8]", "hidden: [65536, 65536, 65536]"))
    spec = read_spec(tmp_path / "spec.yaml")
    limit = "import resource as r; r.setrlimit(r.RLIMIT_AS, (8 << 30, 8 << 30)); from orchestrator.cli.main import main"
    words = ["vaeorch", "train", str(tmp_path / "spec.yaml"), "--out", str(tmp_path)]
    call = [sys.executable, "-c", f"{limit}; import sys; sys.argv = {words}; main()"]
    said = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 2
    assert said.stderr.startswith(
        f"{tmp_path / spec.name}: the network or a batch has no room in memory. Make network."
    )


def test_each_unknown_key_is_told_once_with_its_line(tmp_path):
    keys = "".join(f"  method.key{number}: {{grid: [1, 2]}}\n" for number in range(500))
    (tmp_path / "spec.yaml").write_text(f"{HEAD}search:\n  method.beta: {{grid: [-1, 2]}}\n{keys}")
    with pytest.raises(SpecError) as error:
        read_spec(tmp_path / "spec.yaml")
    places = [line.split(": ")[0].rpartition(":")[2] for line in error.value.lines]
    assert places == [str(number) for number in range(8, 510)]  # of the search, too, and of a known key
