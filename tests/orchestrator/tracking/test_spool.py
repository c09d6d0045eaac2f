"""The spool's files and the order, patience and bookkeeping of its sender, with receivers that do as they are told."""

import json
import math
import threading

import pytest

from orchestrator.tracking import sending, spool
from orchestrator.tracking.sending import Changed, Refused, Sender, Unreachable
from orchestrator.tracking.spool import PARENT, START, Spool, TrackingError
from tests.support.waiting import until


class Receiver:
    """Takes events; refuses a request that holds a value of `refusals` as many times as it says."""

    local = False

    def __init__(self, refusals=(), for_good=False):
        self.refusals, self.for_good = dict(refusals), for_good
        self.taken, self.requests, self.kept = [], [], {}

    def receipts(self):
        return dict(self.kept)

    def send(self, uid, events, before, after):
        values = [event["value"] for event in events]
        if self.kept.get(uid) != before:
            raise Changed("put back")
        self.requests.append((uid, len(events)))
        for value in values:
            if self.refusals.get(value):
                self.refusals[value] -= 1
                raise Refused("overloaded", self.for_good)
        self.taken += values
        self.kept[uid] = after


class Down(Receiver):
    def receipts(self):
        raise Unreachable("down")


def filled(folder, values, uid="0000", kind="epoch"):
    opened = Spool(folder, "store")
    for value in values:
        opened.append(uid, {"kind": kind, "value": value})
    return opened


def test_the_parent_goes_first_then_each_run_in_its_own_order(tmp_path):
    opened = Spool(tmp_path, "store")
    for value in range(6):
        opened.append(("0001", "0000", PARENT)[value % 3], {"kind": "picture", "value": value})
    receiver = Receiver()
    Sender(opened, receiver).flush()
    assert [uid for uid, _ in receiver.requests] == [PARENT, PARENT, "0001", "0001", "0000", "0000"]
    assert receiver.taken == [2, 5, 0, 3, 1, 4]


def test_epochs_go_many_at_a_time_and_other_events_alone(tmp_path):
    opened = filled(tmp_path, range(2 * spool.LINES + 7))
    for value in (-1, -2):
        opened.append("0000", {"kind": "picture", "value": value})
    receiver = Receiver()
    Sender(opened, receiver).flush()
    assert receiver.taken == [*range(2 * spool.LINES + 7), -1, -2]
    assert [size for _, size in receiver.requests] == [spool.LINES, spool.LINES, 7, 1, 1]


@pytest.fixture
def quick(monkeypatch):
    for pause in ("PAUSE_S", "LONGEST_PAUSE_S", "CLOSING_PAUSE_S"):
        monkeypatch.setattr(sending, pause, 0.01)


def test_a_store_that_refuses_for_a_while_gets_all_in_order_however_often_it_refused(tmp_path, quick):
    opened, receiver = filled(tmp_path, (1, 2, 3, 4), kind="picture"), Receiver({2: 50, 3: 50})
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.rejected(), opened.unsent()) == ([1, 2, 3, 4], [], 0)


def test_a_store_that_refuses_on_has_nothing_set_aside_and_the_reason_is_told(tmp_path, quick):
    opened, receiver = filled(tmp_path, (1, 2, 3), kind="picture"), Receiver({2: 10**6})
    opened.append("0001", {"kind": "picture", "value": 7})
    sender = Sender(opened, receiver)
    sender.flush(patience_s=0.1)
    assert (receiver.taken, opened.rejected(), opened.unsent(), sender.trouble) == ([1, 7], [], 2, "overloaded")


def test_a_refusal_for_good_is_set_aside_and_tried_again_by_the_next_flush(tmp_path):
    opened, receiver = filled(tmp_path, (1, 2, 3)), Receiver({2: 99}, for_good=True)
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.unsent()) == ([1, 3], 0)
    assert opened.rejected() == [{"uid": "0000", "reason": "overloaded", "event": '{"kind":"epoch","value":2}'}]
    opened.append("0000", {"kind": "ended", "value": 4})
    receiver.refusals.clear()
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.rejected()) == ([1, 3, 4, 2, 4], [])  # each run ends as it did
    assert not list(tmp_path.glob("rejected*"))


def test_of_events_that_were_set_aside_those_that_are_refused_again_are_left(tmp_path):
    opened, receiver = filled(tmp_path, (1, 2, 3)), Receiver({1: 9, 2: 1, 3: 1}, for_good=True)
    Sender(opened, receiver).flush()
    assert [json.loads(one["event"])["value"] for one in opened.rejected()] == [1]
    assert [path.name for path in tmp_path.glob("rejected*")] == ["rejected-824d80d71985.log"]  # as ever for "store"


