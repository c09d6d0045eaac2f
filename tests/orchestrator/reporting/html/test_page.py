"""The HTML report as a whole: sound for every sweep, with the numbers of results.json, and nothing from the network."""

import json
import re

import pytest

from orchestrator.errors import UserError
from orchestrator.reporting.html.page import as_html
from orchestrator.reporting.leaderboard import leaderboard
from orchestrator.sweep.results import read_results
from orchestrator.text import show
from tests.support.comparisons import finding
from tests.support.html_pages import checked
from tests.support.one_slot import LOW, OPTUNA, RATES
from tests.support.sweep_folders import INF, NAN, add_evaluations, draw, one, swept, write_epochs, written

EVIL = """</script></style></pre><b onclick="x()">&amp;'"<!-- ]]> \x00\x1b\ud800"""
ALL = ["leaderboard", "learning-curves", "hyper-parameters", "importance-of-hyper-parameters", "rungs"]
ALL += ["pictures-of-the-best-trials", "evaluations", "trials-seeds-and-hours", "settings"]
ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": 4}


def rates(count: int) -> list[dict]:
    return [one([n / 10, n / 5, n / 3], {"optimizer.lr": 0.1**n, "method.name": f"m{n % 2}"}) for n in range(count)]


def configured(number: int, seed: int, *values: float, **ending) -> dict:
    return one(list(values), {"lr": number / 10}, configuration=number, seed=seed, **ending)


SWEEPS = {
    "a sweep under ASHA": lambda folder: swept(folder, trials=12, search=LOW),
    "trials that diverge": lambda folder: swept(folder, trials=12),
    "Hyperband": lambda folder: swept(folder, trials=9, search=LOW, scheduler=ASHA | {"name": "hyperband"}),
    "no scheduler": lambda folder: swept(folder, trials=4, search=LOW, scheduler={"name": "none"}),
    "Optuna's searcher": lambda folder: swept(folder, searcher=OPTUNA, trials=6, search=LOW),
    "several seeds": lambda folder: swept(folder, search=RATES, seeds=3),
    "confirmed": lambda folder: swept(folder, search=LOW, trials=4, confirm={"top": 2, "seeds": 2}),
    "a budget": lambda folder: swept(folder, search=LOW, trials=9, budget={"epochs": 7}),
    "killed before a trial has ended": lambda folder: swept(folder, 9, search=LOW, trials=9),
    "nothing but a beginning": lambda folder: swept(folder, 2, search=LOW, trials=9),
    "one trial": lambda folder: written(folder, [one([1.0, 2.0])]),
    "one epoch": lambda folder: written(folder, [one([1.0]), one([2.0])]),
    "no trial": lambda folder: written(folder, []),
    "no objective": lambda folder: written(folder, [one([NAN, INF], {"lr": 0.1}), one([], {"lr": 0.2})]),
    "numbers that are not finite": lambda folder: written(
        folder,
        [
            one([NAN, 1.0, -INF, 2.0], {"lr": 1e308}),
            one([1e308, -1e308], {"lr": -1e308}),
            one([5e-324], {"lr": 5e-324}),
        ],
    ),
    "failures alone": lambda folder: written(
        folder, [one([1.0], {"lr": n}, status="failed", reason=EVIL) for n in range(3)]
    ),
    "equal trials": lambda folder: written(folder, [one([1.0, 1.0], {"lr": 0.1, "n": n}) for n in range(12)]),
    "values of every kind": lambda folder: written(
        folder,
        [
            one([float(n)], {"a": value, "b": [n, {"c": None}], "c": "x" * 99, EVIL: 10**400 * n})
            for n, value in enumerate([None, True, 1, 2.5, "text", [1, 2], {"d": 1}, EVIL])
        ],
    ),
    "seeds of which some diverged": lambda folder: written(
        folder,
        [configured(1, 0, 1.0), configured(1, 1, 3.0), configured(2, 0, 9.0), configured(2, 1, NAN, status="diverged")],
    ),
    "lower is better": lambda folder: written(folder, rates(12), mode="min"),
}


@pytest.fixture(params=SWEEPS, ids=lambda name: name.replace(" ", "_"))
def folder(request, tmp_path):
    return SWEEPS[request.param](tmp_path / "sweep")


def test_every_sweep_gives_a_sound_page(folder):
    page = checked(as_html(folder))
    assert {"leaderboard", "evaluations", "trials-seeds-and-hours", "settings"} <= set(page.sections)


