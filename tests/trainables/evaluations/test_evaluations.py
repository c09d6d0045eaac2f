"""Evaluations of trained models: any of them on any model and data, what is shared, what is kept, what is told."""

import json
import math
from collections import Counter

import pytest
import torch

from tests.support import forks
from tests.support.evaluations import DATA, WITHOUT_DENSITY, a_model, a_small, small, with_attributes, zeros_and_ones
from trainables import cache
from trainables.common.errors import CheckpointError
from trainables.common.records import name_of, summary
from trainables.data import DATASETS, Digits, Mnist01, Splits
from trainables.data.prepared.mapped import Mapped
from trainables.data.prepared.prepare import prepare
from trainables.evaluations import EVALUATIONS, EvaluationResult, context
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import evaluate, find
from trainables.metrics import convnet, features
from trainables.metrics.features import Extractor
from trainables.metrics.provenance import differences
from trainables.train import Training, train

NAMES = [name_of(kind) for kind in EVALUATIONS]
NEVER = {
    "digits": {"factor_vae", "mig", "attributes", "uncertainty", "proportion"},
    "sprites": {"mmd", "svm", "forest", "magnitudes", "attributes", "uncertainty", "proportion"},
    "circle": {
        "factor_vae",
        "mig",
        "svm",
        "forest",
        "attributes",
        "magnitudes",
        "uncertainty",
        "proportion",
        "traversals",
    }
    | {"frechet", "frechet_intel", "frechet_ard", "prd"},
}
"""What is not defined for data without factors, attributes, labels, images (no classifier either), or 1,000 rows."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def shared(kept, monkeypatch):
    """Where the one classifier of all models here is kept. It learns for 30 steps: how good it is changes nothing."""
    monkeypatch.setattr(convnet, "STEPS", 30)
    return kept


@pytest.mark.parametrize(
    ("example", "data"),
    [
        *[(example, "digits") for example in ("ard_vae", "ard_vae student_t", "rae", "geco_l0_arm_vae", "mask_aae")],
        *[(f"intel_vae {mapping}", "digits") for mapping in ("learned sectors", "sparse", "hierarchical", "holes")],
        *[(example, "digits") for example in ("sylvester_vae", "vamp_vae", "sparse_vae", "gm_vae", "dd_vae")],
        *[("vae", "sprites"), ("ard_vae", "sprites"), ("vimae logistic", "sprites")],
        *[("vae", "circle"), ("intel_vae sectors", "circle"), ("wae_mmd", "circle")],
    ],
)
def test_any_model_has_numbers_or_a_sentence_why_not(example, data, shared):
    run = a_model(example, data)
    seen = EvaluationContext(Training(run), shared)
    never = set(NEVER[data])
    never |= {"iwae"} if run.method.name in WITHOUT_DENSITY else set()
    never |= set() if run.method.name == "ard_vae" else {"dz_time"}
    never |= {"information"} if run.method.name == "sparse_vae" else set()
    findings = [find(evaluation, seen) for evaluation in small()]
    assert [finding.metric for finding in findings] == NAMES
    for finding in findings:
        there = finding.values if finding.metric != "traversals" else finding.pictures
        assert bool(there) == (finding.provenance is not None) == (finding.undefined == ""), finding
        assert all(math.isfinite(value) for value in finding.values.values())
        assert "\n" not in finding.undefined and (there or finding.undefined.endswith("."))
        assert finding.lasting
        assert (
            EvaluationResult.from_plain(json.loads(json.dumps(finding.plain())), finding.pictures | finding.tables)
            == finding
        )
    assert {finding.metric for finding in findings if finding.undefined} == never


def test_vectors_are_compared_by_their_values():
    seen = EvaluationContext(Training(a_model("vae", "circle")))
    for name in ("frechet", "frechet_intel", "frechet_ard", "prd"):
        finding = find(a_small(name, features="pixels"), seen)
        assert finding.values and finding.provenance.mapping == "none"


def test_a_checkpoint_is_measured_and_the_model_that_it_holds(tmp_path):
    run = a_model()
    report = next(train(run))
    report.save(tmp_path / "checkpoint.pt")
    asked = [a_small("mse"), a_small("hoyer")]
    there = [find(evaluation, EvaluationContext(report.training)).values for evaluation in asked]
    assert [finding.values for finding in evaluate(run, tmp_path / "checkpoint.pt", asked)] == there
    untrained = find(asked[0], EvaluationContext(Training(run))).values
    assert untrained["mse"] > there[0]["mse"]
    with pytest.raises(CheckpointError):
        next(evaluate(run, tmp_path / "another.pt", asked))


@pytest.mark.parametrize("name", ["frechet", "hoyer", "parzen", "iwae", "svm", "forest"])
def test_the_seed_decides_what_is_drawn_and_nothing_else_does(name):
    training = Training(a_model())
    first, again, other = (
        find(a_small(name, features="pixels", split="train", seed=seed), EvaluationContext(training)).values
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_of_any_size_is_one(name, shared, monkeypatch):
    """scikit-learn's are below 2**32."""
    monkeypatch.setattr(Mnist01, "from_files", zeros_and_ones)
    data = "sprites" if name in ("factor_vae", "mig") else "mnist01" if name == "uncertainty" else "digits"
    example = {"proportion": "intel_vae learned sectors", "dz_time": "ard_vae"}.get(name, "vae")
    training = Training(a_model(example, "mnist01" if name == "proportion" else data))
    seen = EvaluationContext(with_attributes(training) if name == "attributes" else training, shared)
    for seed in (2**32 - 6, 2**40):
        finding = find(a_small(name, seed=seed), seen)
        assert not finding.undefined and finding.provenance.seed == seed


