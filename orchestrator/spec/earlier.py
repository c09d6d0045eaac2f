"""Reads specs that earlier versions have recorded, so that their sweeps go on as they began."""

from typing import Any

NO_PICTURES_OF_BEST = {"pictures": None}  # their trials draw themselves: no spec of theirs has the key


def as_now(spec: dict[str, Any]) -> dict[str, Any]:
    """A recorded spec in plain values, as this version writes one of the same meaning.

    Numbers of a paper in their first form, in which each stood alone and nothing used it, are left out.
    """
    tables = [one for one in spec.get("paper") or () if not (isinstance(one, dict) and "row" in one)]
    return NO_PICTURES_OF_BEST | spec | ({"paper": tables} if "paper" in spec else {})
