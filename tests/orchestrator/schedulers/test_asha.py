"""Promotion ASHA against an independent model of Algorithm 2 (Li et al. 2020), on random tables, slots and orders."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.schedulers.asha import PromotionAsha, rung_epochs
from orchestrator.schedulers.base import CONTINUE, PAUSE, STOP
from orchestrator.schedulers.run_all import RunAll
from tests.support.objective_values import NOT_FINITE, VALUES


@st.composite
def searches(draw):
    """A table of values (trial, epoch), a scheduler's settings, the number of slots, and the order of events."""
    grace, eta = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    epochs = draw(st.integers(1, 20))
    trials = draw(st.integers(1, 16))
    table = [[draw(VALUES) for _ in range(epochs)] for _ in range(trials)]
    settings_ = {"mode": draw(st.sampled_from(["max", "min"])), "max_epochs": epochs, "grace": grace, "eta": eta}
    return table, settings_, draw(st.integers(1, 8)), random.Random(draw(st.integers(0, 10**6)))


def simulate(table, setting, slots, order):
    """Run all trials under an Asha; the events (what, trial, epoch) in the order in which they happened."""
    core = PromotionAsha(setting["mode"], setting["max_epochs"], setting["grace"], setting["eta"])
    new, busy, done, events = list(range(len(table))), [], [0] * len(table), []
    while True:
        while len(busy) < slots:
            trial = core.next()
            if trial is not None:
                events.append(("promote", trial, done[trial]))
            elif new:
                trial = new.pop(0)
                events.append(("start", trial, 0))
            else:
                events.append(("idle", None, 0))
                break
            busy.append(trial)
        if not busy:
            return events
        trial = order.choice(busy)
        done[trial] += 1
        answer = core.report(trial, done[trial], table[trial][done[trial] - 1])
        events.append((answer, trial, done[trial]))
        if answer != CONTINUE:
            busy.remove(trial)


class Model:
    """Algorithm 2 as printed: run_then_return_val_loss, and get_job when a worker is free. Smaller loss is better."""

    def __init__(self, table, setting):
        self.loss = {
            (trial, epoch): (1 if setting["mode"] == "min" else -1) * value if math.isfinite(value) else math.inf
            for trial, row in enumerate(table)
            for epoch, value in enumerate(row, start=1)
        }
        self.total, self.eta, self.top = len(table), setting["eta"], setting["max_epochs"]
        self.levels = [setting["grace"] * self.eta**k for k in range(40) if setting["grace"] * self.eta**k < self.top]
        self.here = {level: set() for level in self.levels}
        self.gone = {level: set() for level in self.levels}
        self.started = 0

    def get_job(self):
        """The trial to run next and the epoch that it goes on from, or None."""
        for level in reversed(self.levels):
            order = sorted(self.here[level], key=lambda trial: (self.loss[trial, level], trial))
            for trial in order[: math.floor(len(order) / self.eta)]:
                if trial not in self.gone[level] and self.loss[trial, level] < math.inf:
                    self.gone[level].add(trial)
                    return trial, level
        if self.started < self.total:
            self.started += 1
            return self.started - 1, 0
        return None

    def arrive(self, trial, epoch):
        """The trial ends a job here? Then it is in the rung from now on."""
        if epoch in self.here:
            self.here[epoch].add(trial)
        return epoch in self.here or epoch == self.top


@settings(max_examples=300, deadline=None)
@given(searches())
def test_every_decision_is_that_of_algorithm_2(search):
    table, setting, slots, order = search
    model = Model(table, setting)
    events = simulate(table, setting, slots, order)
    for what, trial, epoch in events:
        if what == "idle":
            assert model.get_job() is None
        elif what in ("start", "promote") or what == CONTINUE and model.arrive(trial, epoch):
            assert model.get_job() == (trial, epoch)
        elif what != CONTINUE:
            assert model.arrive(trial, epoch)
            assert what == (STOP if epoch == model.top else PAUSE)
    for (what, trial, _), (then, other, _) in pairwise(events):
        assert not (what == PAUSE and then == "promote" and trial == other)  # it would have gone on instead


