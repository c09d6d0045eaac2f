"""Evaluations of the representation by downstream tasks: simple classifiers that are trained on it.

Training rows are drawn from the first 20,000 of the training split, which are encoded once for all evaluations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, np, torch
from trainables.evaluations.base import Measurement, OfRows, as_csv

if TYPE_CHECKING:
    from trainables.data import Rows
    from trainables.data.base import Split
    from trainables.evaluations.context import Code, EvaluationContext
    from trainables.metrics.probes import Labelled

corruption = LazyModule("trainables.metrics.corruption")
attributes_neural = LazyModule("trainables.metrics.attributes_neural")
probes = LazyModule("trainables.metrics.probes")

POOL = 20_000
CHARACTERS, SETS = 5, 10
FEW_LABELS = 100  # labelled rows of a set of unknown classes
Sizes = Annotated[tuple[PositiveInt, ...], Field(strict=False)]


class SVM(OfRows):
    """Accuracy of support vector machines with few labels, on test images clean, with Gaussian noise, and masked.

    Where the test rows have classes that no training row has, as in Omniglot, each draw is a set of 5 of these classes:
    three quarters of a class's rows train, 100 of them over all classes with labels, and a quarter tests. Where only
    some test rows have such classes, these count as wrong, and the provenance says how many they are.
    """

    name: Literal["svm"] = "svm"
    labels: PositiveInt | None = None
    """Number of labelled training rows. None: 1,000, or 100 for sets of unknown classes."""
    unlabelled: NonNegativeInt = 5_000
    """Largest number of training rows without labels for self-training; 0: no self-training."""
    draws: PositiveInt = 10
    """Number of random choices of the labelled rows; the accuracies are means over them."""
    signed: bool = False
    """Adds the noise to images in [-1, 1]; otherwise to images in [0, 1]."""
    source: ClassVar[str] = "VIMAE, section 5.3"
    gives: ClassVar[tuple[str, ...]] = tuple(
        f"{kind}_{test}"
        for kind in ("svm", "self_trained")
        for test in ("clean", "gaussian_0.2", "gaussian_0.3", "gaussian_0.4", "mask_0.2", "mask_0.5")
    )
    version: ClassVar[int] = 2  # 1 read a label of -1 as none, and neighbouring seeds shared draws

    def measure(self, seen: EvaluationContext) -> Measurement:
        train, test = labelled(seen.splits.train), labelled(seen.rows(self.split))
        known = bool(torch.isin(test.y, train.y).any())
        numbers, counts = (self.of_known if known else self.of_unknown)(seen)
        return Measurement(numbers, self.provenance("code", counts, seen.name_of(self.split)))

    def of_known(self, seen: EvaluationContext) -> tuple[dict[str, float], dict[str, int]]:
        """Train on training rows. Returns the accuracies and the counts of rows."""
        train = pool(seen)
        tests = {name: coded(seen, self.split, noise, self.seed) for name, noise in self.noises().items()}
        labels = self.labels or probes.SVM_LABELS
        settings = labels, self.unlabelled, self.draws, self.seed
        counts = tested(train, tests["clean"])
        numbers = seen.alone(lambda: probes.svm(train, tests, *settings))
        others = min(self.unlabelled, len(train) - labels)
        return numbers, {"labelled": labels, "unlabelled": others} | counts

    def of_unknown(self, seen: EvaluationContext) -> tuple[dict[str, float], dict[str, int]]:
        """Train and test within sets of classes of the split. The counts are sums over sets."""
        rows, name = seen.rows(self.split), seen.name_of(self.split)
        seeds = probes.seeds_of(self.seed, range(self.draws))
        sets = [chosen(rows.y.numpy(), seed) for seed in seeds]
        index_N = np.unique(np.concatenate([part for both in sets for part in both]))
        some = rows.take(torch.from_numpy(index_N))
        tests = {
            kind: probes.Labelled(
                seen.encoded("representation", some, f"{name} sets", noise, self.seed).numpy(), some.y.numpy()
            )
            for kind, noise in self.noises().items()
        }
        labels = self.labels or FEW_LABELS

        def scores() -> dict[str, float]:
            return probes.mean_of(
                self.of_set(tests, *(np.searchsorted(index_N, part) for part in both), labels, seed)
                for seed, both in zip(seeds, sets, strict=True)
            )

        each = [(labels, min(self.unlabelled, len(train) - labels), len(test)) for train, test in sets]
        sums = map(sum, zip(*each, strict=True))
        counts = dict(zip(("labelled", "unlabelled", "test"), sums, strict=True)) | {"sets": len(sets)}
        return seen.alone(scores), counts

    def of_set(
        self, tests: Mapping[str, Labelled], train_N: np.ndarray, test_T: np.ndarray, labels: int, seed: int
    ) -> dict[str, float]:
        """The accuracies on one set of classes."""
        own = {kind: rows[test_T] for kind, rows in tests.items()}
        return probes.svm_scores(tests["clean"][train_N], own, labels, self.unlabelled, seed)

    def noises(self) -> dict[str, str]:
        """Name of the number -> name of the corruption of the images."""
        names = [name for name in corruption.CORRUPTIONS if not name.endswith("_signed")]
        return {name: f"{name}_signed" if self.signed and name != "clean" else name for name in names}


class Forest(OfRows):
    """Accuracy of random forests on the representation, by the number of training rows.

    Test rows of classes that no training row has count as wrong, and the provenance says how many they are.
    """

    name: Literal["forest"] = "forest"
    sizes: Sizes | None = None
    """Numbers of training rows. None: the paper's, from 10 to 5,000, for which there are enough rows."""
    published: bool = False
    """Also compute the published code's variant: train and test rows of one split, 2,000 of them to test."""
    source: ClassVar[str] = "Intel-VAE, figure 7, and its code"
    gives: ClassVar[tuple[str, ...]] = ("forest_[1-9]*", "forest_published_[1-9]*")
    version: ClassVar[int] = 2  # 1 gave 0 for classes that were not trained, 1 for a single class; seeds shared draws

    def measure(self, seen: EvaluationContext) -> Measurement:
        labelled(seen.splits.train), labelled(seen.rows(self.split))
        train, test = pool(seen), coded(seen, self.split)
        counts = {"train": len(train)} | tested(train, test)
        numbers = seen.alone(lambda: self.scores(train, test))
        return Measurement(numbers, self.provenance("code", counts, seen.name_of(self.split)))

    def scores(self, train: Labelled, test: Labelled) -> dict[str, float]:
        """The accuracies. Raises Undefined."""
        seeds = probes.seeds_of(self.seed, probes.FOREST_SEEDS)
        numbers = probes.forest(train, test, self.fitting(len(train)), seeds)
        if self.published:
            last = probes.FOREST_TEST_ROWS
            numbers |= probes.forest_as_published(test, self.fitting(len(test) - last), last, seeds)
        return numbers

    def fitting(self, rows: int) -> tuple[int, ...]:
        """The numbers of training rows. Raises Undefined."""
        return self.sizes or fitting(probes.FOREST_SIZES, rows)


