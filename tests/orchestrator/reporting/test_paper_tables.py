"""A sweep beside the tables that its paper prints: each verdict, each reason for none, and every form of the report."""

import csv
import io
import json
import shutil
import statistics
import subprocess
from html.parser import HTMLParser

import pytest
from ruamel.yaml import YAML
from scipy import stats

from orchestrator.reporting.paper_formats import as_csv, as_html, as_latex, as_markdown, as_text
from orchestrator.reporting.paper_tables import NOT_MEASURED, NOT_TRAINED, Training, judged, trainings_of
from orchestrator.spec.evaluations import Evaluate
from orchestrator.spec.published import PrintedTable
from tests.support.findings import PROVENANCE, finding
from tests.support.specs import spec_of

TABLE = """\
table: Table 2
caption: MNIST & CIFAR10, 100 %
trainings: 5
columns:
  - {label: Active, under: MNIST, metric: active_own}
  - {label: FID, under: MNIST, metric: fid_ard}
  - {label: clean, metric: svm_clean, percent: true}
  - {label: seconds, metric: dz_seconds}
rows:
  - {label: VAE, of: {method.name: vae}, numbers: [16, 28.78 ± 0.48, 80, null]}
  - {label: β-VAE_A, of: {method.name: beta_vae}, numbers: [8.0 ± 0.0, 35.00 ± 1.00, 90.5, null]}
  - {label: ARD-VAE, of: {method.name: ard_vae}, numbers: [12.8 ± 0.4, 22.24 ± 0.57, 93, 0.36 ± 0.02]}
"""


def table() -> PrintedTable:
    return PrintedTable.model_validate_json(json.dumps(YAML(typ="safe", pure=True).load(TABLE)))


def training(number: int, method: str, *findings: dict, flaws: tuple[str, ...] = ()) -> Training:
    return Training(f"{number:04d}", {"method.name": method}, {"method": {"name": method}}, findings, flaws)


def of_vae(*fids: float, **more) -> list[Training]:
    return [
        training(number, "vae", finding("frechet_ard", fid_ard=fid, **more)) for number, fid in enumerate(fids, start=1)
    ]


def cell(trainings: list[Training], row: int = 0, column: int = 1):
    [found] = judged([table()], trainings)
    return found.cells[row, column]


def test_numbers_of_seeds_are_their_mean_and_deviation_and_welchs_test_is_the_verdict():
    fids = [28.1, 29.3, 28.6, 28.9]
    found = cell(of_vae(*fids))
    assert (found.ours.mean, found.ours.std, found.ours.n) == (statistics.fmean(fids), statistics.stdev(fids), 4)
    assert found.word == "agrees" and found.remark == ""
    p = stats.ttest_ind_from_stats(found.ours.mean, found.ours.std, 4, 28.78, 0.48, 5, equal_var=False).pvalue
    assert p > 0.05


@pytest.mark.parametrize(("fids", "word"), [((20.0, 20.5, 20.2), "better"), ((40.0, 40.5, 40.2), "worse")])
def test_a_lower_distance_is_better(fids, word):
    assert cell(of_vae(*fids)).word == word


def test_more_accurate_is_better_and_a_share_is_shown_in_the_printed_per_cent():
    one = [training(n, "vae", finding("svm", svm_clean=0.93 + n / 1000)) for n in range(3)]
    found = cell(one, column=2)
    assert found.ours.mean == pytest.approx(93.1) and found.word == "better"
    assert found.remark == "no deviation on the other side: the other deviation is taken for it"


def test_a_number_of_axes_is_higher_or_lower_and_neither_is_better():
    own = [training(n, "vae", finding("active", active_own=10.0 + n % 2)) for n in range(4)]
    assert cell(own, column=0).word == "lower"


def test_one_training_says_so():
    found = cell(of_vae(28.9))
    assert found.word == "agrees" and found.remark.startswith("one training here")


def test_one_training_and_a_number_without_deviation_have_no_verdict():
    found = cell([training(1, "vae", finding("svm", svm_clean=0.8))], column=2)
    assert found.word == "no verdict" and "no deviation" in found.remark


def test_what_was_not_trained_and_what_was_not_measured_are_told_apart():
    assert cell(of_vae(28.0), row=1).word == NOT_TRAINED
    assert cell(of_vae(28.0), column=0).word == NOT_MEASURED


