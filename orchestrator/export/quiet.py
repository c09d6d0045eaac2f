"""Other packages' words that are no user's concern, while they export a model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Inside this context there are no warnings, and of these loggers and those below them nothing is heard."""
    known = [logging.getLogger(name) for name in loggers]
    before = [logger.level for logger in known]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in known:
                logger.setLevel(logging.CRITICAL)
            yield
    finally:
        for logger, level in zip(known, before, strict=True):
            logger.setLevel(level)