def test_events_set_aside_by_an_earlier_version_are_tried_again(tmp_path):
    letter = {"uid": "0000", "reason": "disk full", "event": '{"kind":"picture","value":1}'}
    (tmp_path / "rejected.log").write_text(json.dumps(letter) + "\n")
    opened, receiver = filled(tmp_path, (2,)), Receiver()
    assert opened.rejected() == [letter]
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.rejected()) == ([2, 1], [])


def test_a_store_that_was_put_back_or_emptied_is_sent_what_it_lacks(tmp_path, quick):
    opened, receiver = filled(tmp_path, (1, 2), kind="picture"), Receiver()
    sender = Sender(opened, receiver)
    sender.start()
    until(lambda: receiver.taken == [1, 2])
    for kept in ({"0000": str(START.after(list(opened.lines("0000"))[:1]))}, {}):  # an older copy; a new store
        receiver.kept, receiver.taken = kept, []
        opened.append("0000", {"kind": "picture", "value": 3})
        until(lambda: 3 in receiver.taken)
    sender.close(5, 5)
    assert receiver.taken == [1, 2, 3, 3]


def test_a_store_that_was_emptied_after_the_last_event_gets_all_at_the_close_and_by_a_later_flush(tmp_path, quick):
    opened, receiver = filled(tmp_path, (1, 2)), Receiver()
    sender = Sender(opened, receiver)
    sender.start()
    until(lambda: receiver.kept)
    receiver.kept, receiver.taken = {}, []
    sender.close(5, 5)
    assert receiver.taken == [1, 2]
    receiver.kept, receiver.taken = {}, []
    Sender(opened, receiver).flush()
    assert receiver.taken == [1, 2]


def test_a_receipt_of_another_file_is_none(tmp_path):
    opened, receiver = filled(tmp_path, (1, 2)), Receiver()
    receiver.kept = {"0000": str(START.after(opened.lines("0000")))[:-1] + "x"}
    Sender(opened, receiver).flush()
    assert receiver.taken == [1, 2]


@pytest.mark.parametrize("method", ["receipts", "send"])
def test_nothing_that_the_thread_meets_ends_it(tmp_path, quick, method):
    opened, receiver = filled(tmp_path, (1, 2)), Receiver()
    faults = [OSError(28, "No space left on device"), KeyError("run"), RuntimeError("boom"), MemoryError()]
    works = getattr(receiver, method)

    def fail(*words):
        if faults:
            raise faults.pop()
        return works(*words)

    setattr(receiver, method, fail)
    sender = Sender(opened, receiver)
    sender.start()
    until(lambda: opened.unsent() == 0)
    sender.close(5, 5)
    assert (receiver.taken, opened.unsent()) == ([1, 2], 0)


def test_what_was_sent_need_not_be_noted_here(tmp_path):
    opened, receiver = filled(tmp_path, (1, 2)), Receiver()
    (tmp_path / opened._sent_file.name).mkdir()  # it cannot be written
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.unsent()) == ([1, 2], 0)
    opened.close()
    again = Spool(tmp_path, "store")
    Sender(again, receiver).flush()
    assert receiver.taken == [1, 2]


def test_an_outage_rejects_nothing_however_long_it_lasts(tmp_path):
    opened = filled(tmp_path, (1, 2))
    for _ in range(20):
        Sender(opened, Down()).flush()
    assert (opened.rejected(), opened.unsent()) == ([], 2)


def test_each_store_gets_what_it_lacks_and_what_it_had_is_known_while_it_is_silent(tmp_path):
    opened, receiver = filled(tmp_path, (1, 2)), Receiver()
    Sender(opened, receiver).flush()
    opened.append("0000", {"kind": "epoch", "value": 3})
    opened.close()
    for store, unsent in (("store", 1), ("other", 3)):
        again = Spool(tmp_path, store)
        Sender(again, Down()).flush()
        assert again.unsent() == unsent
        Sender(again, receiver if store == "store" else Receiver()).flush()
        assert again.unsent() == 0
        again.close()
    assert receiver.taken == [1, 2, 3]


def test_a_half_written_line_is_cut_off_by_the_next_start_and_by_the_next_event(tmp_path):
    opened = filled(tmp_path, (1,))
    for start_again in (True, False):
        with open(tmp_path / "0000.jsonl", "a") as file:
            file.write('{"kind":"ep')
        if start_again:
            opened.close()
            opened = Spool(tmp_path, "store")
            assert (tmp_path / "0000.jsonl").read_text().endswith("}\n")
        opened.append("0000", {"kind": "epoch", "value": 2})
    assert [line.event["value"] for line in opened.lines("0000")] == [1, 2, 2]


def test_a_damaged_line_is_set_aside(tmp_path):
    (tmp_path / "0000.jsonl").write_bytes(b'{"kind":"ep\xff\n5\n{"kind":"epoch","value":1}\n')
    opened, receiver = Spool(tmp_path, "store"), Receiver()
    Sender(opened, receiver).flush()
    assert (receiver.taken, len(opened.rejected()), opened.unsent()) == ([1], 2, 0)


