"""What changed while a sweep or a run lay still is told, or refused where its journal contradicts it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from orchestrator.checks.read import read_spec
from orchestrator.commands import resume as resuming
from orchestrator.errors import UserError
from orchestrator.space.plan import Plan
from orchestrator.storage import layout
from orchestrator.sweep import changes, reuse
from orchestrator.sweep.folder import claim
from orchestrator.sweep.open import Start, open_queue
from tests.support.data_files import picture, put
from trainables.data import Array, fingerprints
from trainables.data.access import HERE
from trainables.data.prepared.prepare import prepare

SPEC = """\
name: own
description: to see what changes
run:
  method: {name: beta_vae, beta: 0.5}
  network: {name: mlp, hidden: [8], latent_dim: 2}
  data: {name: array, DATA}
  optimizer: {lr: 1e-3}
  epochs: 3
  batch_size: 10
search:
  batch_size: {grid: [10, 20]}
seeds: 2
scheduler: {name: none}
"""
LATER = 10.0  # seconds


def write_rows(file: Path, seed: int = 0, width: int = 6, label: int = 0, rows: int = 60) -> None:
    x = np.random.default_rng(seed).random((rows, width), np.float32)
    np.savez(file, x=x, y=np.full(rows, label))


def write_pictures(folder: Path, rows: int = 30) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 8, 8), np.uint8)
    put(folder, {f"{number:02d}.png": picture(image) for number, image in enumerate(pixels)})


class Begun:
    """The sweep `own` in `out`, which was killed once its journal was begun; and whether it has gone on."""

    def __init__(self, out: Path, vaeorch, data: str):
        self.out, self.vaeorch, self.went_on = out, vaeorch, 0
        self.source = out / "own.yaml"
        self.source.write_text(SPEC.replace("DATA", data))
        self.spec = read_spec(self.source)
        self.folder = claim(out, self.spec)
        self.open()

    def open(self) -> None:
        open_queue(Plan.of(self.spec), self.folder, Start(source=str(self.source)))

    def go_on(self, *args) -> None:
        self.went_on += 1
        self.open()

    def resume(self) -> tuple[int, list[str]]:
        """The exit code, and what was said."""
        code, out, err = self.vaeorch("resume", "own", "--out", self.out)
        assert "Traceback" not in err
        return code, [line for line in (out + err).splitlines() if line]

    def edit(self, old: str, new: str) -> None:
        file = self.folder / "spec.yaml"
        text = file.read_text()
        assert text.count(old) == 1, text
        file.write_text(text.replace(old, new))

    def forget(self, *names: str) -> None:
        """Make the journal one that does not have these facts."""
        event, *rest = map(json.loads, (self.folder / layout.JOURNAL).read_text().splitlines())
        made = {name: value for name, value in event["made_with"].items() if name not in names}
        event = {name: value for name, value in event.items() if name not in names} | {"made_with": made}
        (self.folder / layout.JOURNAL).write_text("".join(json.dumps(one) + "\n" for one in (event, *rest)))


@pytest.fixture
def begin(tmp_path, vaeorch, monkeypatch):
    """Begins the sweep on data; to go on, all that takes long is left out."""
    monkeypatch.setattr(resuming, "prepare", lambda *args: None)

    def begin(data: str) -> Begun:
        sweep = Begun(tmp_path, vaeorch, data)
        monkeypatch.setattr(resuming, "run_and_report", sweep.go_on)
        return sweep

    return begin


@pytest.fixture
def rows(tmp_path) -> Path:
    write_rows(tmp_path / "rows.npz")
    return tmp_path / "rows.npz"


@pytest.fixture
def begun(begin, rows) -> Begun:
    return begin(f"path: {rows}")


def test_what_is_as_it_was_goes_on_without_a_word(begun):
    assert begun.resume() == (0, []) and begun.went_on == 1
    assert begun.resume() == (0, []) and begun.went_on == 2
    assert len((begun.folder / layout.JOURNAL).read_text().splitlines()) == 1


def test_the_name_of_a_sweep_is_that_of_its_folder_whatever_its_spec_says(begun):
    rewritten(begun)
    begun.edit("name: own\n", "name: other\n")
    assert begun.resume() == (0, []) and begun.went_on == 1
    begun.folder = begun.folder.rename(begun.folder.with_name("moved"))
    code, out, err = begun.vaeorch("resume", "moved", "--out", begun.out)
    assert (code, out, err) == (0, 'changed      spec.yaml: name was "own", is "moved"\n', "") and begun.went_on == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("grid: [10, 20]", "grid: [10, 30]", "search.batch_size.grid was [10, 20], is [10, 30]"),
        ("seeds: 2", "seeds: 3", "seeds was 2, is 3"),
        ("epochs: 3", "epochs: 5", "run.epochs was 3, is 5"),
        ("lr: 0.001", "lr: 0.01", "run.optimizer.lr was 0.001, is 0.01"),
        ("search_seed: 0", "search_seed: 1", "search_seed was 0, is 1"),
        ("metric: val/elbo", "metric: val/nll", 'objective.metric was "val/elbo", is "val/nll"'),
        ("scheduler: {name: none}", "scheduler: {name: asha}", 'scheduler.name was "none", is "asha"'),
        ("beta: 0.5", "beta: 0.25", "run.method.beta was 0.5, is 0.25"),
    ],
)
def test_a_spec_that_was_edited_is_refused_in_a_line_that_names_the_change(begun, old, new, told):
    rewritten(begun)
    begun.edit(old, new)
    code, [line] = begun.resume()
    assert code == 2 and begun.went_on == 0
    assert told in line and "was changed since the sweep began" in line and "start anew with another --name" in line
    number = int(line.removeprefix(f"{begun.folder / 'spec.yaml'}:").partition(":")[0])
    assert new.split(":")[0] in (begun.folder / "spec.yaml").read_text().splitlines()[number - 1]


def rewritten(sweep: Begun) -> None:
    """The spec as its user wrote it, in which all that is left out has its default: the same spec."""
    text = sweep.source.read_text().replace("lr: 1e-3", "lr: 0.001")
    more = "search_seed: 0\nobjective: {metric: val/elbo, mode: max}\n"
    (sweep.folder / "spec.yaml").write_text(text + more)


def test_a_spec_that_says_the_same_otherwise_goes_on_without_a_word(begun):
    rewritten(begun)
    assert begun.resume() == (0, []) and begun.went_on == 1


def test_of_many_changes_a_few_are_named_in_one_line(begun):
    rewritten(begun)
    for old, new in (("epochs: 3", "epochs: 4"), ("seeds: 2", "seeds: 1"), ("beta: 0.5", "beta: 0.1")):
        begun.edit(old, new)
    begun.edit("[10, 20]", "[" + ", ".join(map(str, range(1, 51))) + "]")
    code, [line] = begun.resume()
    assert code == 2 and line.endswith("and 1 more. Put the values back, or start anew with another --name.")
    assert len(line) - len(str(begun.folder)) < 400


def test_what_of_a_spec_decides_no_number_is_told_and_goes_on(begun):
    rewritten(begun)
    begun.edit("to see what changes", "another")
    with (begun.folder / "spec.yaml").open("a") as file:
        file.write("pictures_every: 2\nbudget: {epochs: 100}\n")
    code, said = begun.resume()
    assert code == 0 and begun.went_on == 1
    assert said == [
        'changed      spec.yaml: description was "to see what changes", is "another"',
        "changed      spec.yaml: pictures_every was absent, is 2",
        "changed      spec.yaml: budget.epochs was absent, is 100",
    ]


MADE = {
    "code": ("a" * 64, "b" * 64, "code of trainables: aaaaaaaa when it began, bbbbbbbb now"),
    "orchestrator": ("c" * 64, "d" * 64, "code of orchestrator: cccccccc when it began, dddddddd now"),
    "python": ("3.11.1", "3.12.0", "python: 3.11.1 when it began, 3.12.0 now"),
    "device": ("cpu AVX2", "NVIDIA H100", "device: cpu AVX2 when it began, NVIDIA H100 now"),
    "threads": (1, 4, "threads: 1 when it began, 4 now"),
    "workers": (1, 2, "workers: 1 when it began, 2 now"),
    "data_root": ("/a", "/b", "data root: /a when it began, /b now"),
}


@pytest.mark.parametrize("name", MADE)
def test_what_it_was_made_with_is_told_where_it_differs(name):
    before, now, line = MADE[name]
    others = {other: values[0] for other, values in MADE.items()} | {"packages": {"torch": "2.0"}}
    of = changes.origin([{"event": "sweep", "made_with": others | {name: before}, "data": {}}])
    assert changes.told(of, others | {name: now}) == [line]
    assert changes.told(of, others) == []


@pytest.mark.parametrize("package", reuse.PACKAGES)
def test_every_package_that_has_a_part_is_told(begun, monkeypatch, package):
    monkeypatch.setattr(reuse, "version", lambda name, of=reuse.version: "0.0.1" if name == package else of(name))
    code, [line] = begun.resume()
    assert code == 0 and begun.went_on == 1
    assert line.startswith(f"changed      {package}: ") and line.endswith(" when it began, 0.0.1 now")


def test_what_differed_when_it_last_ran_is_told_too(begun, monkeypatch):
    kept = reuse.platform.python_version()
    monkeypatch.setattr(reuse.platform, "python_version", lambda: "3.99.0")
    assert begun.resume()[1] == [f"changed      python: {kept} when it began, 3.99.0 now"]
    monkeypatch.undo()
    monkeypatch.setattr(resuming, "prepare", lambda *args: None)
    monkeypatch.setattr(resuming, "run_and_report", begun.go_on)
    assert begun.resume()[1] == [f"changed      python: {kept} when it began, 3.99.0 when it last ran, {kept} now"]


def test_a_journal_without_these_facts_goes_on_and_says_so_and_has_them_from_then_on(begun, rows):
    names = ("spec", "data", "packages", "orchestrator", "python", "device", "threads", "workers")
    begun.forget(*names)
    code, said = begun.resume()
    assert code == 0 and begun.went_on == 1
    assert said == [
        "changed      whether spec.yaml has changed since the sweep began is not known: nobody noted it",
        "changed      whether these have changed since it began is not known, nobody noted them: code of trainables,"
        " code of orchestrator, python, device, threads, workers, " + ", ".join(reuse.PACKAGES) + ", data files",
    ]
    assert begun.resume() == (0, [])
    write_rows(rows, seed=1)
    assert begun.resume()[0] == 2
    write_rows(rows)
    begun.edit("epochs: 3", "epochs: 4")
    assert begun.resume()[0] == 2


def later(*files: Path) -> None:
    """Touched, as a copy or a checkout touches files."""
    for file in files:
        os.utime(file, (file.stat().st_mtime + LATER,) * 2)


def refused(sweep: Begun, file: Path) -> bool:
    code, said = sweep.resume()
    line = f"{file}: has changed since training began on it. Put the old one back, or start anew with another --name."
    return code == 2 and said == [line] and sweep.went_on == 0


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"width": 7}, {"label": 1}, {"rows": 12}],
    ids=["values", "width", "labels", "too few rows for a batch"],
)
def test_a_file_with_other_rows_is_refused(begun, rows, change):
    write_rows(rows, **change)
    assert refused(begun, rows)


def test_what_is_no_file_any_more_is_not_waited_for(begun, rows):
    rows.unlink()
    os.mkfifo(rows)
    code, [line] = begun.resume()
    assert code == 2 and line.startswith(f"{rows}: is a device, a FIFO or a socket") and begun.went_on == 0


def test_a_file_that_was_only_touched_is_the_same(begun, rows, monkeypatch):
    later(rows)
    assert begun.resume() == (0, []) and begun.went_on == 1
    write_rows(rows, seed=1)
    write_rows(rows)  # put back
    assert begun.resume() == (0, []) and begun.went_on == 2


def test_a_file_too_large_to_be_read_for_this_is_told_by_size_and_time(begin, rows, monkeypatch):
    monkeypatch.setattr(fingerprints, "MOST_BYTES", 10)
    sweep = begin(f"path: {rows}")
    assert sweep.resume() == (0, [])
    sweep.went_on = 0
    later(rows)
    assert refused(sweep, rows)


@pytest.mark.parametrize("kind", ["changed", "added", "removed", "renamed"])
def test_a_folder_with_other_pictures_is_refused(begin, tmp_path, kind):
    folder = tmp_path / "pictures"
    write_pictures(folder)
    sweep = begin(f"images: {folder}")
    if kind == "changed":
        (folder / "03.png").write_bytes((folder / "04.png").read_bytes())
    elif kind == "added":
        (folder / "99.png").write_bytes((folder / "04.png").read_bytes())
    elif kind == "removed":
        (folder / "03.png").unlink()
    else:
        (folder / "03.png").rename(folder / "99.png")
    assert refused(sweep, folder)


def test_a_folder_whose_pictures_were_copied_is_the_same(begin, tmp_path):
    folder = tmp_path / "pictures"
    write_pictures(folder)
    sweep = begin(f"images: {folder}")
    later(*folder.iterdir(), folder)
    assert sweep.resume() == (0, []) and sweep.went_on == 1


def test_rows_that_are_prepared_meanwhile_are_the_same_or_refused(begun, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset, cache = Array(path=str(rows)), tmp_path / ".cache" / "vaeorch"
    prepare(dataset, cache)
    assert begun.resume() == (0, [])
    begun.went_on = 0
    write_rows(rows, seed=1)
    prepare(dataset, cache)
    assert refused(begun, rows)


def test_a_set_of_many_files_names_the_one_that_changed(tmp_path):
    from trainables.data import Cifar10

    data = Cifar10()
    for names in data.wanted():
        put(tmp_path, {names[0]: names[0].encode()})
    known = fingerprints.fingerprint(data, tmp_path)
    assert len(known) == len(data.wanted()) and fingerprints.changed(known, data, tmp_path) == []
    changed = tmp_path / data.wanted()[2][0]
    changed.write_bytes(b"other")
    assert fingerprints.changed(known, data, tmp_path) == [changed]


@pytest.fixture
def trained(tmp_path, rows, vaeorch):
    """A run that was trained alone on `rows`; `train` and `evaluate` are what a user may do with it."""
    file = tmp_path / "own.yaml"
    file.write_text(SPEC.partition("search:")[0].replace("DATA", f"path: {rows}"))
    asked = {"train": [file], "evaluate": ["own", "--metrics", "mse"]}

    def run(verb: str):
        code, out, err = vaeorch(verb, *asked[verb], "--out", tmp_path / "runs")
        assert "Traceback" not in err
        return code, out, err.splitlines()

    assert run("train")[0] == 0
    return run


@pytest.mark.parametrize("verb", ["train", "evaluate"])
@pytest.mark.parametrize("change", [{"seed": 1}, {"width": 7}], ids=["values", "width"])
def test_a_model_is_neither_trained_on_nor_measured_on_other_rows(trained, rows, verb, change):
    write_rows(rows, **change)
    code, _, [line] = trained(verb)
    assert code == 2 and line.startswith(f"{rows}: has changed since training began on it.")
    write_rows(rows)
    later(rows)
    assert trained(verb)[0] == 0


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_run_of_before_says_what_is_not_known_and_other_widths_are_a_line(trained, rows, tmp_path, verb):
    (tmp_path / "runs" / "own" / layout.ORIGIN).unlink()
    write_rows(rows, width=7)
    code, out, [line] = trained(verb)
    assert code == 2 and ".pt: does not fit this model. The data have other shapes than those it was trained on" in line
    assert ("is not known, nobody noted them: code of trainables" in out) == (verb == "train")


def test_a_run_that_goes_on_tells_what_changed(trained, monkeypatch):
    monkeypatch.setattr(reuse.platform, "python_version", lambda: "3.99.0")
    assert "when it began, 3.99.0 now" in trained("train")[1]


def test_a_run_of_other_settings_is_refused_in_a_line_that_names_them(trained, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(file.read_text().replace("epochs: 3", "epochs: 4").replace("1e-3", "1e-2"))
    code, _, [line] = trained("train")
    told = "holds another run: run.optimizer.lr was 0.001, is 0.01; run.epochs was 3, is 4. Choose another --name or"
    assert code == 2 and line.startswith(f"{tmp_path / 'runs' / 'own'}: {told}")


def test_who_measures_trials_of_a_sweep_knows_its_files_from_the_journal(begun, rows):
    known, sets = changes.recorded_origin(begun.folder), [begun.spec.run.data]
    changes.check_data(known, sets, HERE)
    write_rows(rows, width=7)
    with pytest.raises(UserError, match="has changed since training began on it"):
        changes.check_data(known, sets, HERE)
