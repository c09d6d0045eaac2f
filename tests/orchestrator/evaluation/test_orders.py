"""What is asked of a model: of which epoch it is, where its checkpoint is found, and what has been found of it."""

import json

import pytest

from orchestrator.clusters.trial_store import TrialStore
from orchestrator.evaluation.jobs import files_of
from orchestrator.evaluation.models import TrainedModel
from orchestrator.evaluation.orders import Order, current
from orchestrator.storage import layout
from tests.support.trial_stores import reachable
from trainables.evaluations.generation import PRD

ASKED = [PRD(features="pixels"), PRD(features="pixels", axes="all")]


@pytest.fixture
def sweep(tmp_path):
    home = layout.trial_folder(tmp_path, "0001")
    home.mkdir(parents=True)
    (home / layout.CONFIG).write_text(json.dumps({"run": {}}))
    (home / layout.BEST).write_bytes(b"best"), (home / layout.CHECKPOINT).write_bytes(b"last")
    return tmp_path


def model_in(sweep):
    home = layout.trial_folder(sweep, "0001")
    return TrainedModel("0001", home, home / layout.BEST, "0001 beta=2")


def order_of(model):
    return Order(model, ASKED, [own.identity() for own in ASKED], again=False)


def found(evaluation, **more):
    known = {"metric": "prd", "settings": evaluation.model_dump(mode="json"), "undefined": "", "epoch": 3}
    return known | {"values": {"precision": 0.5}, "lasting": True, "pictures": []} | more


@pytest.mark.parametrize("of", ["best", "last"])
def test_a_node_that_shares_no_files_fetches_the_checkpoint_that_is_meant(of, sweep, monkeypatch):
    job = order_of(model_in(sweep).at(of)).job(sweep, None, sweep / layout.SHARED)
    reachable(TrialStore(str(sweep)), monkeypatch)
    with files_of(job | {"store": "a store"}) as (checkpoint, _):
        assert checkpoint.read_bytes() == of.encode()
    with files_of(job) as (checkpoint, _):
        assert checkpoint.read_bytes() == of.encode()


def test_one_evaluation_with_two_settings_is_two_things_to_find(sweep):
    order = order_of(model_in(sweep))
    assert [own["axes"] for own in order.lacking] == [None, "all"]
    order.take(found(ASKED[1], values={"precision_all": 0.6}), {})
    assert [own["axes"] for own in order.lacking] == [None]
    order.take(found(ASKED[0]), {})
    assert not order.lacking and len(order_of(model_in(sweep)).found) == 2


def test_findings_about_either_epoch_are_current_for_the_model_of_that_epoch_alone(sweep):
    best, last = model_in(sweep), model_in(sweep).at("last")
    order_of(best).take(found(ASKED[0]), {})
    order_of(last).take(found(ASKED[0], epoch=5), {})
    assert [finding["epoch"] for finding in current(best)] == [3]
    assert [finding["epoch"] for finding in current(last)] == [5]
    assert last.in_tables([]).label == "0001@last beta=2" and best.in_tables([]).label == "0001 beta=2"
    last.checkpoint.write_bytes(b"trained on")
    assert current(model_in(sweep).at("last")) == []
    last.checkpoint.unlink()  # it stayed on a cluster
    assert [finding["epoch"] for finding in current(model_in(sweep).at("last"))] == [5]


def test_findings_of_earlier_versions_are_about_the_best_epoch(sweep):
    order_of(model_in(sweep)).take(found(ASKED[0]), {})
    file = layout.trial_folder(sweep, "0001") / layout.EVALUATIONS
    [(key, finding)] = json.loads(file.read_text()).items()
    file.write_text(json.dumps({key: {name: value for name, value in finding.items() if name not in ("of", "tables")}}))
    assert len(current(model_in(sweep))) == 1 and current(model_in(sweep).at("last")) == []
    assert [own["axes"] for own in order_of(model_in(sweep)).lacking] == ["all"]


def test_tables_and_pictures_lie_beside_the_finding(sweep):
    order = order_of(model_in(sweep))
    order.take(found(ASKED[0]), {"a.png": b"png", "b.csv": b"size\n"})
    [finding] = order.found.values()
    [key] = order.found
    folder = f"{layout.EVALUATION_PICTURES}/{key}"
    assert (finding["pictures"], finding["tables"]) == ([f"{folder}/a.png"], [f"{folder}/b.csv"])
    assert (order.model.folder / finding["tables"][0]).read_bytes() == b"size\n"
