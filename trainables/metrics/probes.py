"""Probes of a representation: the accuracy of simple classifiers that are trained on it.

Sources: Intel-VAE, figure 7 and table B.1 (forest, attributes); VIMAE, section 5.3 (SVM).
"""

# Shapes: N training rows, T test rows, U rows without labels, D axes, A attributes.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, np

noises = LazyModule("trainables.noise")
calibration = LazyModule("sklearn.calibration")
ensemble = LazyModule("sklearn.ensemble")
linear_model = LazyModule("sklearn.linear_model")
model_selection = LazyModule("sklearn.model_selection")
semi_supervised = LazyModule("sklearn.semi_supervised")
svms = LazyModule("sklearn.svm")

FOREST_SIZES = (10, 20, 50, 100, 500, 1000, 2000, 5000)
FOREST_SEEDS = tuple(range(10, 20))
FOREST_TEST_ROWS = 2000
ATTRIBUTE_SIZES = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
ATTRIBUTE_TEST_ROWS = 2000
SVM_COSTS = (0.1, 1.0, 10.0, 100.0)
SVM_LABELS = 1000
FOLDS = 3
DRAWS = 10
CONFIDENT = 0.95
ROUNDS = 5


@dataclass(frozen=True)
class Labelled:
    """Representations with the classes of their rows, or with their attributes."""

    z_ND: np.ndarray
    y_N: np.ndarray
    """(N,) any integers, or (N, A) bool."""

    def __len__(self) -> int:
        return len(self.z_ND)

    def __getitem__(self, index: np.ndarray | slice) -> Labelled:
        return Labelled(self.z_ND[index], self.y_N[index])


def seeds_of(seed: int, draws: Iterable[int]) -> tuple[int, ...]:
    """The seed of each draw: for the usual seed 0 the draws' own numbers, as papers count them.

    Another seed shares no draw with it, nor with a third one: it would with `seed + draw`.
    """
    return tuple(noises.seed_of(seed, "draw", draw) if seed else draw for draw in draws)


def in_turns(y_N: np.ndarray, seed: int) -> np.ndarray:
    """An order of all rows that cycles through the classes by label; the rows of a class are in random order.

    So the first rows are as balanced over classes as possible. Classes with few rows are used up first.
    """
    order_N = np.random.default_rng(seed).permutation(len(y_N))
    shuffled_N = y_N[order_N]
    turn_N = np.empty(len(y_N), dtype=np.int64)
    for label in np.unique(y_N):
        rows = shuffled_N == label
        turn_N[rows] = np.arange(rows.sum())
    return order_N[np.lexsort((shuffled_N, turn_N))]


def forest(
    train: Labelled, test: Labelled, sizes: Iterable[int] = FOREST_SIZES, seeds: Iterable[int] = FOREST_SEEDS
) -> dict[str, float]:
    """`forest_<size>`: accuracy of a random forest of 50 trees of depth 4, mean over draws of training rows by `seeds`.

    Training rows are balanced over classes as far as possible. Test rows of classes that no training row has count as
    wrong. Raises Undefined where rows are too few, or classes, see `of_unknown_classes`.
    """
    of_unknown_classes(train, test)
    seeds = tuple(seeds)
    return {f"forest_{size}": _mean(_forest(_first(train, size, seed), test) for seed in seeds) for size in sizes}


def of_unknown_classes(train: Labelled, test: Labelled) -> int:
    """How many test rows have classes that no training row has. Raises Undefined where all have, or classes are one."""
    classes_K = np.unique(train.y_N)
    if len(classes_K) < 2:
        raise Undefined(f"training rows are of {len(classes_K)} classes: 2 are the least, use more rows.")
    unknown = int((~np.isin(test.y_N, classes_K)).sum())
    if unknown == len(test):
        raise Undefined("no training row has a class of the test rows: take a split whose classes were trained.")
    return unknown