class Attributes(OfRows):
    """Mean accuracy over attributes of linear classifiers, by the number of training rows, and of the majority.

    The table attributes.csv has the accuracy for each attribute and number of rows.
    """

    name: Literal["attributes"] = "attributes"
    sizes: Sizes | None = None
    """Numbers of training rows. None: the paper's, from 50 to 10,000, for which there are enough rows."""
    published: bool = False
    """Also compute the published code's variant: small networks on sampled latents of one split, stopped early by
    their accuracy on the test rows."""
    source: ClassVar[str] = "Intel-VAE, table B.1, and its code"
    gives: ClassVar[tuple[str, ...]] = ("attributes_majority", "attributes_[1-9]*", "attributes_neural_[1-9]*")
    version: ClassVar[int] = 3  # 1 had no table, 2 draws that neighbouring seeds shared

    def measure(self, seen: EvaluationContext) -> Measurement:
        rows = seen.rows(self.split)
        if rows.attributes is None or seen.splits.train.attributes is None:
            raise Undefined("these data have no attributes: use `celeba` or `celeba_half`.")
        train, test = with_attributes(seen, "train", POOL), with_attributes(seen, self.split)
        sampled = with_attributes(seen, self.split, what="sampled", seed=self.seed) if self.published else None
        few, names = test[: probes.ATTRIBUTE_TEST_ROWS], rows.attributes.names
        numbers, table = seen.alone(lambda: self.scores(train, few, sampled, names))
        counts = {"train": len(train), "test": len(few)}
        provenance = self.provenance("code", counts, seen.name_of(self.split))
        return Measurement(numbers, provenance, tables={"attributes.csv": table})

    def scores(
        self, train: Labelled, test: Labelled, sampled: Labelled | None, names: Sequence[str]
    ) -> tuple[dict[str, float], bytes]:
        """The mean accuracies, and the table of those for each attribute. Raises Undefined."""
        accuracies = probes.attribute_accuracies(train, test, self.fitting(len(train)), seed=self.seed)
        majority_A = probes.attribute_majority(test)
        numbers = probes.attribute_means(accuracies, majority_A)
        if sampled is not None:
            last = probes.ATTRIBUTE_TEST_ROWS
            few = self.fitting(len(sampled) - last)
            numbers |= attributes_neural.attributes_neural(sampled, few, last, seed=self.seed)
        lines = (
            (size, *line)
            for size, accuracy_A in accuracies.items()
            for line in zip(names, accuracy_A.tolist(), majority_A.tolist(), strict=True)
        )
        return numbers, as_csv(("size", "attribute", "accuracy", "majority"), lines)

    def fitting(self, rows: int) -> tuple[int, ...]:
        """The numbers of training rows. Raises Undefined."""
        return self.sizes or fitting(probes.ATTRIBUTE_SIZES, rows)