@settings(max_examples=300, deadline=None)
@given(searches())
def test_at_the_end_the_promoted_are_the_first_to_be_in_the_top_and_nothing_is_left(search):
    table, setting, slots, order = search
    core = PromotionAsha(setting["mode"], setting["max_epochs"], setting["grace"], setting["eta"])
    events = simulate(table, setting, slots, order)
    reached = {trial: max(epoch for _, other, epoch in events if other == trial) for trial in range(len(table))}
    assert max(reached.values()) <= setting["max_epochs"]
    sign = 1 if setting["mode"] == "max" else -1
    epochs = [rung.epoch for rung in core.rungs]
    for rung in epochs:
        here = [trial for trial in reached if reached[trial] >= rung]
        scores = {t: sign * table[t][rung - 1] if math.isfinite(table[t][rung - 1]) else -math.inf for t in here}
        top = sorted(here, key=lambda trial: (-scores[trial], trial))[: len(here) // setting["eta"]]
        for trial in top:
            assert reached[trial] > rung or scores[trial] == -math.inf
        for trial in here:
            assert reached[trial] == rung or math.isfinite(scores[trial])
    assert set(reached.values()) <= {*epochs, setting["max_epochs"]}


def next_by_sorting(core):
    """What `next` answers, from the scores and the promotions alone: each rung is sorted anew."""
    promoted = [set(rung.promoted) for rung in core.rungs]
    while True:
        found = None
        for level, rung in enumerate(core.rungs):
            here = [trial for trial in rung.scores if level == 0 or trial in promoted[level - 1]]
            order = sorted(here, key=lambda trial: (-rung.scores[trial], trial))
            due = [trial for trial in order[: int(len(order) // core.eta)] if trial not in promoted[level]]
            found = next(((level, trial) for trial in due if rung.scores[trial] > -math.inf), found)
        if found is None or found[1] not in core.rungs[found[0]].closed:
            return found and found[1]
        promoted[found[0]].add(found[1])


@settings(max_examples=200, deadline=None)
@given(searches())
def test_what_is_kept_in_order_decides_as_what_is_sorted_anew(search):
    """With trials that fail, that are promoted by closing, that skip epochs, and whose epochs come again."""
    table, setting, _, order = search
    core = PromotionAsha(setting["mode"], setting["max_epochs"], setting["grace"], setting["eta"])
    done, paused, failed = [0] * len(table), {}, set()
    for _ in range(8 * len(table)):
        trial, act = order.randrange(len(table)), order.random()
        if act < 0.6 and trial not in failed and not paused.get(trial) and done[trial] < setting["max_epochs"]:
            step = 1 if act < 0.5 else order.randint(0, 2)
            done[trial] = max(1, min(done[trial] + step, setting["max_epochs"]))
            paused[trial] = core.report(trial, done[trial], table[trial][done[trial] - 1]) == PAUSE
        elif act < 0.7:
            core.abandon(trial)
            failed.add(trial)
            paused.pop(trial, None)
        elif act < 0.85:
            expected = next_by_sorting(core)
            assert core.next() == expected
            paused |= {} if expected is None else {expected: False}
        elif (closed := core.close(paused)) is not None:
            paused[closed] = False
        assert next_by_sorting(core) is None or core.due()


@settings(max_examples=200, deadline=None)
@given(searches())
def test_no_trial_runs_an_epoch_twice_or_is_promoted_twice_from_a_rung(search):
    table, setting, slots, order = search
    events = simulate(table, setting, slots, order)
    for trial in range(len(table)):
        mine = [(what, epoch) for what, other, epoch in events if other == trial]
        trained = [epoch for what, epoch in mine if what in (CONTINUE, PAUSE, STOP)]
        assert trained == list(range(1, len(trained) + 1))
        promoted = [epoch for what, epoch in mine if what == "promote"]
        assert len(set(promoted)) == len(promoted)


@settings(max_examples=200, deadline=None)
@given(searches())
def test_the_same_calls_give_the_same_answers_so_a_journal_of_them_is_the_state(search):
    table, setting, slots, order = search
    core = PromotionAsha(setting["mode"], setting["max_epochs"], setting["grace"], setting["eta"])
    calls = [event for event in simulate(table, setting, slots, order) if event[0] not in ("start", "idle")]
    again = [
        core.next() if what == "promote" else core.report(trial, epoch, table[trial][epoch - 1])
        for what, trial, epoch in calls
    ]
    assert again == [trial if what == "promote" else what for what, trial, _ in calls]


@pytest.mark.parametrize(
    ("grace", "eta", "epochs", "rungs"),
    [(3, 3, 27, [3, 9]), (1, 3, 27, [1, 3, 9]), (3, 3, 28, [3, 9, 27]), (5, 2, 5, []), (2, 2.5, 40, [2, 5, 12, 31])],
)
def test_rungs_are_at_grace_times_powers_of_eta_below_the_last_epoch(grace, eta, epochs, rungs):
    assert rung_epochs(grace, eta, epochs) == rungs


def test_the_first_trial_at_a_rung_pauses_whatever_its_value():
    assert PromotionAsha("max", 9, 1, 3).report(0, 1, 1e9) == PAUSE


def test_ties_break_by_trial_number():
    core = PromotionAsha("max", 9, 1, 3)
    for trial in (2, 1, 0):
        answer = core.report(trial, 1, 0.5)
    assert answer == CONTINUE  # 0 came last and goes first
    assert core.next() is None


def test_a_rung_of_values_that_are_not_finite_promotes_none():
    core = PromotionAsha("min", 9, 1, 2)
    assert [core.report(trial, 1, value) for trial, value in enumerate(NOT_FINITE + NOT_FINITE)] == [PAUSE] * 6
    assert core.next() is None


def test_a_trial_that_diverges_takes_the_last_place_at_the_rung_ahead():
    core = PromotionAsha("max", 9, 1, 3)
    core.report(0, 1, 1.0)
    core.report(1, 1, 2.0)
    assert core.next() is None
    core.abandon(2)  # before its first rung: with it there are three, so one goes on
    assert core.next() == 1
    core.abandon(1)  # on its way to rung 3
    assert core.rungs[1].scores == {1: -math.inf}


def test_a_paused_trial_that_fails_is_not_called_back():
    core = PromotionAsha("max", 9, 1, 2)
    core.report(0, 1, 5.0)
    core.abandon(0)
    assert core.report(1, 1, 1.0) == CONTINUE
    assert core.next() is None


def test_an_epoch_reported_again_gets_the_same_answer():
    core = PromotionAsha("max", 9, 1, 2)
    assert core.report(0, 1, 1.0) == core.report(0, 1, 1.0) == PAUSE
    assert core.report(1, 1, 2.0) == core.report(1, 1, 2.0) == CONTINUE


def test_a_rung_whose_report_was_lost_is_reached_with_the_next_one():
    core = PromotionAsha("max", 9, 1, 2)
    core.report(0, 1, 0.0)
    assert core.report(1, 2, 1.0) == PAUSE  # rungs 1 and 2: it is in both
    assert core.reason(1) == "asha@2" and core.reason(0) == "asha@1"


def test_without_a_scheduler_every_trial_goes_on():
    core = RunAll()
    assert {core.report(0, epoch, math.nan) for epoch in range(1, 30)} == {CONTINUE} and core.next() is None


def test_asha_spends_less_than_half_the_epochs_and_finds_the_best():
    """81 trials whose order never changes, eta 3: the best is trained in full."""
    order = random.Random(0)
    table = [[value] * 27 for value in order.sample(range(81), 81)]
    best = table.index([80] * 27)
    events = simulate(table, {"mode": "max", "max_epochs": 27, "grace": 1, "eta": 3}, 4, order)
    assert (STOP, best, 27) in events
    assert sum(what in (CONTINUE, PAUSE, STOP) for what, _, _ in events) < 81 * 27 / 2


def test_promotions_are_made_from_the_top_rung_down():
    core = PromotionAsha("max", 9, 1, 2)
    for trial, epoch, value in [(0, 1, 9.0), (1, 1, 1.0), (2, 2, 0.0), (3, 2, -1.0)]:
        assert core.report(trial, epoch, value) == PAUSE
    assert [core.next() for _ in range(4)] == [2, 0, 1, None]
