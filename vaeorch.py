"""vaeorch for Python programs and notebooks: train, sweep, and use trained models.

    model = vaeorch.load("runs/quickstart")  # a sweep's best model; "/0003" after it: of a trial; "@last": last epoch
    codes = model.encode(x)                  # x (rows, *model.shape): numpy or torch in, the same out
    images = model.sample(64, seed=0)

See `Model` for what a model can do.
"""

from orchestrator.api import results, sweep, train
from orchestrator.errors import NoResult, UserError
from orchestrator.export.loading import load
from trainables.common.errors import UsageError
from trainables.common.installed import version
from trainables.inference.model import Axes, Code, Model
from trainables.run import Run

__all__ = ["Axes", "Code", "Model", "NoResult", "Run", "UsageError", "UserError", "load", "results", "sweep", "train"]


def __getattr__(name: str) -> str:
    """`__version__`, when it is asked for: our code in a model that MLflow has saved has none."""
    if name == "__version__":
        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":  # `python -m vaeorch` is `vaeorch`
    from orchestrator.cli.main import main

    main()