def test_a_page_changes_nothing_in_the_folder(tmp_path):
    folder = swept(tmp_path / "sweep", 12, search=LOW, trials=9)
    with (folder / "journal.jsonl").open("a") as file:
        file.write('{"event":"epoch","tri')  # its driver is about to write the rest
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    as_html(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_every_section_is_there_once_for_a_whole_sweep(tmp_path):
    folder = swept(tmp_path / "sweep", trials=14, search=LOW)
    draw(folder / "trials" / "0001", "samples.png")
    add_evaluations(folder, "0001", [finding()])
    page = checked(as_html(folder))
    assert [id for id in page.ids if id in page.sections] == [id for id in ALL if id in page.sections]
    draws = {trial["id"] for trial in read_results(tmp_path, "sweep")["trials"] if trial["status"] == "completed"}
    for trial in draws:
        draw(folder / "trials" / trial, "samples.png")
    assert list(checked(as_html(folder)).sections) == ALL


@pytest.mark.parametrize("sweep", ["a sweep under ASHA", "several seeds", "confirmed", "trials that diverge"])
def test_the_leaderboard_has_the_cells_of_vaeorch_results(sweep, tmp_path):
    SWEEPS[sweep](tmp_path / "sweep")
    header, rows = leaderboard(read_results(tmp_path, "sweep"))
    found, *lines = checked(as_html(tmp_path / "sweep")).tables["Leaderboard"]
    assert len(found) == len(header) and len(lines) == len(rows) > 2
    assert lines == [list(map(show, row)) for row in rows]


def test_cells_sort_by_the_full_value_and_show_four_digits(tmp_path):
    folder = written(tmp_path / "sweep", [one([0.123456789]), one([NAN])])
    cells = re.findall(r'<td class="number" data-value="([^"]*)">([^<]*)</td>', as_html(folder))
    assert ("0.123456789", "0.1235") in cells
    assert ("", "-") in cells


def test_what_users_write_is_shown_and_never_becomes_an_element(tmp_path):
    folder = written(
        tmp_path / "sweep",
        [one([1.0], {EVIL: EVIL}, reason=EVIL), one([2.0], {EVIL: 1})],
        description=EVIL.encode("utf-8", "replace").decode().replace("\x00", "").replace("\x1b", ""),
        search={"a": {"choice": ["</script><b>"]}},
    )
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(results | {"name": EVIL}))
    draw(folder / "trials" / "0001", "</script><b>.png".replace("/", "_"))
    add_evaluations(folder, "0001", [finding(values={EVIL: 1.0}, data=EVIL)])
    text = as_html(folder)
    page = checked(text)
    assert not page.of("b")
    shown = EVIL.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd")
    assert shown in page.sections["leaderboard"]
    assert text.count("</script>") == text.count("</style>") == 1


def test_sections_of_others_come_after_the_leaderboard(tmp_path):
    folder = written(tmp_path / "sweep", rates(2))
    page = checked(as_html(folder, [("Paper <1>", "<p>as <em>printed</em></p>"), ("Settings", "<p>more</p>")]))
    assert list(page.sections)[:3] == ["leaderboard", "paper-1", "settings"]
    assert len(page.of("em")) == 1 and "Paper <1>" in page.sections["paper-1"]