def test_the_reason_of_an_undefined_number_is_told():
    [found] = [cell([training(1, "vae", finding("active", undefined="codes are not finite: look"))], column=0)]
    assert found.word == "not measured: codes are not finite"


def test_other_features_than_inceptions_do_not_compare():
    found = cell([training(1, "vae", finding("frechet_ard", frechet_classifier_ard=3.0))])
    assert found.word == "not comparable" and found.ours.mean == 3.0
    assert found.remark == "features: classifier in place of Inception's"


def test_inceptions_features_go_before_others():
    other = finding("frechet_ard", frechet_pixels_ard=3.0)
    assert cell([training(1, "vae", finding("frechet_ard", fid_ard=28.8), other)]).value == "fid_ard"


def test_validation_rows_do_not_compare():
    assert (
        "validation rows" in cell([training(1, "vae", finding("f", PROVENANCE | {"split": "val"}, fid_ard=1))]).remark
    )


def test_the_time_of_another_machine_does_not_compare():
    own = [training(1, "ard_vae", finding("dz_time", dz_seconds=0.5))]
    assert cell(own, row=2, column=3).remark == "measured on another machine"


def test_numbers_that_were_made_in_different_ways_have_no_mean_that_compares():
    found = cell([*of_vae(28.0), training(7, "vae", finding("f", PROVENANCE | {"seed": 3}, fid_ard=28))])
    assert (
        found.word == "not comparable"
        and found.remark == "0001 and 0007 were measured in different ways (seed: 0 and 3)"
    )


def test_a_mean_over_configurations_is_none_of_the_papers():
    other = Training("0009", {"method.beta": 3}, {"method": {"name": "vae"}}, [finding("f", fid_ard=28.8)], ())
    assert cell([*of_vae(28.0), other]).remark == "the mean of 2 configurations"


def test_the_newest_finding_counts():
    pair = finding("frechet_ard", fid_ard=99.0), finding("frechet_ard", fid_ard=28.8)
    assert cell([training(1, "vae", *pair)]).ours.mean == 28.8


def sweep_folder(folder, trials: list[dict]) -> dict:
    """A sweep's folder with the configs of these trials; returns its results."""
    for trial in trials:
        home = folder / "trials" / trial["id"]
        home.mkdir(parents=True)
        data = {"name": "mnist", "train_rows": trial.pop("rows", None)}
        run = {"method": {"name": "vae"}, "data": data, "epochs": trial.pop("of")}
        run |= {"early_stopping": {"patience": 5}} if trial.pop("early", False) else {}
        (home / "config.json").write_text(json.dumps({"run": run}))
    return {"trials": trials}


@pytest.mark.parametrize(
    ("trial", "overrides", "flaws"),
    [
        ({"epochs": 5, "of": 5}, (), ()),
        ({"epochs": 2, "of": 50}, (), ("trained for 2 of 50 epochs",)),
        ({"epochs": 2, "of": 50, "early": True, "status": "completed"}, (), ()),
        ({"epochs": 2, "of": 50, "early": True, "status": "stopped"}, (), ("trained for 2 of 50 epochs",)),
        ({"epochs": 2, "of": 5, "early": True, "status": "diverged"}, (), ("diverged after 2 of 5 epochs",)),
        ({"epochs": 9, "of": 9, "added_epochs": 4}, (), ("trained for 4 epochs more than the spec says",)),
        ({"epochs": 5, "of": 5, "rows": 2_000}, (), ("trained on 2,000 rows",)),
        (
            {"epochs": 5, "of": 5, "rows": 2_000},
            ("run.epochs=5", "run.data.train_rows=2000"),
            ("trained with --set run.epochs=5, run.data.train_rows=2000",),
        ),
        ({"epochs": 5, "of": 5}, ("search={}", "trials=3"), ("trained with --set search={}",)),
        ({"epochs": 5, "of": 5}, ("trials=3", "seeds=2", "budget.epochs=9", "searcher.name=grid", "search_seed=1"), ()),
    ],
)
def test_fewer_epochs_or_rows_are_told(tmp_path, trial, overrides, flaws):
    known = {"id": "0001", "config": {}, "checkpoint": "best.pt", "status": "completed"} | trial
    [found] = trainings_of(
        sweep_folder(tmp_path, [known]), tmp_path, spec_of(tmp_path).model_copy(update={"overrides": overrides})
    )
    assert found.flaws == flaws


