"""Asynchronous Hyperband against an independent model: one list of results per bracket, each as Algorithm 2 says."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.schedulers.base import CONTINUE, PAUSE, STOP
from orchestrator.schedulers.hyperband import Deal, Hyperband, HyperbandBrackets, bracket_graces, bracket_sizes
from orchestrator.schedulers.table import SCHEDULERS
from tests.support.objective_values import VALUES
from trainables.common.records import name_of


@st.composite
def searches(draw):
    """A table of values (trial, epoch), a scheduler's settings, the number of slots, and the order of events."""
    grace, eta, epochs = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.integers(1, 20))
    table = [[draw(VALUES) for _ in range(epochs)] for _ in range(draw(st.integers(1, 24)))]
    setting = {"mode": draw(st.sampled_from(["max", "min"])), "max_epochs": epochs, "grace": grace, "eta": eta}
    return table, setting, draw(st.integers(1, 8)), random.Random(draw(st.integers(0, 10**6)))


def core_of(setting):
    return HyperbandBrackets(setting["mode"], setting["max_epochs"], setting["grace"], setting["eta"])


def simulate(table, setting, slots, order):
    """Run trials 1, 2, ... under a Hyperband; the events (what, trial, epoch) in the order in which they happened."""
    core, new, busy, done, events = core_of(setting), list(range(1, len(table) + 1)), [], {}, []
    while True:
        while len(busy) < slots:
            trial = core.next()
            if trial is None and not new:
                break
            events.append(("start" if trial is None else "promote", trial or new[0], done.get(trial, 0)))
            busy.append(trial or new.pop(0))
        if not busy:
            return [*events, ("idle", None, 0)]
        trial = order.choice(busy)
        done[trial] = done.get(trial, 0) + 1
        answer = core.report(trial, done[trial], table[trial - 1][done[trial] - 1])
        events.append((answer, trial, done[trial]))
        if answer != CONTINUE:
            busy.remove(trial)