def counted(monkeypatch, owner, name):
    calls, true = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: calls.append(args) or true(*args, **kwargs))
    return calls


def test_what_several_evaluations_need_is_made_once(monkeypatch):
    seen = EvaluationContext(Training(a_model("ard_vae", "sprites")))
    network = convnet.ConvNet(1, 3)
    passes = counted(monkeypatch, network, "features")
    own = Extractor("classifier", "", network.features)
    monkeypatch.setattr(context, "FEATURES", {"classifier": lambda source: own})
    for name in ("frechet", "prd", "frechet"):
        assert find(a_small(name), seen).values
    assert [len(x_BX) for (x_BX,) in passes] == [130, 60]  # generated and real

    sums = counted(monkeypatch, context, "published_sums")
    encoded = counted(monkeypatch, seen, "encoded")
    for name in ("active", "mse", "factor_vae", "mig", "traversals", "active"):
        assert not find(a_small(name), seen).undefined
    assert len(sums) == 1
    assert [(what, len(rows)) for what, rows, *_ in encoded] == [("representation", 300), ("mean", 1)]


def test_codes_of_a_split_are_made_once_for_all_classifiers(monkeypatch):
    seen = EvaluationContext(Training(a_model()))
    encoded = counted(monkeypatch, seen, "encoded")
    find(a_small("svm"), seen), find(a_small("forest"), seen)
    assert Counter(name for _, _, name, *_ in encoded) == {"train": 1, "val": 6}  # clean and five kinds of noise


def test_provenance_tells_what_was_really_there(shared):
    seen = EvaluationContext(Training(a_model()), shared)
    finding = find(a_small("prd", generated=100, real=10_000), seen)
    assert finding.provenance.counts == (("generated", 90), ("real", 90))  # the fewer of the two
    assert len(finding.provenance.extractor_hash) == 64
    finding = find(a_small("frechet_ard", generated=100, real=10_000), seen)
    assert finding.provenance.counts == (("generated", 100), ("real", 90))
    assert (finding.provenance.split, finding.provenance.mapping) == ("val", "jpeg")
    assert finding.settings["real"] == 10_000 and list(finding.values) == ["frechet_classifier_ard"]
    one, other = (find(a_small("iwae", k=k), seen).provenance for k in (3, 4))
    assert [text.partition(":")[0] for text in differences(one, other)] == ["settings"]


