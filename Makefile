# `make demo` and `make test` do everything on a machine with Python 3.11+, git and make. `make help` lists the rest.

PYTHON ?= python3
WORKERS ?= 2
SOAK ?= 20000
VENV := .venv
BIN := $(VENV)/bin
WORK := .work
LOCK := requirements-dev.txt
SOURCES := $(shell find src -name '*.py' -o -name 'py.typed') pyproject.toml README.md LICENSE
UV := $(BIN)/uv
UV_VERSION := $(shell sed -n 's/^\(uv==[^ ]*\).*/\1/p' $(LOCK))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A registry that does not answer for a while is asked again, for some minutes.
export PIP_RETRIES ?= 8
export UV_HTTP_RETRIES ?= 8
export UV_HTTP_TIMEOUT ?= 60

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check lint types layers test-first test-newest wheel bench soak lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

demo: $(WORK)/wheel-first ## Make the environment, install, and run the main job on a real S3 server
	@$(BIN)/python examples/demo/run.py

test: check test-first test-newest ## Make the environment, install, and run the checks and the whole suite

# --- the environment: uv inside a plain venv, everything from the lock ------------------------------------------

$(WORK)/venv: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Entrepot needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@mkdir -p $(WORK)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet $(UV_VERSION)
	$(UV) pip sync --quiet --require-hashes $(LOCK) --python $(BIN)/python
	@touch $@

$(WORK)/wheel: $(WORK)/venv $(SOURCES)
	@rm -rf $(WORK)/dist
	$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir $(WORK)/dist
	@touch $@

wheel: $(WORK)/wheel ## Build the wheel

$(WORK)/wheel-first: $(WORK)/wheel
	$(UV) pip install --quiet --no-deps --reinstall --python $(BIN)/python $(WORK)/dist/*.whl
	@touch $@

$(WORK)/newest: $(WORK)/venv tools/newest_python.py
	$(UV) venv --quiet --clear --no-python-downloads --python "$$($(BIN)/python tools/newest_python.py)" $(WORK)/newest-venv
	$(UV) pip sync --quiet --require-hashes $(LOCK) --python $(WORK)/newest-venv/bin/python
	@touch $@

$(WORK)/wheel-newest: $(WORK)/wheel $(WORK)/newest
	$(UV) pip install --quiet --no-deps --reinstall --python $(WORK)/newest-venv/bin/python $(WORK)/dist/*.whl
	@touch $@

# --- the checks and the suite -----------------------------------------------------------------------------------

check: lint types layers ## Lint, types and layers

lint: $(WORK)/venv ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(WORK)/wheel-first ## mypy --strict
	$(BIN)/mypy

layers: $(WORK)/wheel-first ## import-linter: imports point downwards
	$(BIN)/lint-imports

test-first: $(WORK)/wheel-first ## The suite, against the built wheel, on the Python that made the environment
	$(BIN)/python -m pytest -n $(WORKERS)

test-newest: $(WORK)/wheel-newest ## The suite, but what is marked one_python, on the newest Python of this machine
	@if [ "$$($(BIN)/python -V)" = "$$($(WORK)/newest-venv/bin/python -V)" ]; then \
	  echo "The newest Python here is the one that has just been tested."; \
	else $(WORK)/newest-venv/bin/python -m pytest -n $(WORKERS) -m "not one_python"; fi

soak: $(WORK)/wheel-first ## The long forms of the crash campaigns: SOAK kills of writers (20,000), 500 of flows (some 40 minutes)
	ENTREPOT_SOAK=$(SOAK) $(BIN)/python -m pytest -n $(WORKERS) -m soak

bench: $(WORK)/wheel-first ## Measure, side by side with peers, and print the table
	$(BIN)/python benchmarks/run.py $(if $(PREFECT),--prefect $(PREFECT)) $(if $(REDUN),--redun $(REDUN))

lock: $(WORK)/venv ## Resolve requirements-dev.txt anew from pyproject.toml
	$(UV) pip compile pyproject.toml --quiet --extra all --group dev --universal --generate-hashes --no-annotate --no-header \
	  --upgrade --output-file $(LOCK)

clean: ## Remove everything that make made
	rm -rf $(VENV) $(WORK) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
