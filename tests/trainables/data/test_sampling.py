"""The plan of an epoch is a function of (seed, epoch) and splits the rows exactly."""

import numpy as np
import pytest
import torch
from scipy import stats

from trainables.data.sampling import batches, plan


@pytest.mark.parametrize(("rows", "held_out"), [(1, 0), (10, 0), (10, 3), (10, 9), (1000, 250)])
def test_training_rows_and_held_out_rows_are_disjoint_and_cover_everything(rows, held_out):
    for epoch in range(4):
        train, held = plan(rows, held_out, refresh_epochs=2, seed=3, epoch=epoch)
        assert (len(train), len(held)) == (rows - held_out, held_out)
        assert torch.equal(torch.cat([train, held]).sort().values, torch.arange(rows))
        assert train.dtype == held.dtype == torch.int64


def test_held_out_rows_change_at_a_refresh_and_only_there():
    drawn = [plan(500, 100, refresh_epochs=3, seed=0, epoch=epoch)[1].tolist() for epoch in range(9)]
    same = [first == second for first, second in zip(drawn, drawn[1:], strict=False)]
    assert same == [True, True, False, True, True, False, True, True]


def test_several_passes_are_as_many_orders_of_the_rows_that_are_not_held_out_and_begin_with_the_order_of_one():
    (once, held), (often, same) = (plan(200, 50, 5, seed=0, epoch=3, passes=passes) for passes in (1, 4))
    assert torch.equal(held, same) and torch.equal(often[:150], once)
    assert all(torch.equal(part.sort().values, once.sort().values) for part in often.split(150))
    assert len({tuple(part.tolist()) for part in often.split(150)}) == 4


def test_the_order_changes_every_epoch_even_between_refreshes():
    orders = {tuple(plan(200, 50, refresh_epochs=5, seed=0, epoch=epoch)[0].tolist()) for epoch in range(20)}
    assert len(orders) == 20


def test_the_plan_is_the_same_when_drawn_again_and_whatever_was_drawn_before():
    wanted = plan(300, 60, refresh_epochs=2, seed=7, epoch=5)
    np.random.default_rng().random(10), torch.rand(10), plan(300, 60, refresh_epochs=2, seed=7, epoch=4)
    again = plan(300, 60, refresh_epochs=2, seed=7, epoch=5)
    assert torch.equal(wanted[0], again[0]) and torch.equal(wanted[1], again[1])


def test_another_seed_draws_another_plan():
    ours, theirs = (plan(300, 60, refresh_epochs=1, seed=seed, epoch=0) for seed in (0, 1))
    assert not torch.equal(ours[0], theirs[0]) and not torch.equal(ours[1], theirs[1])


def test_every_row_is_held_out_equally_often():
    """Counts of a draw without replacement vary less than those of independent draws by (1 - held_out / rows)."""
    rows, held_out, epochs = 50, 10, 5_000
    held = torch.cat([plan(rows, held_out, refresh_epochs=1, seed=1, epoch=epoch)[1] for epoch in range(epochs)])
    expected = epochs * held_out / rows
    statistic = ((held.bincount(minlength=rows) - expected) ** 2).sum().item() / (expected * (1 - held_out / rows))
    statistic *= (rows - 1) / rows  # sums to chi-square of rows - 1 degrees: the counts add up to a constant
    assert 1e-4 < stats.chi2(rows - 1).sf(statistic) < 1 - 1e-4


def test_every_row_comes_first_equally_often():
    first = [plan(20, 0, refresh_epochs=1, seed=2, epoch=epoch)[0][0].item() for epoch in range(4_000)]
    assert stats.chisquare(np.bincount(first, minlength=20)).pvalue > 1e-4


def test_more_held_out_rows_than_there_are_is_refused():
    with pytest.raises(ValueError, match="larger sample than population"):
        plan(10, 11, refresh_epochs=1, seed=0, epoch=0)


@pytest.mark.parametrize(("rows", "size", "lengths"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (0, 3, [])])
def test_batches_follow_the_order_and_keep_the_short_last_one(rows, size, lengths):
    index = torch.arange(rows).flip(0)
    pieces = list(batches(index, size))
    assert [len(piece) for piece in pieces] == lengths
    assert torch.equal(torch.cat([torch.empty(0, dtype=torch.int64), *pieces]), index)
