"""Models with their evaluations, to be compared."""

from pathlib import Path

from orchestrator.storage.evaluations_file import EvaluatedModel

PROVENANCE = {
    "extractor": "classifier",
    "extractor_hash": "ab" * 32,
    "counts": [["generated", 100], ["real", 100]],
    "split": "test",
    "mapping": "rounded",
    "seed": 0,
    "settings": [],
    "data": "mnist",
}


def measured(label, id, findings):
    return EvaluatedModel(label, id, findings, Path("/runs") / id)


def finding(metric="frechet", undefined="", values=None, **changes):
    values = {} if undefined else {"frechet_classifier": 2.5} if values is None else values
    provenance = None if undefined else PROVENANCE | changes
    return {"metric": metric, "values": values, "provenance": provenance, "undefined": undefined, "pictures": []}