def labelled(rows: Rows) -> Rows:
    """The rows. Raises Undefined where they have no labels."""
    if rows.y is None:
        raise Undefined("these data have no labels: use a labelled set, as `mnist`.")
    return rows


def pool(seen: EvaluationContext) -> Labelled:
    """The representations and labels of the first 20,000 training rows, from which the labelled rows are drawn."""
    return probes.Labelled(seen.codes("representation", "train", POOL).numpy(), seen.splits.train.y[:POOL].numpy())


def coded(seen: EvaluationContext, split: Split | None, noise: str = "clean", seed: int = 0) -> Labelled:
    """The representations and labels of all rows of a split."""
    z_NL = seen.codes("representation", split, corruption=noise, seed=seed)
    return probes.Labelled(z_NL.numpy(), seen.rows(split).y.numpy())


def tested(train: Labelled, test: Labelled) -> dict[str, int]:
    """The counts of test rows, and of those of classes that no training row has, if any. Raises Undefined."""
    unknown = probes.of_unknown_classes(train, test)
    return {"test": len(test)} | ({"of unknown classes": unknown} if unknown else {})


def with_attributes(
    seen: EvaluationContext, split: Split | None, most: int | None = None, what: Code = "representation", seed: int = 0
) -> Labelled:
    """The codes and attributes of a split's rows, or of its first `most`."""
    values_NA = seen.rows(split, most).attributes.values.numpy()
    return probes.Labelled(seen.codes(what, split, most, seed=seed).numpy(), values_NA)


def fitting(sizes: Iterable[int], rows: int) -> tuple[int, ...]:
    """The sizes for which there are enough rows. Raises Undefined if there is none."""
    found = tuple(size for size in sizes if size <= rows)
    if not found:
        raise Undefined(f"{min(sizes)} training rows are the least, {max(rows, 0)} are there: use more rows.")
    return found


def chosen(y_N: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of rows of 5 random classes: three quarters of each class to train, the others to test."""
    rng = np.random.default_rng(seed)
    classes = np.unique(y_N)
    if len(classes) < CHARACTERS:
        raise Undefined(f"{len(classes)} classes are there, {CHARACTERS} make a set: use more rows.")
    rows = [rng.permutation(np.flatnonzero(y_N == label)) for label in rng.choice(classes, CHARACTERS, replace=False)]
    to_train = [3 * len(some) // 4 for some in rows]
    train = [some[:count] for some, count in zip(rows, to_train, strict=True)]
    test = [some[count:] for some, count in zip(rows, to_train, strict=True)]
    return np.concatenate(train), np.concatenate(test)
