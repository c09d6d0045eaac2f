"""A storage for Optuna's studies that is given its trials and copies none. It imports Optuna, which takes a while."""

from collections.abc import Container

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class GivenTrials(InMemoryStorage):
    """Has the trials that it is given, numbered from 1, and the one that a study asks for, number 0."""

    def __init__(self, given: list[FrozenTrial]):
        super().__init__()
        self.given = given
        for number, trial in enumerate(given, start=1):
            trial.number = number

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        given = self.given if states is None else [trial for trial in self.given if trial.state in states]
        return [*given, *super().get_all_trials(study_id, deepcopy, states)]
