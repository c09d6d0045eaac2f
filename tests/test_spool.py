"""The spool's files and the order, patience and bookkeeping of its sender, with receivers that do as they are told."""

import json

import pytest

from orchestrator import spool
from orchestrator.spool import PARENT, Refused, Sender, Spool, TrackingError, Unreachable


class Receiver:
    """Takes events; refuses a request that holds a value of `refusals` as many times as it says."""

    def __init__(self, refusals=(), for_good=False):
        self.refusals, self.for_good = dict(refusals), for_good
        self.taken, self.requests = [], []

    def send(self, uid, events):
        values = [event["value"] for event in events]
        self.requests.append((uid, len(events)))
        for value in values:
            if self.refusals.get(value):
                self.refusals[value] -= 1
                raise Refused("overloaded", self.for_good)
        self.taken += values


class Down:
    def send(self, uid, events):
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


PASSING = spool.TRIES - 1


@pytest.mark.parametrize(
    ("refusals", "taken", "rejected"), [({2: PASSING, 3: PASSING}, [1, 2, 3, 4], 0), ({2: 99}, [1, 3, 4], 1)]
)
def test_a_passing_refusal_is_tried_again_and_a_lasting_one_set_aside(tmp_path, monkeypatch, refusals, taken, rejected):
    monkeypatch.setattr(spool, "CLOSING_PAUSE_S", 0.01)
    opened, receiver = filled(tmp_path, (1, 2, 3, 4), kind="picture"), Receiver(refusals)
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.rejected(), opened.unsent()) == (taken, rejected, 0)


def test_a_refusal_for_good_is_not_tried_again(tmp_path):
    opened, receiver = filled(tmp_path, (1, 2, 3)), Receiver({2: 99}, for_good=True)
    Sender(opened, receiver).flush()
    assert (receiver.taken, receiver.requests) == ([1, 3], [("0000", 3)] + 3 * [("0000", 1)])
    [letter] = (tmp_path / "rejected.log").read_text().splitlines()
    assert json.loads(letter) == {"uid": "0000", "reason": "overloaded", "event": '{"kind":"epoch","value":2}'}


def test_an_outage_rejects_nothing_however_long_it_lasts(tmp_path):
    opened = filled(tmp_path, (1, 2))
    for _ in range(spool.TRIES + 1):
        Sender(opened, Down()).flush()
    assert (opened.rejected(), opened.unsent()) == (0, 2)


def test_what_is_acknowledged_is_remembered_for_each_store(tmp_path):
    opened = filled(tmp_path, (1, 2))
    Sender(opened, Receiver()).flush()
    opened.append("0000", {"kind": "epoch", "value": 3})
    opened.close()
    for store, taken in (("store", [3]), ("other", [1, 2, 3])):
        again, receiver = Spool(tmp_path, store), Receiver()
        Sender(again, receiver).flush()
        again.close()
        assert receiver.taken == taken


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
    (tmp_path / "0000.jsonl").write_bytes(b'{"kind":"ep\xff\n{"kind":"epoch","value":1}\n')
    opened, receiver = Spool(tmp_path, "store"), Receiver()
    Sender(opened, receiver).flush()
    assert (receiver.taken, opened.rejected(), opened.unsent()) == ([1], 1, 0)


def test_a_late_answer_changes_nothing_once_the_folder_is_let_go(tmp_path):
    opened = filled(tmp_path, (1,))
    [line] = opened.unsent_lines("0000")
    opened.close()
    opened.acknowledge("0000", line.end)
    assert Spool(tmp_path, "store").unsent() == 1


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot be written here: Not a directory"):
        Spool(tmp_path / "file" / "spool", "store")
    filled(tmp_path / "spool", (1,)).close()
    opened = Spool(tmp_path / "spool", "store")
    with pytest.raises(TrackingError, match="another process"):
        Spool(tmp_path / "spool", "store")
    assert opened.unsent() == 1