class Model:
    """Brackets as plain records of who reached what. Smaller loss is better."""

    def __init__(self, table, setting):
        sign = 1 if setting["mode"] == "min" else -1
        self.loss = lambda trial, epoch: (
            sign * table[trial - 1][epoch - 1] if math.isfinite(table[trial - 1][epoch - 1]) else math.inf
        )
        self.eta, self.top, self.total, self.started = setting["eta"], setting["max_epochs"], len(table), 0
        last = 0
        while setting["grace"] * self.eta ** (last + 1) <= self.top:
            last += 1
        self.levels = [[setting["grace"] * self.eta**k for k in range(s, 40)] for s in range(last + 1)]
        self.levels = [[level for level in levels if level < self.top] for levels in self.levels]
        weights = [math.ceil((last + 1) / (last - s + 1) * self.eta ** (last - s)) for s in range(last + 1)]
        given, self.bracket = [0] * len(weights), {}
        for trial in range(1, self.total + 1):  # to whom (given + 1) / weight is least
            ratios = [(have + 1) / weight for have, weight in zip(given, weights, strict=True)]
            self.bracket[trial] = ratios.index(min(ratios))
            given[self.bracket[trial]] += 1
        self.here, self.gone = set(), set()  # (trial, level)

    def promotable(self, bracket):
        for level in reversed(self.levels[bracket]):
            rung = [trial for trial, at in self.here if at == level and self.bracket[trial] == bracket]
            rung.sort(key=lambda trial: (self.loss(trial, level), trial))
            for trial in rung[: len(rung) // self.eta]:
                if (trial, level) not in self.gone and self.loss(trial, level) < math.inf:
                    return trial, level
        return None

    def get_job(self):
        for bracket in range(len(self.levels)):
            if job := self.promotable(bracket):
                self.gone.add(job)
                return ("promote", *job)
        if self.started < self.total:
            self.started += 1
            return "start", self.started, 0
        return "idle", None, 0

    def report(self, trial, epoch):
        if epoch == self.top:
            return STOP
        bracket = self.bracket[trial]
        if epoch not in self.levels[bracket]:
            return CONTINUE
        self.here.add((trial, epoch))
        if self.promotable(bracket) == (trial, epoch):
            self.gone.add((trial, epoch))
            return CONTINUE
        return PAUSE


@settings(max_examples=300, deadline=None)
@given(searches())
def test_every_decision_is_that_of_the_model(search):
    table, setting, slots, order = search
    model = Model(table, setting)
    for event in simulate(table, setting, slots, order):
        what, trial, epoch = event
        if what in ("start", "promote", "idle"):
            assert model.get_job() == event
        else:
            assert model.report(trial, epoch) == what


@settings(max_examples=200, deadline=None)
@given(searches())
def test_the_same_calls_give_the_same_answers_so_a_journal_of_them_is_the_state(search):
    table, setting, slots, order = search
    again = core_of(setting)
    for what, trial, epoch in simulate(table, setting, slots, order):
        if what == "promote":
            assert again.next() == trial
        elif what not in ("start", "idle"):
            assert again.report(trial, epoch, table[trial - 1][epoch - 1]) == what


@settings(max_examples=100, deadline=None)
@given(searches())
def test_each_bracket_is_an_asha_of_its_own_trials(search):
    table, setting, slots, order = search
    core = core_of(setting)
    for what, trial, epoch in simulate(table, setting, slots, order):
        if what == "promote":
            core.next()
        elif what not in ("start", "idle"):
            core.report(trial, epoch, table[trial - 1][epoch - 1])
    for number, bracket in enumerate(core.brackets):
        for rung in bracket.rungs:
            assert {core.deal.bracket(trial) for trial in rung.scores} <= {number}


@pytest.mark.parametrize(
    ("grace", "eta", "epochs", "graces", "sizes"),
    [
        (1, 3, 81, [1, 3, 9, 27, 81], [81, 34, 15, 8, 5]),
        (3, 3, 27, [3, 9, 27], [9, 5, 3]),
        (3, 3, 28, [3, 9, 27], [9, 5, 3]),
        (5, 2, 5, [5], [1]),
        (9, 2, 5, [9], [1]),
    ],
)
def test_brackets_are_those_of_hyperband(grace, eta, epochs, graces, sizes):
    assert bracket_graces(grace, eta, epochs) == graces
    assert bracket_sizes(len(graces), eta) == sizes


def test_a_round_of_trials_gives_each_bracket_its_size_whatever_the_order_of_asking():
    deal, shuffled = Deal([9, 5, 3]), Deal([9, 5, 3])
    dealt = [deal.bracket(trial) for trial in range(1, 18)]
    assert [dealt.count(bracket) for bracket in range(3)] == [9, 5, 3]
    assert dealt[0] == 0 and set(dealt[:9]) == {0, 1, 2}
    order = random.Random(0).sample(range(1, 18), 17)
    assert {trial: shuffled.bracket(trial) for trial in order} == dict(enumerate(dealt, start=1))


def test_the_last_bracket_trains_in_full():
    core = HyperbandBrackets("max", 9, 1, 3)
    trial = next(trial for trial in range(1, 100) if core.deal.bracket(trial) == 2)
    assert [core.report(trial, epoch, math.nan) for epoch in range(1, 10)] == [CONTINUE] * 8 + [STOP]


def test_a_paused_trial_tells_its_bracket_and_its_rung():
    core = HyperbandBrackets("max", 9, 1, 3)
    assert core.report(1, 1, 0.0) == PAUSE
    assert core.reason(1) == "bracket 0: asha@1"


def test_a_trial_that_diverges_is_never_called_back():
    core = HyperbandBrackets("max", 4, 1, 2)
    first, second = [trial for trial in range(1, 9) if core.deal.bracket(trial) == 0][:2]
    core.report(first, 1, 5.0)
    core.abandon(first)
    assert core.report(second, 1, 1.0) == CONTINUE and core.next() is None


@pytest.mark.parametrize("record", SCHEDULERS, ids=name_of)
def test_each_scheduler_that_a_spec_can_name_has_a_core_and_a_forecast(record):
    scheduler = record().resolved(epochs=9)
    assert scheduler.build("max").report(1, 1, 0.0) == CONTINUE
    assert 9 < scheduler.expected_epochs([9] * 3) <= 27
    assert scheduler.most_epochs(9) == 9 >= scheduler.first_decision(9)


def test_expected_epochs_are_those_of_each_trials_bracket():
    """17 trials: 9 of (3 to 27 by 3: 3 + 6/3 + 18/9), 5 of (9 + 18/3), 3 of 27."""
    scheduler = Hyperband(grace_epochs=3, reduction_factor=3, max_epochs=27)
    assert scheduler.expected_epochs([27] * 17) == pytest.approx(9 * 7 + 5 * 15 + 3 * 27)
