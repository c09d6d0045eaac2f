"""Files of a sweep that are torn, or hold something else: a line with the cure, or the same numbers made again."""

import json
import re
from errno import ENOLCK, ENOSYS, ENOTSUP

import pytest

from orchestrator.errors import UserError
from orchestrator.evaluation.models import TrainedModel
from orchestrator.storage import evaluations_file as findings
from orchestrator.storage import layout, locks
from orchestrator.storage.json_files import read_object
from orchestrator.storage.sweep_folder import recorded_root
from orchestrator.storage.trial_folder import results
from orchestrator.sweep.results import read_results
from tests.support.small_runs import a_run
from tests.support.trial_folders import broken_run, config_of, folder_in, lines_in, numbers

STRANGE = [b"", b"[]", b"3", b"null", b'{"torn": ', b"\xff\xfe", b"[" * 100_000, b"\0" * 40]
TRIAL = {"id": "0001", "config": {}, "status": "completed", "epochs": 1, "best": {}}
SWEEP = {"name": "tiny", "objective": {"metric": "m", "mode": "max"}, "trials": [TRIAL]}
FINDING = {"metric": "m", "values": {}, "undefined": "", "epoch": 1, "pictures": [], "checkpoint": "x"}


def refusal(read, *values) -> str:
    with pytest.raises(UserError) as caught:
        read(*values)
    [line] = caught.value.lines
    return line


@pytest.mark.parametrize("content", STRANGE)
def test_what_is_no_object_is_a_line_with_the_file_and_the_cure(tmp_path, content):
    file = tmp_path / "x.json"
    file.write_bytes(content)
    assert re.fullmatch(f"{file}: (cannot be read|is damaged).* Mend it.", refusal(read_object, file, "Mend it."))


@pytest.mark.parametrize("content", [*STRANGE, {}, SWEEP | {"trials": {}}, SWEEP | {"trials": [3]}]
    + [SWEEP | {"objective": []}, SWEEP | {"trials": [TRIAL | {"best": None}]}])  # fmt: skip
def test_strange_results_are_made_anew_by_resume(tmp_path, content):
    (tmp_path / "tiny").mkdir()
    file = tmp_path / "tiny" / "results.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    line = refusal(read_results, tmp_path, "tiny")
    assert line.startswith(f"{file}: ") and line.endswith(f"Written anew by: vaeorch resume tiny --out {tmp_path}")


def test_sound_files_are_read(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(SWEEP))
    (tmp_path / layout.EVALUATIONS).write_text(json.dumps({"key": FINDING}))
    assert read_results(tmp_path.parent, tmp_path.name) == SWEEP | {"name": tmp_path.name}
    assert findings.read(tmp_path) == {"key": FINDING}


@pytest.mark.parametrize("content", [*STRANGE, b'{"a": 3}', b'{"a": {}}', b'{"a": {"metric": "m"}}'])
def test_strange_evaluations_are_a_line_with_the_cure(tmp_path, content):
    (tmp_path / layout.EVALUATIONS).write_bytes(content)
    assert "Delete it: what it held is measured again." in refusal(findings.read, tmp_path)


@pytest.mark.parametrize("content", [*STRANGE, b"{}", b'{"run": 3}'])
def test_a_strange_config_is_a_line_with_the_cure(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    line = refusal(lambda: TrainedModel("0001", tmp_path, tmp_path / "best.pt", "0001").run)
    assert line.startswith(f"{tmp_path / 'config.json'}: ") and "Train the model again" in line
    if content in STRANGE:
        assert "Give --data-root" in refusal(recorded_root, tmp_path)


@pytest.mark.parametrize("damage", [b'{"epoch": 1, "ima\n', b"[]\n", b'{"epoch": 9}\n', b"", b"\xff\n", b"3\n" * 3])
def test_a_trial_with_strange_metrics_begins_anew_and_says_so(tmp_path, damage):
    config = broken_run(tmp_path / "broken", 2)
    (tmp_path / "broken" / "metrics.jsonl").write_bytes(damage)
    told = list(results(config, folder_in(tmp_path / "broken")))
    assert [line["epoch"] for line in told] == [1, 2, 3, 4]
    assert "metrics.jsonl: is damaged: the trial is trained anew" in told[0]["notice"] and "notice" not in told[1]
    list(results(config_of(a_run(epochs=4)), folder_in(tmp_path / "whole")))
    assert numbers(lines_in(tmp_path / "broken")) == numbers(lines_in(tmp_path / "whole"))


@pytest.mark.parametrize("number", [ENOLCK, ENOSYS, ENOTSUP])
def test_a_file_system_without_locks_is_a_line_with_the_cure(tmp_path, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, "No locks")

    monkeypatch.setattr("fcntl.flock", flock)
    with (
        pytest.raises(UserError, match="this file system has no locks .* choose an --out on one"),
        locks.driver(tmp_path),
    ):
        pass