@pytest.mark.parametrize(
    ("name", "asked", "reference", "there"),
    [
        ("frechet", {}, "train", ("train", 1010)),
        ("frechet_ard", {}, "train", ("train", 1010)),
        ("frechet", {"real": 80}, "train", ("train", 80)),
        ("frechet", {"split": "val"}, "train", ("val", 70)),
        ("frechet", {}, "test", ("val", 70)),
        ("frechet_intel", {}, "train", ("val", 90)),
        ("prd", {}, "train", ("val", 70)),
    ],
)
def test_the_real_data_are_those_that_papers_compare_with(name, asked, reference, there, monkeypatch):
    """Where no split is named; of training rows all."""
    monkeypatch.setattr(Digits, "reference", reference)
    monkeypatch.setattr("trainables.evaluations.generation.REAL", 70)
    kind = next(kind for kind in EVALUATIONS if name_of(kind) == name)
    found = find(kind(features="pixels", generated=90, **asked), EvaluationContext(Training(a_model()))).provenance
    assert (found.split, dict(found.counts)["real"]) == there


def test_papers_compare_with_test_rows_but_of_cifar10():
    assert {name_of(kind) for kind in DATASETS if kind.reference == "train"} == {"cifar10"}


@pytest.mark.parametrize("name", ["frechet", "frechet_intel", "frechet_ard", "prd"])
def test_weights_that_are_missing_are_no_lasting_finding(name, tmp_path):
    evaluation = a_small(name, features="inception", weights=str(tmp_path / "none.pth"))
    finding = find(evaluation, EvaluationContext(Training(a_model())))
    assert not finding.values and not finding.lasting and "none.pth: no such file" in finding.undefined


def test_a_split_that_is_not_there_is_said():
    finding = find(a_small("mse", split="test"), EvaluationContext(Training(a_model())))
    assert finding.undefined == "these data have no test rows: use split val." and finding.lasting


@pytest.mark.parametrize("data", ["digits", "sprites"])
def test_a_prepared_set_gives_the_numbers_of_its_files(data, tmp_path, shared):
    run = a_model("ard_vae", data)
    prepare(run.data, tmp_path)
    files, mapped = (EvaluationContext(Training(run, root), shared) for root in (None, tmp_path))
    assert isinstance(mapped.splits.train.x, Mapped) and not isinstance(files.splits.train.x, Mapped)
    for evaluation in small():
        one, other = find(evaluation, files), find(evaluation, mapped)
        assert evaluation.name == "dz_time" or one.values == other.values
        assert (one.provenance, one.undefined, one.pictures) == (other.provenance, other.undefined, other.pictures)


def test_splits_have_their_codes_apart():
    training = Training(a_model())
    training.splits = Splits(training.splits.train, training.splits.val, training.splits.train.take(slice(90)))
    seen = EvaluationContext(training)
    assert find(a_small("mse"), seen).provenance.split == "test"
    assert find(a_small("mse", split="val"), seen).values != find(a_small("mse"), seen).values


def test_a_model_that_diverged_has_no_numbers(shared):
    training = Training(a_model("rae"))
    with torch.no_grad():
        for value in training.learner.parameters():
            value.fill_(math.nan)
    for evaluation in small():
        finding = find(evaluation, EvaluationContext(training, shared))
        assert not finding.values and finding.undefined, finding.metric


@pytest.mark.parametrize("name", ["frechet", "prd", "parzen", "uncertainty"])
@pytest.mark.parametrize(("weight", "said"), [(3e38, "codes are not finite"), (1e30, "no Gaussians fit the codes")])
def test_a_density_of_codes_that_have_none_is_said_to_be_undefined(name, weight, said, monkeypatch):
    monkeypatch.setattr(Mnist01, "from_files", zeros_and_ones)
    training = Training(a_model("rae", "mnist01"))
    training.learner.vae.encoder[-1].weight.data.fill_(weight)  # which is finite
    finding = find(a_small(name, features="pixels"), EvaluationContext(training))
    assert finding.undefined == f"{said}: look at the model's loss." and finding.lasting


