# Everything sets itself up: the first target that needs .venv makes it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
# The machine's own, also where .venv/bin comes first in PATH.
PYTHON ?= $(shell PATH='$(subst $(CURDIR)/$(VENV)/bin:,,$(PATH))' command -v python3 || echo python3)
BIN := $(VENV)/bin
BASE := $(VENV)/.base
DEV := $(VENV)/.dev
# The machine's own pip fills .venv where there is one that can (22.3 and later): a second one takes seconds to unpack.
HOST_PIP := $(shell $(PYTHON) -m pip --python "$$(command -v $(PYTHON))" --version > /dev/null 2>&1 && echo yes)
PIP := $(if $(HOST_PIP),$(PYTHON) -m pip --python $(BIN)/python,$(BIN)/python -m pip)
# The locks are complete, so nothing is resolved. What is imported is compiled then, and kept.
INSTALL := $(PIP) --disable-pip-version-check --quiet install --no-deps --no-compile
export PYTHONDONTWRITEBYTECODE :=
CONFIG ?= config/worker.toml
# What a service may be configured to need; installed in the same versions as are tested.
SERVICE := --extra postgresql --extra notify --extra signatures
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BASE): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, found " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	@echo "setting up $(VENV)"
	@$(BIN)/python -c $(if $(HOST_PIP),'','import pip') 2> /dev/null || $(PYTHON) -m venv $(if $(HOST_PIP),--without-pip) $(VENV)
	@$(INSTALL) --require-hashes -r requirements.lock 2> >(grep -v '^WARNING' >&2)
	@$(INSTALL) --no-build-isolation --editable . 2> >(grep -v '^WARNING' >&2)
	@$(BIN)/python -c 'import worker'
	@touch $@

$(DEV): $(BASE) requirements-dev.lock
	@echo "setting up the tools for tests in $(VENV)"
	@$(INSTALL) --require-hashes -r requirements-dev.lock 2> >(grep -v '^WARNING' >&2)
	@touch $@

.PHONY: setup
setup: $(DEV) ## make .venv with everything in it

.PHONY: demo
demo: $(BASE) ## run the whole job, offline, against a small news site on loopback
	@$(BIN)/python -m tests.newsroom.demo

.PHONY: screenshots
screenshots: $(DEV) ## write docs/images/ from what the demo made (needs chromium)
	@$(BIN)/python -m tests.browser.screenshots

.PHONY: test
test: lint ## every check: lint, types, import contracts, tests, coverage
	@$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term

.PHONY: lint
lint: $(DEV) ## ruff, mypy and the import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --verbose > $(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }
	@tail -n 3 $(VENV)/lint-imports.log

.PHONY: package
package: $(DEV) ## build wheel and source distribution, install them in an empty environment, do what a new user does
	@.ci/package

.PHONY: format
format: $(DEV) ## put the code into the project's form
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

.PHONY: ingest
ingest: $(BASE) ## poll every source once, with config/worker.toml
	@$(BIN)/corpus-worker ingest --config $(CONFIG)

.PHONY: run
run: $(BASE) ## the daemon, with config/worker.toml
	@$(BIN)/corpus-worker run --config $(CONFIG)

bench-%: $(DEV) ## measure: batch, ingest, extract, dedupe, neardup, fetch, schedule, search, sources, start, store, seeds, crowd, polite, endure, release, web
	@$(BIN)/python -m tests.bench.bench_$* $(ARGS)

.PHONY: fit-judge
fit-judge: $(DEV) ## fit the judge to labelled pairs (ARGS="--data FOLDER") and write worker/dedupe/weights.json
	@$(BIN)/python -m tests.bench.fit_judge $(ARGS)

.PHONY: lock
lock: $(DEV) ## resolve the dependencies again (needs uv)
	@uv pip compile $(LOCK) --all-extras --group dev pyproject.toml -o requirements-dev.lock
	@uv pip compile $(LOCK) --constraint requirements-dev.lock $(SERVICE) --group demo pyproject.toml -o requirements.lock

.PHONY: clean
clean: ## remove what was made, but never the corpus
	@rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
