"""What is told of a driver that was lost."""

import pytest

from orchestrator.clusters.jobs import State
from orchestrator.commands.cluster_jobs import cause


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State("FAILED", 137, "exit code -9, last available logs:\n@vaeorch {}"), "it was killed by signal 9."),
        (State("FAILED", None, "The job supervisor has died.\nmore"), "The job supervisor has died."),
        (State("FAILED", None, ""), "it was killed."),
    ],
)
def test_the_cause_is_told_in_a_line(state, said):
    assert cause(state) == said
