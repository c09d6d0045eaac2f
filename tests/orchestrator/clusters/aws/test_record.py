"""What a cluster of kind `aws` may grow to, and what it costs at most."""

import pytest

from orchestrator.clusters.aws.prices import PriceList
from orchestrator.clusters.connection import ConnectedCluster
from orchestrator.clusters.cost import Cost
from orchestrator.spec.records import Resources
from tests.support.aws_records import HEAD, SPOT, aws_cluster

ON_DEMAND = SPOT | {"spot": False, "at_most": 4}


def priced(row: dict, usd: float | None) -> dict:
    return row | {"usd_per_hour": usd}


def test_it_grows_to_what_its_rows_have_and_the_head_trains_nothing():
    assert aws_cluster(workers=[SPOT, ON_DEMAND]).room() == ({"cpus": 8, "gpus": 1},) * 12


def test_with_at_most_it_grows_to_as_many_of_the_first_rows():
    small = ON_DEMAND | {"instance": "g5.xlarge", "cpus": 4}
    nodes = aws_cluster(workers=[SPOT, small], at_most=9).room()
    assert nodes == ({"cpus": 8, "gpus": 1},) * 8 + ({"cpus": 4, "gpus": 1},)


def test_slots_are_counted_from_what_it_may_grow_to():
    eight = Resources(gpus_per_worker=1, cpus_per_worker=8)
    over_two = Resources(workers=2, gpus_per_worker=1, cpus_per_worker=8, placement="STRICT_SPREAD")
    cluster = ConnectedCluster(aws_cluster().room())
    assert (cluster.slots(eight), cluster.slots(over_two)) == (8, 4)


def test_the_cost_is_that_of_the_dearest_machines_it_may_have_until_all_end():
    rows = [priced(SPOT, 0.5), priced(ON_DEMAND, 1.0)]
    cost = aws_cluster(workers=rows, at_most=6, max_hours=10).cost()
    assert cost == Cost(pytest.approx(0.2 + 4 * 1.0 + 2 * 0.5), pytest.approx(52.0))


@pytest.mark.parametrize("unknown", [{"workers": [priced(SPOT, None)]}, {"head": priced(HEAD, None)}])
def test_where_a_price_is_not_written_the_cost_is_unknown(unknown):
    cluster = aws_cluster(**unknown)
    assert cluster.cost() == Cost(None, None)
    assert "write each usd_per_hour" in cluster.summary()[-1]


def test_prices_that_are_not_written_are_asked_of_aws_and_written_ones_stay(monkeypatch):
    monkeypatch.setattr(PriceList, "usd_per_hour", lambda self, instance, spot: 0.25 if spot else None)
    rows = [priced(SPOT, None), priced(ON_DEMAND, 1.0)]
    known = aws_cluster(workers=rows, head=priced(HEAD, None)).priced()
    assert known.prices() == {"head": None, "g5.2xlarge-spot": 0.25, "g5.2xlarge-on-demand": 1.0}
    assert known.cost() == Cost(None, None)


def test_where_all_prices_are_written_aws_is_not_asked(monkeypatch):
    monkeypatch.setattr(PriceList, "usd_per_hour", lambda *asked: pytest.fail("was asked"))
    assert aws_cluster().priced().prices() == {"head": 0.2, "g5.2xlarge-spot": 0.5}


def test_the_plan_tells_machines_dollars_an_hour_and_the_most_it_can_cost():
    rows = [priced(SPOT, 0.5), priced(ON_DEMAND, 1.0)]
    assert aws_cluster(workers=rows, at_most=8).summary() == [
        "the head: m6i.xlarge (0.2 dollars an hour), in us-west-2",
        "up to 8 workers: g5.2xlarge (0.5 dollars an hour), spot, 8 CPUs, 1 GPUs",
        "up to 4 workers: g5.2xlarge (1 dollars an hour), on demand, 8 CPUs, 1 GPUs, where no more of those above can"
        " be had",
        "up to 8 workers at a time",
        "at most 6.20 dollars an hour; all machines end after 24 hours, so at most 148.80 dollars in all",
    ]