@pytest.mark.parametrize("meant", ["best", "last"])
def test_findings_are_about_the_epoch_that_the_spec_evaluates(tmp_path, meant):
    both = [finding("hoyer", hoyer=0.1), finding("hoyer", hoyer=0.2) | {"of": "last"}]
    known = {"id": "0001", "config": {}, "checkpoint": "best.pt", "status": "completed", "epochs": 5, "of": 5}
    known |= {"evaluations": both}
    spec = spec_of(tmp_path).model_copy(update={"evaluate": Evaluate(checkpoint=meant)})
    [found] = trainings_of(sweep_folder(tmp_path, [known]), tmp_path, spec)
    assert found.finding("hoyer")["values"]["hoyer"] == {"best": 0.1, "last": 0.2}[meant]


def test_a_trial_without_a_model_has_no_numbers(tmp_path):
    known = {"id": "0001", "config": {}, "checkpoint": None, "epochs": 1, "of": 2}
    assert trainings_of(sweep_folder(tmp_path, [known]), tmp_path, None) == []


def test_a_configuration_that_was_confirmed_has_the_trainings_that_confirm_it(tmp_path):
    known = {"config": {}, "checkpoint": "best.pt", "status": "completed", "epochs": 5, "of": 5, "configuration": 1}
    trials = [known | {"id": f"{n:04d}", "stage": stage} for n, stage in enumerate(("search", "confirm", "confirm"))]
    found = trainings_of(sweep_folder(tmp_path, trials), tmp_path, None)
    assert [training.id for training in found] == ["0001", "0002"]


def everything() -> list[Training]:
    flawed = finding("frechet_ard", frechet_pixels_ard=3.25)
    return [
        *of_vae(28.1, 29.3, 28.6),
        training(4, "beta_vae", finding("active", active_own=8.0), flawed, finding("svm", svm_clean=0.2)),
    ]


def test_the_terminal_has_three_lines_a_row_and_nothing_wider_than_it():
    text = as_text(judged([table()], everything()), 80)
    lines = text.splitlines()
    assert lines[0] == "Table 2. MNIST & CIFAR10, 100 %"
    assert all(len(line) <= 80 for line in lines if not line.startswith(("[", "Two means", "f")))
    at = next(number for number, line in enumerate(lines) if line.startswith("VAE"))
    assert "28.67 ± 0.60 (3)" in lines[at] and "28.78 ± 0.48" in lines[at + 1] and "agrees" in lines[at + 2]
    assert "[1] " in text and "features: pixels" in text


def test_markdown_has_a_row_for_each_printed_row():
    text = as_markdown(judged([table()], everything()))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 3 and all(row.count("|") == rows[0].count("|") for row in rows)
    assert "28.67 ± 0.60 (3)<br>paper: 28.78 ± 0.48<br>agrees" in text


def test_csv_has_each_printed_number_with_full_precision():
    found = judged([table()], everything())
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(rows) == len(list(table().cells())) == 10
    [fid] = [row for row in rows if (row["row"], row["column"]) == ("VAE", "MNIST FID")]
    assert float(fid["ours"]) == statistics.fmean([28.1, 29.3, 28.6]) and fid["n"] == "3" and fid["paper_n"] == "5"
    assert float(fid["low"]) < 0 < float(fid["high"]) and fid["verdict"] == "agrees"
    assert "inception 67268" in fid["provenance"]


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.open += [] if tag == "br" else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_well_formed_and_escaped():
    page = Cells()
    page.feed(as_html(judged([table()], everything())))
    assert page.open == [] and "28.67 ± 0.60 (3)" in page.text
    assert "&amp; CIFAR10" in as_html(judged([table()], everything()))


def test_latex_has_no_character_of_its_own_unescaped():
    text = as_latex(judged([table()], everything()))
    assert r"MNIST \& CIFAR10, 100 \%" in text and r"$\beta$-VAE\_A" in text
    assert r"\multicolumn{2}{c}{MNIST}" in text and r"\cmidrule(lr){2-3}" in text
    assert r"28.67 $\pm$ 0.60 (3)$^{=}$" in text
    assert text.isascii()


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_latex_compiles_as_it_is(tmp_path):
    (tmp_path / "report.tex").write_text(as_latex(judged([table(), table()], everything())))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