def forest_as_published(
    both: Labelled,
    sizes: Iterable[int] = FOREST_SIZES,
    test_rows: int = FOREST_TEST_ROWS,
    seeds: Iterable[int] = FOREST_SEEDS,
) -> dict[str, float]:
    """The same as in Intel-VAE's code: train and test rows of one split, the last 2,000 of `in_turns` to test.

    As rare classes are used up first, the test rows are not balanced. Raises Undefined for too few rows or classes.
    """
    of_unknown_classes(both, both)
    numbers, orders = {}, [both[in_turns(both.y_N, seed)] for seed in seeds]
    for size in sizes:
        if size + test_rows > len(both):
            raise Undefined(f"{size} + {test_rows} rows asked for, {len(both)} are there: use more rows.")
        numbers[f"forest_published_{size}"] = _mean(_forest(rows[:size], rows[-test_rows:]) for rows in orders)
    return numbers


def attributes(
    train: Labelled, test: Labelled, sizes: Iterable[int] = ATTRIBUTE_SIZES, draws: int = DRAWS, seed: int = 0
) -> dict[str, float]:
    """`attributes_<size>`: mean accuracy over attributes of logistic regressions, and `attributes_majority`.

    The latter is the accuracy of always predicting the more frequent value of each attribute, the baseline of the
    others. Raises Undefined.
    """
    return attribute_means(attribute_accuracies(train, test, sizes, draws, seed), attribute_majority(test))


def attribute_means(accuracies: Mapping[int, np.ndarray], majority_A: np.ndarray) -> dict[str, float]:
    """The numbers of `attributes`, from the accuracies for each attribute."""
    numbers = {"attributes_majority": float(majority_A.mean())}
    return numbers | {f"attributes_{size}": float(accuracy_A.mean()) for size, accuracy_A in accuracies.items()}


def attribute_accuracies(
    train: Labelled, test: Labelled, sizes: Iterable[int] = ATTRIBUTE_SIZES, draws: int = DRAWS, seed: int = 0
) -> dict[int, np.ndarray]:
    """Number of training rows -> the accuracy for each attribute, (A,), a mean over `draws` choices of these rows.

    Features are standardised with the training rows' statistics. Raises Undefined.
    """
    return {
        size: np.mean(
            [_attributes(train[_some(len(train), size, own)], test) for own in seeds_of(seed, range(draws))], 0
        )
        for size in sizes
    }


def attribute_majority(test: Labelled) -> np.ndarray:
    """The accuracy of always predicting the more frequent value of each attribute, (A,)."""
    share_A = test.y_N.mean(0)
    return np.maximum(share_A, 1 - share_A)


def svm(
    train: Labelled,
    tests: Mapping[str, Labelled],
    labels: int = SVM_LABELS,
    unlabelled: int = 0,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, float]:
    """`svm_<test>`: mean accuracy of an RBF support vector machine over `draws` choices of the labelled rows.

    Its cost is chosen by 3-fold cross-validation. With `unlabelled` > 0, at most so many of the other training rows
    serve without labels for `self_trained_<test>`: in up to 5 rounds of self-training, predictions of probability above
    0.95 become labels. Raises Undefined.

    Args:
        tests: by name, such as that of the corruption of the images; the training rows are clean.
    """
    return mean_of(svm_scores(train, tests, labels, unlabelled, own) for own in seeds_of(seed, range(draws)))


def svm_scores(
    train: Labelled, tests: Mapping[str, Labelled], labels: int, unlabelled: int, seed: int
) -> dict[str, float]:
    """The accuracies with one choice of the labelled rows. Raises Undefined."""
    _enough(len(train), labels)
    classes_K = np.unique(train.y_N)
    train, tests = numbered(train, classes_K), {name: numbered(test, classes_K) for name, test in tests.items()}
    order_N = in_turns(train.y_N, seed)
    rows, others = train[order_N[:labels]], np.sort(order_N[labels:])[:unlabelled]
    _enough_for_folds(rows.y_N)
    machines = _machines(rows, train.z_ND[others] if unlabelled else None)
    return {
        f"{kind}_{name}": float(machine.score(test.z_ND, test.y_N))
        for kind, machine in machines
        for name, test in tests.items()
    }