def test_only_our_script_may_run_and_nothing_may_be_fetched(tmp_path):
    [policy] = [
        meta["content"] for meta in checked(as_html(written(tmp_path / "a", rates(2)))).of("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_hundreds_of_trials_with_a_hundred_epochs_make_a_modest_page(tmp_path):
    trials = [one([n + epoch / 100 for epoch in range(100)], {"lr": n / 7}) for n in range(400)]
    text = as_html(written(tmp_path / "sweep", trials))
    page = checked(text)
    assert len(text.encode()) < 1.5 * 2**20
    assert len(page.tables["Trials"]) == 401


def test_a_run_that_was_trained_alone_has_a_page(tmp_path):
    folder = write_epochs(tmp_path / "alone", "val/elbo", [-3.0, -2.0])
    run = {"epochs": 2, "data": {"name": "digits"}}
    (folder / "config.json").write_text(json.dumps({"config": {}, "seed": 7, "run": run, "data_root": None}))
    for name in ("origin.json",):
        (folder / name).write_text(json.dumps([{"event": "sweep", "made_with": {"python": "3.11"}, "data": {}}]))
    page = checked(as_html(folder))
    assert page.tables["Leaderboard"][1][1:3] == ["alone", "-2"]
    assert ["python", "3.11"] in page.tables["Versions"]
    assert "rungs" not in page.sections


def test_a_folder_without_a_sweep_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError) as error:
        as_html(tmp_path / "nothing")
    assert len(error.value.lines) == 1


def test_hours_are_those_of_the_epochs_and_a_trial_that_was_reused_does_not_count(tmp_path):
    folder = written(tmp_path / "sweep", [one([1.0] * 50, seed=3), one([1.0] * 50, seed=4), one([2.0] * 100, seed=5)])
    results = json.loads((folder / "results.json").read_text())
    results["trials"][2]["reused_from"] = "earlier/0001"
    (folder / "results.json").write_text(json.dumps(results))
    page = checked(as_html(folder))
    header, *rows = page.tables["Trials"]
    column = header.index("hours")
    assert {row[0]: row[column] for row in rows} == {"0001": "0.5", "0002": "0.5", "0003": "1"}  # 36 s an epoch
    told = page.sections["trials-seeds-and-hours"]
    assert "100 epochs in 1 h" in told and "the seeds 3, 4, 5" in told and "1 trial of earlier sweeps" in told


def test_gpu_hours_are_hours_times_gpus_and_workers(tmp_path):
    resources = {"workers": 2, "gpus_per_worker": 1}
    page = checked(as_html(written(tmp_path / "sweep", [one([1.0] * 100)], resources=resources)))
    assert "Each had 2 GPUs: 2 GPU hours" in page.sections["trials-seeds-and-hours"]


def test_trials_that_have_not_ended_are_named_but_not_ranked(tmp_path):
    folder = swept(tmp_path / "sweep", 9, search=LOW, trials=9)
    page = checked(as_html(folder))
    assert "leaderboard" in page.sections and "Leaderboard" not in page.tables
    header, *rows = page.tables["Trials"]
    assert {row[header.index("status")] for row in rows} == {"not ended"}
    assert "the sweep runs, or was interrupted" in as_html(folder)


def test_settings_hold_the_whole_spec_and_each_version(tmp_path):
    folder = swept(tmp_path / "sweep", trials=3, search=LOW)
    with (folder / "journal.jsonl").open("a") as file:
        for torch in ("2.15.0", "2.16.0"):
            made = {"python": "3.11.7", "packages": {"torch": torch}, "code": "ab" * 32}
            file.write(json.dumps({"event": "changed", "made_with": made}) + "\n")
    page = checked(as_html(folder))
    assert ["torch", "2.15.0", "2.16.0"] in page.tables["Versions"]
    assert ["code of trainables", "abababababab", "abababababab"] in page.tables["Versions"]
    assert page.tables["What varies"][1] == ["optimizer.lr", "{loguniform: [0.0001, 0.01]}"]
    assert "reduction_factor: 2" in page.sections["settings"]


def test_evaluations_show_their_numbers_and_what_they_rest_on(tmp_path):
    folder = written(tmp_path / "sweep", rates(3))
    add_evaluations(folder, "0001", [finding()])
    add_evaluations(folder, "0002", [finding(values={"frechet_classifier": None})])
    page = checked(as_html(folder))
    header, *rows = page.tables["Evaluations"]
    assert header == ["model", "frechet_classifier"]
    assert [row[0].partition(" ")[0] for row in rows] == ["0002", "0001"]  # the best first
    assert [row[1] for row in rows] == ["-", "2.5"]
    assert "classifier abababab; 100 generated + 100 real; split test of mnist" in page.sections["evaluations"]


def test_the_numbers_of_the_last_epochs_model_have_a_row_of_their_own(tmp_path):
    folder = written(tmp_path / "sweep", [one([1.0], {"n": 1})])
    values = {"best": {"frechet_classifier": 2.0}, "last": {"frechet_classifier": 9.0}}
    add_evaluations(folder, "0001", [finding(values=values[of]) | {"of": of} for of in ("best", "last")])
    page = checked(as_html(folder))
    assert page.tables["Evaluations"][1:] == [["0001 n=1", "2"], ["0001@last n=1", "9"]]


def test_pictures_are_embedded_as_they_are_and_damaged_ones_left_out(tmp_path):
    folder = written(tmp_path / "sweep", [one([float(n)], {"n": n}) for n in range(6)])
    for trial in ("0005", "0006"):
        draw(folder / "trials" / trial, "samples.png", "odd.png", epoch=4)
        draw(folder / "trials" / trial, "samples.png", epoch=2)
    draw(folder / "trials" / "0006", "odd.png", content=b"no picture" * 9)
    draw(folder / "trials" / "0001", "samples.png")  # the worst: not shown
    images = checked(as_html(folder)).of("img")
    assert [image["alt"] for image in images] == [
        "samples, epoch 4: generated from the prior",
        "odd, epoch 4: a picture of the model",
        "samples, epoch 4: generated from the prior",
    ]
    assert {(image["width"], image["height"]) for image in images} == {("1", "1")}


def test_pictures_beyond_the_room_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.reporting.html.pictures.MOST_BYTES", 100)
    folder = written(tmp_path / "sweep", [one([1.0])])
    draw(folder / "trials" / "0001", "a.png", "b.png", "c.png")
    page = checked(as_html(folder))
    assert len(page.of("img")) == 1
    assert "2 pictures are left out" in page.sections["pictures-of-the-best-trials"]
