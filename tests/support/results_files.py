"""The results of a sweep of two trials, none of which has begun."""

from orchestrator.sweep.results_file import ResultsFile


def results_file_in(folder, mode="max", trials=("0001", "0002")):
    same = {"config": {"lr": 0.1}, "seed": 7, "stage": "search"}
    known = {
        name: same | {"configuration": number, "folder": str(folder / name)}
        for number, name in enumerate(trials, start=1)
    }
    return ResultsFile(folder, "a", {"metric": "m", "mode": mode}, known)
