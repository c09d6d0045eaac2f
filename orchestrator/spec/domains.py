"""The domains of a search: the values that a path may take. Each is a mapping with one key, `{loguniform: [0.1, 30]}`.

An entry of `search` may also say `when` it is active: `{uniform: [0, 1], when: {method.name: intel_vae}}`. And one
entry may set several paths together: `network.latent_dim, method.beta: {zip: [[8, 0.5], [16, 1.0]]}`.
"""

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from statistics import NormalDist
from typing import Annotated, Any, NamedTuple, Union

from numpy.random import Generator
from pydantic import AfterValidator, Discriminator, Field, PositiveFloat, Tag
from typing_extensions import TypeAliasType

from orchestrator.spec.diagnostics import KeyPath, domain_word, near, read_path
from trainables.common.records import Record

WIDEST_NORMAL = 3.0  # standard deviations
STANDARD = NormalDist()
EXACT = 2**53  # up to here every whole number is a float

Countable = Annotated[int, Field(ge=-EXACT, le=EXACT)]


class Pick(NamedTuple):
    """A value of a domain, which may contain further domains, and its path below the domain in the spec."""

    below: KeyPath
    value: Any


class Scale(NamedTuple):
    """The numbers from `low` to `high` that stand for the values of a domain.

    The numbers are equally likely: only the `whole` ones, or all real ones, uniform in their logarithm if `log`.
    Neighbouring numbers stand for similar values, unless they are mere `labels`.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    labels: bool = False


def path_in_run(path: str) -> str:
    """Check that `path` is relative to `run`, and return it. Raises ValueError."""
    if not re.fullmatch(r"[^.\[\]]+(\.[^.\[\]]+)*", path):
        raise ValueError("is no path. Write keys with dots between them, such as network.latent_dim.")
    if path.startswith("run."):
        raise ValueError(f"is relative to run. Write '{path.removeprefix('run.')}'.")
    return path


class Domain(Record):
    """The values that one path of a run may take."""

    when: dict[Annotated[str, AfterValidator(path_in_run)], Any] = Field({}, exclude_if=lambda when: not when)
    """Path relative to `run` -> the value, or a list of the values, with which this entry is active.

    All of them must hold, else the entry sets nothing. They see values that are written in the run or set by the
    search, not the defaults that an option leaves out.
    """

    @cached_property
    def conditions(self) -> tuple[tuple[KeyPath, Collection[Any]], ...]:
        """The conditions of `when`: each path, and the values of which it must have one."""
        return tuple((read_path(path), one_of(wanted)) for path, wanted in self.when.items())

    @abstractmethod
    def probes(self) -> tuple[Pick, ...]:
        """Every option, or both ends of a range: a run that accepts these accepts all values between."""

    def sample(self, rng: Generator) -> Pick:
        """One value at random: here one of the probes, all equally likely. Domains with values between override it."""
        probes = self.probes()
        return probes[rng.integers(len(probes))]

    def size(self) -> float:
        """How many values there are; an option counts as one, whatever it contains."""
        return math.inf

    def scale(self) -> Scale:
        """The numbers that stand for its values: here the indices of its options, from 0."""
        return Scale(0, len(self.probes()) - 1, whole=True, labels=True)

    def at(self, number: float) -> Pick:
        """The value that a number of its scale stands for."""
        return self.probes()[number]

    def takes(self, value: Any) -> bool:
        """Whether a value that is no probe has a probability above 0 of being sampled."""
        return False


def wanted_values(wanted: Any) -> list[Any]:
    """The values that a condition of a `when` accepts."""
    return wanted if isinstance(wanted, list) else [wanted]


def one_of(wanted: Any) -> Collection[Any]:
    """Those values for membership tests: a set if all of them are hashable."""
    try:
        return frozenset(wanted_values(wanted))
    except TypeError:  # lists or mappings are among them
        return wanted_values(wanted)


def _rising(ends: tuple) -> tuple:
    low, high = ends[:2]
    if not 0 < high - low < math.inf:
        raise ValueError(f"must have its first number below its second, not {low:g} and {high:g}.")
    return ends


def _no_grid(options: tuple) -> tuple:
    """Refuse a grid in a random option: how often it is walked through would depend on the draws."""
    if any(isinstance(domain, Walked) for option in options for domain in domains_in(option)):
        raise ValueError("cannot have a grid in an option. Make it a 'grid', or the grid in it a 'choice'.")
    return options


def _no_entry(options: tuple) -> tuple:
    """Refuse `when` and `zip` in an option: choosing it is a condition already, and a domain in it has one path."""
    for domain in (domain for option in options for domain in domains_in(option)):
        for word, found in {"when": domain.when, "zip": isinstance(domain, Zip)}.items():
            if found:
                raise ValueError(f"cannot have a '{word}' in an option. Make it an entry of 'search'.")
    return options


def _no_entry_in_rows(rows: tuple) -> tuple:
    return tuple(map(_no_entry, rows))


def domains_in(tree: Any) -> Iterator["Domain"]:
    """All domains of a tree of mappings, domains and plain values, from the outermost to the innermost."""
    below = tree.values() if isinstance(tree, dict) else ()
    if isinstance(tree, Domain):
        yield tree
        below = [pick.value for pick in tree.probes()]
    yield from (domain for value in below for domain in domains_in(value))


def is_countable(domain: "Domain") -> bool:
    """Whether a domain has finitely many values."""
    return domain.scale().whole


def steps(domain: "Domain", points: int | None) -> Iterator[Pick]:
    """All values of a domain, in order; if there are infinitely many, `points` values, evenly spaced on its scale."""
    low, high, log, whole, _ = domain.scale()
    if whole:
        return map(domain.at, range(int(low), int(high) + 1))
    shares = (index / (points - 1) for index in range(points))
    between = (low ** (1 - share) * high**share if log else low * (1 - share) + high * share for share in shares)
    return (domain.at(min(max(number, low), high)) for number in between)


class Choice(Domain):
    """One of a list, all equally likely. Options may be mappings with domains of their own, to any depth."""

    choice: Annotated[tuple["Option", ...], Field(min_length=1), AfterValidator(_no_entry), AfterValidator(_no_grid)]

    @cached_property
    def _options(self) -> tuple[Pick, ...]:
        return tuple(Pick(("choice", index), option) for index, option in enumerate(self.choice))

    def probes(self) -> tuple[Pick, ...]:
        return self._options

    def size(self) -> float:
        return len(self.choice)


class Walked(Domain):
    """A domain that is walked through in full, not drawn from; several are crossed."""


class Grid(Walked):
    """Every option of a list, whatever `trials` is; several grids are crossed. Options are as in a choice."""

    grid: Annotated[tuple["Option", ...], Field(min_length=1), AfterValidator(_no_entry)]

    @cached_property
    def _options(self) -> tuple[Pick, ...]:
        return tuple(Pick(("grid", index), option) for index, option in enumerate(self.grid))

    def probes(self) -> tuple[Pick, ...]:
        return self._options


class Zip(Walked):
    """Rows of values that belong together, a value for each path of the entry; walked through like a grid."""

    zip: Annotated[
        tuple[Annotated[tuple["Option", ...], Field(min_length=1)], ...],
        Field(min_length=1),
        AfterValidator(_no_entry_in_rows),
    ]

    @cached_property
    def _options(self) -> tuple[Pick, ...]:
        return tuple(Pick(("zip", index), dict(enumerate(row))) for index, row in enumerate(self.zip))

    def probes(self) -> tuple[Pick, ...]:
        return self._options


class Range(Domain):
    """From a low end to a high end."""

    def probes(self) -> tuple[Pick, ...]:
        name = domain_name(type(self))
        return tuple(Pick((name, index), end) for index, end in enumerate(getattr(self, name)))

    def scale(self) -> Scale:
        return Scale(*getattr(self, domain_name(type(self))))

    def at(self, number: float) -> Pick:
        return Pick((), number)


class Uniform(Range):
    """A number from low to high: [low, high]."""

    uniform: Annotated[tuple[float, float], AfterValidator(_rising)]

    def sample(self, rng: Generator) -> Pick:
        return Pick((), float(rng.uniform(*self.uniform)))


class LogUniform(Range):
    """A number from low to high whose logarithm is uniform: [low, high], both above 0."""

    loguniform: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)]

    def scale(self) -> Scale:
        return Scale(*self.loguniform, log=True)

    def sample(self, rng: Generator) -> Pick:
        low, high = self.loguniform
        value = math.exp(rng.uniform(math.log(low), math.log(high)))
        return Pick((), min(max(value, low), high))  # exp and log round


class RandInt(Range):
    """A whole number from low to high, both included: [low, high]."""

    randint: Annotated[tuple[Countable, Countable], AfterValidator(_rising)]

    def scale(self) -> Scale:
        return Scale(*self.randint, whole=True)

    def sample(self, rng: Generator) -> Pick:
        low, high = self.randint
        return Pick((), int(rng.integers(low, high, endpoint=True)))

    def size(self) -> float:
        low, high = self.randint
        return high - low + 1

    def takes(self, value: Any) -> bool:
        low, high = self.randint
        return isinstance(value, int) and low <= value <= high


def _countable(steps: tuple) -> tuple:
    low, high, step = _rising(steps)
    if (high - low) / step > EXACT:
        raise ValueError(f"must have a wider step than {step:g} between {low:g} and {high:g}.")
    return steps


class QUniform(Domain):
    """low, low + step, ... up to high at most: [low, high, step]. Whole numbers if all three are."""

    quniform: Annotated[tuple[float, float, PositiveFloat], AfterValidator(_countable)]

    def probes(self) -> tuple[Pick, ...]:
        return Pick(("quniform", 0), self._value(0)), Pick(("quniform", 1), self._value(self.size() - 1))

    def scale(self) -> Scale:
        return Scale(0, self.size() - 1, whole=True)

    def at(self, number: float) -> Pick:
        return Pick((), self._value(number))

    def sample(self, rng: Generator) -> Pick:
        return self.at(int(rng.integers(self.size())))

    def size(self) -> int:
        low, high, step = self.quniform
        return math.floor((high - low) / step + 1e-9) + 1  # 0.3 / 0.1 is 2.9999999999999996

    def takes(self, value: Any) -> bool:
        low, _, step = self.quniform
        number = round((value - low) / step) if isinstance(value, int | float) else -1
        return 0 <= number < self.size() and self._value(number) == value

    def _value(self, number: int) -> float:
        low, _, step = self.quniform
        value = float(f"{low + number * step:.12g}")  # 3 * 0.1 is 0.30000000000000004
        return int(value) if all(part.is_integer() for part in self.quniform) else value


class Normal(Domain):
    """A number from a normal distribution: [mean, standard deviation]; none further out than 3 deviations."""

    normal: tuple[float, PositiveFloat]

    def probes(self) -> tuple[Pick, ...]:
        mean, deviation = self.normal
        return tuple(Pick((), mean + z * deviation) for z in (-WIDEST_NORMAL, 0.0, WIDEST_NORMAL))

    def scale(self) -> Scale:
        """The cumulative probability of a value."""
        return Scale(0, 1)

    def at(self, number: float) -> Pick:
        mean, deviation = self.normal
        lowest = STANDARD.cdf(-WIDEST_NORMAL)
        z = STANDARD.inv_cdf(lowest + number * (1 - 2 * lowest))
        return Pick((), mean + min(max(z, -WIDEST_NORMAL), WIDEST_NORMAL) * deviation)

    def sample(self, rng: Generator) -> Pick:
        mean, deviation = self.normal
        z = rng.standard_normal()
        while abs(z) > WIDEST_NORMAL:
            z = rng.standard_normal()
        return Pick((), float(mean + z * deviation))


DOMAINS: tuple[type[Domain], ...] = (
    Choice,
    Grid,
    Zip,
    Uniform,
    LogUniform,
    RandInt,
    QUniform,
    Normal,
)
"""The domains that a spec can name."""


def domain_name(domain: type[Domain]) -> str:
    """The word by which a user names this domain."""
    return next(field for field in domain.model_fields if field != "when")


NAMES = tuple(map(domain_name, DOMAINS))


def _domain_label(value: Any) -> str | None:
    if isinstance(value, Domain):
        return f"<{domain_name(type(value))}>"
    word = domain_word(value) if isinstance(value, dict) else None
    return f"<{word}>" if word else None


def _option_label(value: Any) -> str | None:
    """A mapping with one key counts as a domain if the key names one, or seems to be a misspelt name."""
    label = _domain_label(value)
    if label and (label[1:-1] in NAMES or (near(label[1:-1], NAMES) and isinstance(value[label[1:-1]], list))):
        return label
    return "<mapping>" if isinstance(value, dict) else "<value>"


def _alternatives(label: Callable[[Any], str | None], *others: Any) -> Any:
    tagged = (Annotated[domain, Tag(f"<{domain_name(domain)}>")] for domain in DOMAINS)
    told_apart = Discriminator(label, "domain", "no domain", {"known": ", ".join(NAMES)})
    return Annotated[Union[(*tagged, *others)], told_apart]


AnyDomain = _alternatives(_domain_label)
"""The type of a field that holds one domain."""

Option = TypeAliasType(
    "Option",
    _alternatives(_option_label, Annotated[dict[str, "Option"], Tag("<mapping>")], Annotated[Any, Tag("<value>")]),
)
"""What an option may be: a plain value, a domain, or a mapping of such."""

for recursive in (Choice, Grid, Zip):
    recursive.model_rebuild()


Search = dict[str, Domain]
"""What varies: key -> domain. A key is a path relative to `run`; that of a zip is several, with commas between."""


def paths_of(key: str) -> list[str]:
    """The paths that an entry's key names."""
    return [path.strip() for path in key.split(",")]
