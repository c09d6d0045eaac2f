"""Records: the frozen, validated values that a user writes in YAML, and tables of alternatives chosen by a word."""

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field

Mistake = tuple[str, str]
"""(path relative to the record that found it, what is wrong and how to fix it)."""


class Record(BaseModel):
    """Frozen, keyword-only and strict: an unknown key is an error, and text is never converted to a number."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    source: ClassVar[str] = ""
    chosen_by: ClassVar[str] = "name"  # the field with the word that chooses this record among those of a table


def choice(table: tuple[type[Record], ...]) -> Any:
    """The type of a field that holds one record of `table`, chosen by its `name`, or what its `chosen_by` says."""
    return table[0] if len(table) == 1 else Annotated[reduce(or_, table), Discriminator(table[0].chosen_by)]


def unwritten(default: Any) -> Any:
    """A field that dumps leave out where it has its default.

    So records that differ in this field alone can be exchanged by their name, as in a search over `data.name`.
    """
    return Field(default, exclude_if=lambda value: value == default)


def name_of(record: type[Record]) -> str:
    """The word that chooses this record."""
    return record.model_fields[record.chosen_by].default


def summary(record: type[Record]) -> str:
    """The first line of the record's docstring."""
    return (record.__doc__ or "").strip().splitlines()[0]


def within(prefix: str, mistakes: Iterator[Mistake]) -> Iterator[Mistake]:
    """The same mistakes, with paths relative to the record one level up."""
    return ((f"{prefix}.{path}" if path else prefix, text) for path, text in mistakes)
