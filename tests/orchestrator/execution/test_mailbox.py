"""The mailbox between a slot and its worker group, without Ray: order of orders, and the fence around lost groups."""

import asyncio

import pytest

from orchestrator.execution.mailbox import DRAW, STEP, Mailbox

FIRST, SECOND = {"id": "0001"}, {"id": "0002"}
NOW = 0.01  # seconds


def run(text):
    """Tell a story to a new mailbox; it must not hang."""
    return asyncio.run(asyncio.wait_for(text(Mailbox()), 10))


def test_every_worker_reads_the_same_orders_in_order():
    async def text(box):
        incarnation = await box.register()
        for order in (FIRST, STEP, DRAW, SECOND):
            await (box.begin(order) if isinstance(order, dict) else box.ask(order))
        for _worker in range(3):
            assert [await box.order(incarnation, number) for number in range(4)] == [FIRST, STEP, DRAW, SECOND]

    run(text)


def test_a_worker_waits_for_its_order_and_the_slot_for_its_answer():
    async def text(box):
        incarnation = await box.register()
        worker, slot = (asyncio.create_task(wait) for wait in (box.order(incarnation, 0), box.next(5)))
        await asyncio.sleep(NOW)
        assert not worker.done() and not slot.done()
        await box.ask(STEP)
        assert await worker == STEP
        assert await box.answer(incarnation, {"epoch": 1})
        assert await slot == {"answer": {"epoch": 1}}
        assert await box.next(NOW) is None  # each is told once

    run(text)


def test_a_new_group_begins_with_the_running_trial_and_the_unanswered_order():
    async def text(box):
        old = await box.register()
        await box.begin(FIRST)
        await box.ask(STEP)
        await box.answer(old, {"epoch": 1})
        await box.ask(STEP)
        new = await box.register()
        assert [await box.order(new, number) for number in range(2)] == [FIRST, STEP]
        await box.answer(new, {"epoch": 2})
        third = await box.register()  # lost while it waits for what Tune decides
        assert await box.order(third, 0) == FIRST
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(box.order(third, 1), NOW)

    run(text)


def test_what_a_lost_group_says_is_refused():
    async def text(box):
        old = await box.register()
        await box.begin(FIRST)
        await box.ask(STEP)
        assert await box.current(old)
        waiting = asyncio.create_task(box.order(old, 2))
        await asyncio.sleep(NOW)
        new = await box.register()
        assert await waiting is None  # told to end, though it waited already
        assert await box.order(old, 0) is None
        assert not await box.current(old)
        assert not await box.answer(old, {"epoch": 1})
        assert await box.next(NOW) is None
        assert await box.order(new, 1) == STEP  # still to be done
        assert await box.answer(new, {"epoch": 1})
        assert await box.next(NOW) == {"answer": {"epoch": 1}}

    run(text)


def test_failures_reach_the_slot_unless_they_were_before_its_trial():
    async def text(box):
        await box.begin(FIRST)
        await box.ask(STEP)
        await box.fail("worker 1 is dead", trial_fault=False)
        assert await box.next(NOW) == {"reason": "worker 1 is dead", "trial_fault": False}
        await box.fail("worker 0 is dead", trial_fault=False)  # while no trial wants anything
        await box.begin(SECOND)
        assert await box.next(NOW) is None

    run(text)


def test_a_closed_mailbox_ends_the_group_and_any_that_comes_after():
    async def text(box):
        incarnation = await box.register()
        await box.begin(FIRST)
        await box.ask(STEP)
        await box.close()
        assert [await box.order(incarnation, number) for number in range(3)] == [FIRST, STEP, None]
        assert await box.order(await box.register(), 0) is None

    run(text)
