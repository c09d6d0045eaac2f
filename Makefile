# On a new machine run `make quickstart` or `make test`. Both create .venv first.
PYTHON ?= python3
BIN := .venv/bin

# The platforms and Pythons that the lock supports. torch has wheels for macOS 14 and later.
PLATFORMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin
PYTHONS := 3.11 3.12 3.13 3.14
MACOS := 14.0

LAB_TESTS := lab_hosts ssh_cluster slurm aws_cluster imagenet_cluster

.PHONY: quickstart test cluster-tests thorough-tests gpu-tests lint docs lock lock-check clean

quickstart: .venv/installed
	$(BIN)/vaeorch sweep search_spaces/quickstart.yaml

# Two processes, each of which runs one test file after another; files with whole sweeps come last.
test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Sweeps on a lab of machines, also those that take too long for `make test`. Needs root on Linux; Debian's slurmctld,
# slurmd, slurm-client and munge for those of Slurm.
cluster-tests: .venv/installed
	$(BIN)/python -m pytest -m "slow_lab or not slow_lab" $(LAB_TESTS:%=tests/end_to_end/test_%.py)

# What `make test` shows at fewer points.
thorough-tests: .venv/installed
	$(BIN)/python -m pytest -m thorough

# On a machine with a GPU. `make test` hides it: its numbers are the CPU's.
gpu-tests: .venv/installed
	VAEORCH_GPU_TESTS=1 $(BIN)/python -m pytest tests/trainables/test_gpu.py tests/trainables/test_compilation.py

lint: .venv/installed
	$(BIN)/ruff check .

# The documentation into site/, without a network. The pictures are of small sweeps, which are run in DOCS_SWEEP, or taken
# from there; remove that folder to draw them anew. With VAEORCH_DATA=FOLDER that has MNIST/raw: samples of each method.
DOCS_SWEEP ?= .docs
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 DOCS_SWEEP=$(DOCS_SWEEP) $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html is built. With search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

# Compiles bytecode at installation: each process of a sweep imports torch, which takes twice as long without it.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vaeorch needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# The lock has names, versions and markers only; each machine configures its own package index.
lock: .venv/installed
	$(BIN)/uv pip compile --quiet --universal --upgrade --extra docs --extra onnx --extra test --python-version 3.11 \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock

# Checks that every platform with every Python can be installed from the lock, without packages that are not in it.
lock-check: .venv/installed
	@sed 's/ *;.*//' requirements.lock > .venv/locked; \
	failed=0; for platform in $(PLATFORMS); do for python in $(PYTHONS); do \
		if found=$$(MACOSX_DEPLOYMENT_TARGET=$(MACOS) $(BIN)/uv pip compile --quiet --no-annotate --no-header \
			--no-emit-index-url --no-emit-find-links --only-binary :all: \
			--python-platform $$platform --python-version $$python requirements.lock) \
			&& ! echo "$$found" | grep --invert-match --line-regexp --fixed-strings --file .venv/locked; \
		then echo "$$platform, Python $$python: $$(echo "$$found" | wc -l) packages"; \
		else echo "$$platform, Python $$python: FAILS"; failed=1; fi; \
	done; done; exit $$failed

clean:
	rm -rf .venv runs site .docs .pytest_cache .ruff_cache
