"""Evaluations by two real gloo workers: their findings are those of one, numbers and complaints alike."""

import fnmatch
import pickle
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from tests.support import forks
from tests.support.evaluations import a_model, a_small, with_attributes, zeros_and_ones
from trainables.common.errors import CheckpointError, DataError
from trainables.common.records import name_of
from trainables.data import Mnist01
from trainables.evaluations import EVALUATIONS, context
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.downstream import probes
from trainables.evaluations.evaluate import evaluate, find
from trainables.evaluations.generation import Features
from trainables.metrics import convnet
from trainables.sums import rank_and_world
from trainables.train import Training

CASES = {
    "ard_vae": (
        "digits",
        [
            "frechet",
            "frechet_intel",
            "frechet_ard",
            "prd",
            "active",
            "mse",
            "hoyer",
            "rate",
            "information",
            "mmd",
            "parzen all",
            "nearest",
        ],
    ),
    "sylvester_vae": ("digits", ["rate", "svm", "forest", "attributes", "parzen", "iwae", "mse", "hoyer"]),
    "geco_l0_arm_vae": ("sprites", ["factor_vae", "mig", "active", "rate", "frechet"]),
    "ard_vae student_t": ("sprites", ["factor_vae", "mig", "dz_time", "iwae"]),
    "intel_vae learned sectors": ("mnist01", ["uncertainty", "uncertainty relevant", "proportion"]),
    "intel_vae hierarchical": ("digits", ["traversals", "hoyer", "magnitudes"]),
    "vimae logistic": ("digits", ["rate", "information", "mmd", "iwae", "attributes"]),
}
ACROSS_BLOCKS = {"generated": 1130, "features": "classifier", "published": True}


def findings(folder):
    """Of all cases, and of what is missing to worker 1 alone, or too little. The classifiers learn for 30 steps."""
    probes.FOREST_TEST_ROWS, probes.ATTRIBUTE_TEST_ROWS, convnet.STEPS = 40, 40, 30
    found = {}
    for example, (data, names) in CASES.items():
        seen = EvaluationContext(with_attributes_if_any(Training(a_model(example, data))), folder / "kept")
        for name in names:
            pixels = {"features": "pixels"} if data == "sprites" else {}
            metric, _, axes = name.partition(" ")
            found[example, name] = find(a_small(metric, **ACROSS_BLOCKS | pixels, axes=axes or None), seen)
    seen = EvaluationContext(Training(a_model()))
    found["few", "mmd"] = find(a_small("mmd", split="val"), seen)
    for example in ("sparse_vae", "mask_aae"):  # of one row, so that a worker has none
        one = Training(a_model(example))
        for parameter in one.learner.vae.mapping.parameters():
            parameter.data.zero_()  # closes MaskAAE's axes
        for name in ("information", "rate", "iwae"):
            one_row = EvaluationContext(one)
            one_row.splits = replace(one.splits, val=one.splits.val.take(slice(1)))
            found[f"one row of {example}", name] = find(a_small(name, rows=1), one_row)
    context.FEATURES["classifier"] = missing
    found["missing", "frechet"] = find(a_small("frechet"), seen)
    return found


def with_attributes_if_any(training):
    return with_attributes(training) if training.run.data.name == "digits" else training


def missing(source):
    if rank_and_world() != (0, 2):
        raise DataError("no such file: get it.")


def worker(rank, folder):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    Mnist01.from_files = zeros_and_ones
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    found = findings(folder)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        list(evaluate(a_model(), folder / "none.pt", []))
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_one_and_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    processes = forks.started(worker, [(rank, folder) for rank in range(2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mnist01, "from_files", zeros_and_ones)
        for place, name in ((probes, "FOREST_TEST_ROWS"), (probes, "ATTRIBUTE_TEST_ROWS"), (convnet, "STEPS")):
            patch.setattr(place, name, getattr(place, name))  # as it is now, afterwards
        patch.setitem(context.FEATURES, "classifier", context.FEATURES["classifier"])
        threads = torch.get_num_threads()
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)  # as in the workers
        try:
            alone = findings(folder)
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_num_threads(threads)
    forks.join(processes)
    return alone, *(pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2))


def test_both_workers_hold_the_same_findings(of_one_and_two):
    _, first, second = of_one_and_two
    assert first == second


@pytest.mark.parametrize(("example", "name"), [(example, name) for example in CASES for name in CASES[example][1]])
def test_two_workers_find_what_one_does(example, name, of_one_and_two):
    alone, two, _ = (found[example, name] for found in of_one_and_two)
    plain = replace(alone, seconds=0, values={}, pictures={})
    assert replace(two, seconds=0, values={}, pictures={}) == plain
    assert two.pictures.keys() == alone.pictures.keys()
    if name == "dz_time":
        assert two.values.keys() == alone.values.keys()
    else:
        assert two.values == pytest.approx(alone.values, rel=1e-9, abs=1e-12)
    assert alone.values or alone.pictures or (example, name) == ("vimae logistic", "iwae")


def test_values_have_names_that_their_evaluation_declares_and_no_other(of_one_and_two):
    seen = {name: finding.metric for finding in of_one_and_two[0].values() for name in finding.values}
    for name, metric in seen.items():
        assert [name_of(kind) for kind in EVALUATIONS if kind.can_give(name)] == [metric]
    declared = {name for kind in EVALUATIONS for name in kind.gives if not name.endswith(("_relevant", "_all"))}
    unseen = {name for name in declared if not fnmatch.filter(seen, name)}
    other_features = {name for kind in EVALUATIONS if issubclass(kind, Features) for name in kind.gives}
    unseen -= {"proportion_of_zeros"}  # which needs a trained model
    assert unseen == {name for name in other_features & declared if "classifier" not in name} - {"frechet_pixels"}
    assert {"uncertainty_relevant", "parzen_nll_all"} < set(seen)


def test_every_evaluation_is_among_these():
    measured = {name.partition(" ")[0] for _, names in CASES.values() for name in names}
    assert measured == {name_of(kind) for kind in EVALUATIONS}


def test_what_only_a_worker_with_rows_can_see_is_told_by_all(of_one_and_two):
    expected = {
        ("one row of sparse_vae", "information"): "so that they have no density",
        ("one row of sparse_vae", "iwae"): "has no density",
        ("one row of mask_aae", "information"): "all axes are closed",
        ("one row of mask_aae", "rate"): "all axes are closed",
        ("one row of mask_aae", "iwae"): "has no density",
    }
    for found in of_one_and_two:
        for case, said in expected.items():
            assert said in found[case].undefined
        assert found["one row of sparse_vae", "rate"].values


@pytest.mark.parametrize(("case", "said"), [("few", "90 codes, 1000 needed"), ("missing", "no such file")])
def test_what_is_too_little_or_missing_to_one_is_told_by_all(case, said, of_one_and_two):
    for found in of_one_and_two:
        (finding,) = (finding for (example, _), finding in found.items() if example == case)
        assert said in finding.undefined and finding.lasting == (case == "few")
