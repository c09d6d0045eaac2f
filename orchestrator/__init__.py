"""The sweep orchestrator: searches hyperparameters, schedules trials and records their results.

The command line starts in `cli/main.py`; `commands/` has a file for each verb. `trainables/` trains the models.
"""

import sys

if sys.platform == "win32":  # checked before any import that fails on Windows
    print("vaeorch does not run on Windows: use Linux, macOS on Apple silicon, or Linux within WSL 2.", file=sys.stderr)
    raise SystemExit(2)