def numbered(rows: Labelled, classes_K: np.ndarray) -> Labelled:
    """The rows with their classes' places in the sorted `classes_K` as labels, and K for any other class.

    scikit-learn's self-training reads a label of -1 as none.
    """
    place_N = np.searchsorted(classes_K, rows.y_N)
    known_N = np.isin(rows.y_N, classes_K)
    return Labelled(rows.z_ND, np.where(known_N, place_N, len(classes_K)))


def mean_of(numbers: Iterable[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over several dicts of the same names."""
    numbers = list(numbers)
    return {name: _mean(each[name] for each in numbers) for name in numbers[0]}


def _machines(rows: Labelled, unlabelled_UD: np.ndarray | None) -> Iterator[tuple[str, Any]]:
    search = model_selection.GridSearchCV(svms.SVC(), {"C": SVM_COSTS}, cv=FOLDS).fit(rows.z_ND, rows.y_N)
    yield "svm", search
    if unlabelled_UD is not None:
        yield "self_trained", _self_trained(rows, unlabelled_UD, search.best_params_["C"])


def _self_trained(rows: Labelled, unlabelled_UD: np.ndarray, cost: float):
    sure = calibration.CalibratedClassifierCV(svms.SVC(C=cost), ensemble=False, cv=FOLDS)
    machine = semi_supervised.SelfTrainingClassifier(sure, threshold=CONFIDENT, max_iter=ROUNDS)
    unknown_U = np.full(len(unlabelled_UD), -1)
    return machine.fit(np.concatenate([rows.z_ND, unlabelled_UD]), np.concatenate([rows.y_N, unknown_U]))


def _forest(train: Labelled, test: Labelled) -> float:
    model = ensemble.RandomForestClassifier(n_estimators=50, max_depth=4, random_state=0)
    return model.fit(train.z_ND, train.y_N).score(test.z_ND, test.y_N)


def _attributes(train: Labelled, test: Labelled) -> list[float]:
    """The accuracy for each attribute."""
    mean_D, sd_D = train.z_ND.mean(0), train.z_ND.std(0)
    train_ND, test_TD = ((z - mean_D) / np.where(sd_D > 0, sd_D, 1.0) for z in (train.z_ND, test.z_ND))
    return [
        float((_binary(train_ND, train_N, test_TD) == test_T).mean())
        for train_N, test_T in zip(train.y_N.T, test.y_N.T, strict=True)
    ]


def _binary(train_ND: np.ndarray, y_N: np.ndarray, test_TD: np.ndarray) -> np.ndarray:
    """Predictions of logistic regression for the test rows; the training rows' value where all have the same."""
    if y_N.all() or not y_N.any():
        return np.full(len(test_TD), y_N[0])
    return linear_model.LogisticRegression(C=1.0, max_iter=1000).fit(train_ND, y_N).predict(test_TD)


def _first(train: Labelled, size: int, seed: int) -> Labelled:
    _enough(len(train), size)
    return train[in_turns(train.y_N, seed)[:size]]


def _some(rows: int, size: int, seed: int) -> np.ndarray:
    _enough(rows, size)
    return np.random.default_rng(seed).permutation(rows)[:size]


def _enough(rows: int, size: int) -> None:
    if size > rows:
        raise Undefined(f"{size} training rows asked for, {rows} are there: ask for at most {rows}.")


def _enough_for_folds(y_N: np.ndarray) -> None:
    counts = np.unique(y_N, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < FOLDS:
        few = f"labelled rows are of {len(counts)} classes, of the rarest {counts.min()}"
        raise Undefined(f"{few}: 2 classes of {FOLDS} are the least, take more labels.")


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
