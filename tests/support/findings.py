"""Findings of evaluations, made by hand."""

from tests.support import comparisons

PROVENANCE = comparisons.PROVENANCE | {"extractor": "inception", "extractor_hash": "6726825d" * 8}


def finding(metric: str, provenance: dict = PROVENANCE, undefined: str = "", **values: float) -> dict:
    """One as evaluations.json holds it."""
    known = {"metric": metric, "values": values, "undefined": undefined, "provenance": provenance}
    return known | {"pictures": [], "epoch": 1, "checkpoint": "", "seconds": 0.1}