def test_a_line_that_is_half_written_is_neither_sent_nor_counted(tmp_path):
    opened = filled(tmp_path, (1,))
    with open(tmp_path / "0000.jsonl", "a") as file:
        file.write('{"kind":"ep')
    assert [line.event["value"] for line in opened.unsent_lines("0000")] == [1]
    assert opened.unsent() == 1


def test_an_event_is_set_aside_once_also_by_the_next_process_and_again_after_it_was_taken(tmp_path):
    opened = filled(tmp_path, (1,))
    [line] = opened.lines("0000")
    for _ in range(2):
        opened.reject("0000", line, "too long")
    opened.close()
    opened = Spool(tmp_path, "store")
    opened.reject("0000", line, "too long")
    assert [one["event"] for one in opened.rejected()] == [line.text]
    opened.keep_rejected([])
    opened.reject("0000", line, "too long")
    assert [one["event"] for one in opened.rejected()] == [line.text]


def test_a_note_of_what_was_sent_or_set_aside_that_is_damaged_loses_no_event(tmp_path):
    opened = filled(tmp_path, (1, 2))
    opened.acknowledge("0000", START.after(opened.lines("0000")))
    opened.close()
    opened._sent_file.write_text('{"0000": "5')
    opened.rejected_file.write_bytes(b'{"uid": "00\xff\n5\n')
    again = Spool(tmp_path, "store")
    assert again.unsent() == 2
    assert [one["uid"] for one in again.rejected()] == [PARENT, PARENT]


def test_how_far_the_store_has_got_is_written_a_number_of_times_that_grows_as_a_logarithm(tmp_path, monkeypatch):
    sizes, opened = [], Spool(tmp_path, "store")
    monkeypatch.setattr(spool, "write_whole", lambda path, text: sizes.append(len(json.loads(text))))
    for run in range(1_000):
        opened.append(f"{run:04d}", {"kind": "epoch", "value": run})
        assert opened.unsent_uids() == [f"{run:04d}"]
        opened.acknowledge(f"{run:04d}", START.after(opened.unsent_lines(f"{run:04d}")))
    assert opened.unsent() == 0 and len(sizes) < 150 and sum(sizes) < 25 * 1_000
    opened.close()
    assert sizes[-1] == 1_000


def test_after_a_kill_no_event_is_taken_for_sent_that_was_not(tmp_path):
    opened, noted = Spool(tmp_path, "store"), []
    for run in range(60):
        opened.append(f"{run:04d}", {"kind": "epoch", "value": run})
        opened.append(f"{run:04d}", {"kind": "epoch", "value": run})
    for run in range(50):
        first, _ = opened.unsent_lines(f"{run:04d}")
        opened.acknowledge(f"{run:04d}", START.after([first]))
        noted.append(len(json.loads(opened._sent_file.read_text())))
    opened._lock_file.close()  # as a kill does
    again = Spool(tmp_path, "store")
    assert again.unsent() == 120 - noted[-1] and run - 3 <= noted[-1] <= run + 1
    assert len(again.unsent_uids()) == 60


def test_a_late_answer_changes_nothing_once_the_folder_is_let_go(tmp_path):
    opened = filled(tmp_path, (1,))
    [line] = opened.unsent_lines("0000")
    opened.close()
    opened.acknowledge("0000", START.after([line]))
    opened = Spool(tmp_path, "store")
    assert opened.unsent() == 1
    opened.acknowledge("0000", START.after([line]))
    opened.close()
    opened.believe({})
    assert Spool(tmp_path, "store").unsent() == 0


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot be written here: Not a directory"):
        Spool(tmp_path / "file" / "spool", "store")
    filled(tmp_path / "spool", (1,)).close()
    opened = Spool(tmp_path / "spool", "store")
    with pytest.raises(TrackingError, match="another process"):
        Spool(tmp_path / "spool", "store")
    assert opened.unsent() == 1


class Slow(Receiver):
    """It answers once it is told to."""

    local = True

    def __init__(self):
        super().__init__()
        self.may = threading.Event()

    def receipts(self):
        self.may.wait()
        return super().receipts()


def test_a_store_that_is_only_slow_is_waited_for_beyond_the_patience(tmp_path):
    receiver = Slow()
    sender = Sender(filled(tmp_path, (1, 2)), receiver)
    sender.start()
    threading.Timer(1.0, receiver.may.set).start()
    sender.close(patience_s=0.1, longest_s=math.inf)
    assert receiver.taken == [1, 2]


def test_an_interrupted_sweep_does_not_wait_for_a_slow_store(tmp_path):
    receiver = Slow()
    sender = Sender(opened := filled(tmp_path, (1, 2)), receiver)
    sender.start()
    sender.close(patience_s=0.1, longest_s=0.1)
    assert receiver.taken == [] and opened.unsent() == 2
    receiver.may.set()