def test_statistics_that_are_not_finite_are_a_model_that_diverged():
    training = Training(a_model("ard_vae"))
    training.learner.vae.prior.b_D[2] = math.inf
    assert "it has diverged" in find(a_small("hoyer"), EvaluationContext(training)).undefined


def test_times_of_other_machines_do_not_compare():
    seen, threads = EvaluationContext(Training(a_model("ard_vae"))), torch.get_num_threads()
    one = find(a_small("dz_time"), seen).provenance
    assert one.settings == (("device", f"cpu {torch.backends.cpu.get_cpu_capability()}"), ("threads", threads))
    torch.set_num_threads(threads + 1)
    try:
        other = find(a_small("dz_time"), seen).provenance
    finally:
        torch.set_num_threads(threads)
    assert [text.partition(":")[0] for text in differences(one, other)] == ["settings"]


@pytest.mark.parametrize(
    ("likelihood", "kind"), [("bernoulli", "mass"), ("squared_error", "density"), ("laplace", "density")]
)
def test_a_likelihood_of_grey_values_as_probabilities_does_not_compare_with_densities(likelihood, kind):
    finding = find(a_small("iwae"), EvaluationContext(Training(a_model(likelihood={"name": likelihood}))))
    assert finding.provenance.settings == (("k", 3), ("likelihood", kind))


@pytest.mark.parametrize(
    ("name", "example", "counts"),
    [
        ("traversals", "vae", {"rows": 1, "relevance": 1010}),
        ("mse", "vae", {"rows": 90, "relevance": 1010}),
        ("rate", "ard_vae", {"rows": 90, "prior": 1010}),
        ("rate", "vae", {"rows": 90, "prior": 1010}),
        ("svm", "vae", {"labelled": 60, "unlabelled": 30, "test": 90}),
    ],
)
def test_all_rows_that_a_number_rests_on_are_counted(name, example, counts):
    found = find(a_small(name), EvaluationContext(Training(a_model(example)))).provenance
    assert (dict(found.counts), found.split) == (counts, "val")


def test_every_evaluation_says_what_it_is_and_where_from():
    for kind in EVALUATIONS:
        assert summary(kind).endswith(".") and kind.source


def a_state(folder, number, made):
    def make():
        made.put(number)
        return {"value": torch.tensor(float(number))}

    state = cache.once(folder, "thing", make)
    made.put(state["value"].item())


def test_of_two_processes_one_makes_what_is_kept_and_the_other_waits(tmp_path):
    made = forks.context().Queue()
    processes = forks.started(a_state, [(tmp_path, number, made) for number in (1, 2)])
    told = sorted(made.get(timeout=300) for _ in range(3))
    forks.join(processes)
    assert told in ([1, 1.0, 1.0], [2, 2.0, 2.0])
    (tmp_path / "thing.pt").write_bytes((tmp_path / "thing.pt").read_bytes()[:100])  # damaged: made anew
    assert cache.once(tmp_path, "thing", lambda: {"value": 7}) == cache.once(tmp_path, "thing", dict) == {"value": 7}


def test_all_models_of_the_same_data_have_one_classifier_and_other_data_another(tmp_path, monkeypatch):
    monkeypatch.setattr(features.convnet, "STEPS", 5)

    def sha256(example="vae", **data):
        run = a_model(example, data={"name": "digits"} | DATA["digits"] | data)
        return find(a_small("frechet"), EvaluationContext(Training(run), tmp_path)).provenance.extractor_hash

    assert sha256() == sha256("rae") == sha256(val_rows=80) != sha256(train_rows=1009)
    assert len(list(tmp_path.glob("classifier-*.pt"))) == 2
