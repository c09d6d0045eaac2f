"""`python -m orchestrator` is `vaeorch`."""

from orchestrator.cli.main import main

main()
