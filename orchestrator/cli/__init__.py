"""The command line: arguments and options, one function for each verb.

Start with `main.py`. What each verb does is in `orchestrator/commands/`.
"""

__all__ = ["main"]  # the modules that others import
