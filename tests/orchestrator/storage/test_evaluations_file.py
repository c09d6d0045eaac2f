"""The file evaluations.json: which findings about a model still hold, and what it keeps beside them."""

from orchestrator.storage import layout
from orchestrator.storage.evaluations_file import EvaluationsFile, epoch_meant, key_of, newest, read, with_findings


def test_results_of_a_sweep_that_goes_on_leave_out_findings_of_an_older_epoch(tmp_path):
    finding = {"metric": "mse", "settings": {}, "values": {"mse": float("nan")}, "undefined": "", "epoch": 3}
    finding["checkpoint"] = "abc"
    EvaluationsFile(tmp_path).keep(key_of("abc", "mse", {}), finding, {"a.png": b"png"})
    [(key, expected)] = read(tmp_path).items()
    assert expected["values"] == {"mse": None} and expected["pictures"] == [f"{layout.EVALUATION_PICTURES}/{key}/a.png"]
    assert (tmp_path / expected["pictures"][0]).read_bytes() == b"png"
    assert with_findings({"best": {"epoch": 3}, "epochs": 4}, tmp_path)["evaluations"] == [expected]
    assert "evaluations" not in with_findings({"best": {"epoch": 4}, "epochs": 4}, tmp_path)


def test_findings_about_the_last_epoch_are_kept_apart_from_those_about_the_best(tmp_path):
    best = {"metric": "mse", "settings": {}, "values": {"mse": 1.0}, "undefined": "", "checkpoint": "a", "epoch": 3}
    last = best | {"values": {"mse": 2.0}, "checkpoint": "b", "epoch": 5, "of": "last"}
    early = last | {"values": {"mse": 3.0}, "checkpoint": "c", "epoch": 4}
    for finding in (best, early, last):
        EvaluationsFile(tmp_path).keep(key_of(finding["checkpoint"], "mse", {}), finding, {})
    found = with_findings({"best": {"epoch": 3}, "epochs": 5}, tmp_path)["evaluations"]
    assert [(epoch_meant(one), one["values"]["mse"]) for one in found] == [("best", 1.0), ("last", 2.0)]


def test_what_an_older_version_of_an_evaluation_found_gives_way_to_what_a_newer_one_did():
    old = {"metric": "proportion", "values": {"proportion_of_zeros": 0.0, "least_proportion": 0.1}}
    new = {"metric": "proportion", "values": {"least_proportion": 0.1}, "version": 2}
    other = {"metric": "mse", "values": {"mse": 1.0}}
    assert newest([old, other, new]) == [other, new]
    assert newest([new, other, old]) == [other, old]  # measured again by older code: it has all of its values
    assert newest([old, new | {"version": 1}]) == [old, new | {"version": 1}]
