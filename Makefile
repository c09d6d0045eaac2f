# Two commands on a fresh machine: `make quickstart` and `make test`. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test lint lock clean

quickstart: .venv/installed
	$(BIN)/vaeorch sweep search_spaces/quickstart.yaml

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .

# Compiled at once: each process of a sweep imports torch, which takes twice as long from source.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vaeorch needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# Names and versions only: where they come from is the business of each machine.
lock: .venv/installed
	$(BIN)/uv pip compile --quiet --upgrade --extra test --python-version 3.11 \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv runs .pytest_cache .ruff_cache
