"""Sweeps that an earlier version began go on: folders as it left them are resumed, evaluated and shown."""

import json
import shutil
from pathlib import Path

import pytest

MADE_BEFORE = Path(__file__).parent / "sweeps_made_before"
COMPARED = ("id", "configuration", "config", "seed", "status", "epochs", "reason")


@pytest.fixture
def out(tmp_path, request) -> Path:
    """A folder of sweeps with the one that the test names, copied here, as `before` or as the test says."""
    which, _, name = request.param.partition(" as ")
    shutil.copytree(MADE_BEFORE / which, tmp_path / (name or "before"))
    for file in tmp_path.rglob("*"):
        if file.suffix in (".json", ".jsonl", ".yaml"):
            file.write_text(file.read_text().replace("OUT", "/where/it/was"))
    return tmp_path


def results_in(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("out", ["killed as renamed"], indirect=True)
def test_a_killed_sweep_of_before_ends_like_the_whole_one_also_in_a_folder_of_another_name(out, vaeorch):
    code, said, error = vaeorch("resume", "renamed", "--out", out)
    assert code == 0, error
    assert 'changed      spec.yaml: name was "before", is "renamed"' in said or "nobody noted it" in said
    assert not (out / "before").exists()
    resumed, whole = results_in(out / "renamed"), results_in(MADE_BEFORE / "whole")
    assert len(resumed["trials"]) == 6
    for ours, theirs in zip(resumed["trials"], whole["trials"], strict=True):
        assert [ours[key] for key in COMPARED] == [theirs[key] for key in COMPARED]
        assert ours["best"] == pytest.approx(theirs["best"], rel=1e-4)  # another processor may round otherwise
    assert "unsent" not in said
    for trial in resumed["trials"]:  # as its spec says: each was drawn when it paused or ended
        assert list((out / "renamed" / "trials" / trial["id"] / "pictures" / f"{trial['epochs']:04d}").iterdir())


@pytest.mark.parametrize("out", ["whole"], indirect=True)
def test_a_whole_sweep_of_before_is_shown_evaluated_and_not_trained_again(out, vaeorch):
    before = results_in(out / "before")
    code, said, error = vaeorch("results", "before", "--out", out, "--format", "csv")
    assert code == 0, error
    assert [line.split(",")[1] for line in said.splitlines()[1:]] == ["0005", "0003", "0001", "0006", "0004", "0002"]
    code, said, error = vaeorch("resume", "before", "--out", out)
    assert code == 0, error
    assert results_in(out / "before") == before
    code, said, error = vaeorch("evaluate", "before", "--out", out, "--metrics", "active,mse", "--trials", "best:1")
    assert code == 0, error
    best = next(trial for trial in results_in(out / "before")["trials"] if trial["id"] == "0005")
    assert best["evaluations"]
    assert vaeorch("sync", "before", "--out", out)[:2] == (0, "Everything is sent.\n")
    code, page, error = vaeorch("report", "before", "--out", out, "--format", "html")
    assert code == 0 and page.count("0005") and "/where/it/was" not in page, error
    assert not Path("/where").exists() and not any("where" in path.name for path in out.iterdir())
