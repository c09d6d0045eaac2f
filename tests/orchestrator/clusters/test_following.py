"""The log of a job over connections that are lost, in pieces of any size. Without Ray: it cuts a log as it likes."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.clusters import jobs as jobs_module
from orchestrator.clusters.job_server import NoAnswer, ServerFault
from orchestrator.clusters.jobs import Jobs, State

LOST = NoAnswer("lost")


class Head(Jobs):
    """Gives the log again from its beginning on each connection, as far as the connection lasts.

    `connections` has the sizes of the pieces that each brings; one that is not the last is lost, or (if `ends`) ends
    as if the log did.
    """

    def __init__(self, log: str, connections: list[tuple[list[int], bool]]):
        super().__init__("http://127.0.0.1:1", None)
        self.log, self.connections, self.lost = log, list(connections), 0

    def _chunks(self, job_id):
        yield ""
        if not self.connections:
            return
        pieces, ends = self.connections.pop(0)
        start = 0
        for size in pieces:
            if start < len(self.log):
                yield self.log[start : start + size]
            start += size
        if not ends:
            self.lost += 1
            raise LOST

    def status(self, job_id):
        ended = not self.connections
        return State("SUCCEEDED" if ended else "RUNNING", 0 if ended else None, "")

    def logs(self, job_id):
        return self.log


@pytest.fixture(autouse=True, scope="module")
def no_pause():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs_module, "PAUSE_S", 0.0)
        yield


@settings(deadline=None)
@given(
    st.text(alphabet="ab\n", max_size=60),
    st.lists(st.tuples(st.lists(st.integers(1, 9), max_size=12), st.booleans()), max_size=5),
)
def test_every_line_comes_whole_and_once(log, connections):
    head, opened = Head(log, connections), count()
    lines = list(head.follow("a", lambda: f"http://127.0.0.1:{next(opened) + 2}"))
    assert lines == (log.removesuffix("\n").split("\n") if log else [])
    assert head.server.address == f"http://127.0.0.1:{head.lost + 1}"


def test_a_log_that_is_gone_with_its_node_ends_after_what_was_seen_and_says_so():
    head = Head("a\nb\nc", [([4], True)])
    head.logs = lambda job_id: (_ for _ in ()).throw(ServerFault("gone"))
    assert list(head.follow("a", None)) == ["a", "b", "The rest of the log cannot be read. gone"]


def test_a_cluster_that_never_answers_again_is_given_up(monkeypatch):
    monkeypatch.setattr(jobs_module, "LOST_S", -1.0)
    with pytest.raises(NoAnswer):
        list(Head("a\nb", [([1], False), ([1], True)]).follow("a", None))


def test_a_way_that_cannot_be_opened_yet_is_tried_again():
    tries = iter([LOST, LOST, None])

    def reopen():
        if error := next(tries):
            raise error
        return "http://127.0.0.1:2"

    head = Head("a\nb\n", [([2], False), ([1], False), ([1], False)])
    assert list(head.follow("a", reopen)) == ["a", "b"]
    assert head.server.address.endswith(":2")
