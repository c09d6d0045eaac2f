"""Searches, places and records trainings."""

import sys

if sys.platform == "win32":  # said before anything is imported that Windows lacks
    print("vaeorch does not run on Windows: use Linux, macOS on Apple silicon, or Linux within WSL 2.", file=sys.stderr)
    raise SystemExit(2)
