"""`python -m orchestrator` is `vaeorch`."""

from orchestrator.cli import main

main()
