"""Two sweeps side by side: what they share is judged by the rule for printed numbers."""

import csv
import io
from dataclasses import replace

import pytest
from scipy import stats

from orchestrator.errors import UserError
from orchestrator.reporting.paper_tables import Training
from orchestrator.reporting.sweeps_side_by_side import FORMATS, side_by_side
from tests.support.findings import PROVENANCE, finding

NAMES = ("narrow", "wide")
LEFT, RIGHT = (30.1, 30.4, 29.9), (25.0, 25.6, 25.1, 24.8)


def seeds(*fids: float, method: str = "vae", **more) -> list[Training]:
    run = {"method": {"name": method}}
    return [
        Training(f"{n:04d}", {"method.name": method}, run, [finding("frechet", fid=fid, **more)], ())
        for n, fid in enumerate(fids)
    ]


def test_means_of_seeds_are_judged_by_welchs_test():
    [pair] = side_by_side(NAMES, (seeds(*LEFT), seeds(*RIGHT))).pairs
    assert (pair.configuration, pair.value, pair.word) == ("method=vae", "fid", "worse")
    interval = stats.ttest_ind(LEFT, RIGHT, equal_var=False).confidence_interval(0.95)
    assert (pair.verdict.low, pair.verdict.high) == pytest.approx(tuple(interval))
    [pair] = side_by_side(NAMES, (seeds(*RIGHT), seeds(*LEFT))).pairs
    assert pair.word == "better"


def test_numbers_that_were_made_in_different_ways_do_not_compare():
    other = seeds(*RIGHT, provenance=PROVENANCE | {"seed": 1})
    [pair] = side_by_side(NAMES, (seeds(*LEFT), other)).pairs
    assert (pair.word, pair.verdict, pair.why) == ("not comparable", None, "seed: 0 and 1")


def test_trainings_that_were_cut_short_do_not_compare_with_whole_ones():
    short = [replace(one, cut_short="trained for 1 of 6 epochs") for one in seeds(*LEFT)]
    [pair] = side_by_side(NAMES, (short, seeds(*RIGHT))).pairs
    assert (pair.word, pair.why) == ("not comparable", "first: trained for 1 of 6 epochs")
    [pair] = side_by_side(NAMES, (short, [replace(one, cut_short=short[0].cut_short) for one in seeds(*RIGHT)])).pairs
    assert pair.word == "worse"


def test_neither_do_those_that_diverged_nor_models_of_different_epochs():
    broken = [replace(one, cut_short="diverged after 2 of 6 epochs", is_sound=False) for one in seeds(*LEFT)]
    [pair] = side_by_side(NAMES, (broken, broken)).pairs
    assert (pair.word, pair.why) == (
        "not comparable",
        "first: diverged after 2 of 6 epochs; second: diverged after 2 of 6 epochs",
    )
    last = [replace(one, of="last") for one in seeds(*LEFT)]
    [pair] = side_by_side(NAMES, (last, seeds(*RIGHT))).pairs
    assert (pair.word, pair.why) == ("not comparable", "models of the last and the best epoch")


def at(**config) -> list[Training]:
    return [replace(one, config=config) for one in seeds(1.0)]


def test_configurations_are_the_same_where_all_their_digits_are_in_whichever_order():
    left = at(a=0.12345678901, b=2) + at(a=0.12345678902, b=2)
    found = side_by_side(NAMES, (left, at(b=2, a=0.12345678902) + at(b=2, a=0.12345678903)))
    assert [pair.configuration for pair in found.pairs] == ["a=0.12345678902 b=2"]
    assert [side.n for pair in found.pairs for side in pair.sides] == [1, 1]
    assert found.alone == ["only in narrow: a=0.12345678901 b=2", "only in wide: a=0.12345678903 b=2"]
    with pytest.raises(UserError, match="no configuration in common"):
        side_by_side(NAMES, (at(**{"method.gamma": 3}), at(**{"method.mapping.gamma": 3})))


def test_what_only_one_has_is_told():
    both = [*seeds(*LEFT), *seeds(1.0, method="rae")]
    found = side_by_side(NAMES, (both, seeds(*RIGHT)))
    assert len(found.pairs) == 1 and found.alone == ["only in narrow: method=rae"]


def test_what_was_measured_in_one_only_has_no_verdict():
    left = [Training("0001", {}, {}, [finding("hoyer", hoyer=0.2)], ())]
    right = [Training("0001", {}, {}, [finding("frechet", fid=3.0)], ())]
    found = {pair.value: pair for pair in side_by_side(NAMES, (left, right)).pairs}
    assert found["hoyer"].sides[1] is None and found["fid"].word == ""


def test_nothing_in_common_and_nothing_measured_are_one_line():
    with pytest.raises(UserError, match="no configuration in common"):
        side_by_side(NAMES, (seeds(1.0), seeds(1.0, method="rae")))
    bare = [Training("0001", {}, {}, [], ())]
    with pytest.raises(UserError, match="vaeorch evaluate narrow; vaeorch evaluate wide"):
        side_by_side(NAMES, (bare, bare))


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_has_both_numbers_and_the_verdict(form):
    text = FORMATS[form](side_by_side(NAMES, (seeds(*LEFT), seeds(*RIGHT))), 100)
    assert "narrow" in text and "wide" in text and "worse" in text and "30.13" in text and "25.12" in text


def test_csv_has_full_precision():
    text = FORMATS["csv"](side_by_side(NAMES, (seeds(*LEFT), seeds(*RIGHT))), 100)
    [row] = csv.DictReader(io.StringIO(text))
    assert float(row["narrow"]) == pytest.approx(sum(LEFT) / 3, abs=1e-12) and row["wide_n"] == "4"
    assert float(row["low"]) > 0
