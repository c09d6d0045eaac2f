"""Noise that a thread draws ahead is the noise that steps would draw, and most of it is foreseen."""

import threading

import pytest
import torch

from tests.support.small_runs import METHODS, a_run
from trainables import ahead
from trainables.noise import Noise
from trainables.train import Training, train


def last_state(name: str) -> dict:
    """The checkpoint of the last epoch, and its metrics."""
    *_, report = train(a_run(name))
    return report.training.learner.state_dict() | {"metrics": repr(report.metrics)}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_the_same_bits(name, monkeypatch):
    expected = last_state(name)
    monkeypatch.setattr(Training, "draws_ahead", True)
    found = last_state(name)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items() if key != "metrics")
    assert found["metrics"] == expected["metrics"]


def batches(number: int):
    """Batches with noise of their own; the last is shorter."""
    for at in range(number):
        rows = 3 if at == number - 1 else 4
        yield torch.full((rows,), at), Noise(0, "train", 0, at, rows=slice(0, rows), total=rows), rows


def asks(noise: Noise, phase: int) -> torch.Tensor:
    """What a step of a phase asks: another shape in each."""
    return noise.under("phase").normal("z", 2 + phase)


def test_what_a_cycle_of_phases_asked_is_drawn_by_the_thread_in_later_ones(monkeypatch):
    expected = [asks(noise, at % 2) for at, (_, noise, _) in enumerate(batches(20))]
    drawn_by, rows = [], Noise._rows
    monkeypatch.setattr(
        Noise, "_rows", lambda self, *asked: (drawn_by.append(threading.current_thread()), rows(self, *asked))[1]
    )
    by_steps = []  # draws by this thread, until the end of each step
    for at, (x, noise, _) in enumerate(ahead.draw_ahead(batches(20), phases=2)):
        assert (x == at).all() and torch.equal(asks(noise, at % 2), expected[at])
        by_steps.append(drawn_by.count(threading.current_thread()))
    assert by_steps[:2] == [1, 2] and by_steps[5:] == [by_steps[5]] * 15
    assert len(drawn_by) == 20


def test_an_epoch_that_ends_early_leaves_no_thread():
    before = threading.active_count()
    some = ahead.draw_ahead(batches(20), phases=1)
    next(some)
    some.close()
    assert threading.active_count() == before
