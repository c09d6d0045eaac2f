"""Reads specs that earlier versions have recorded, so that their sweeps go on as they began."""

from typing import Any


def as_now(spec: dict[str, Any]) -> dict[str, Any]:
    """A recorded spec in plain values, without a paper's numbers in their first form, which nothing used."""
    tables = [one for one in spec.get("paper") or () if not (isinstance(one, dict) and "row" in one)]
    return spec | {"paper": tables} if "paper" in spec else spec


def as_begun(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec that a sweep began with, as recorded. Without the key `pictures` its trials draw themselves."""
    return {"pictures": None} | as_now(spec)
