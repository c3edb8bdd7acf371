# Tokenworks. `make demo` shows what it does, `make test` sets up a fresh machine and holds the gate.
#
# Invariant: everything that is installed is pinned, with its hash, in requirements.lock; nothing
# outside this folder is changed; no root and no running service is needed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
INSTALLED := $(VENV)/installed
# uv from PATH where there is one, else the pinned one, which the set-up installs first.
UV ?= $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(BIN)/uv)
# A user without a home of their own has no place for a cache.
UV_INSTALL := pip install --quiet --python $(BIN)/python $(shell test -w "$$HOME" || echo --no-cache)
# Many short processes run here: what they import is compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
# How many processes run the tests: a number, or auto for one per core.
WORKERS ?= auto
CHECKED := $(wildcard pricing_rules billing scripts migrations tests)
PURE_CORE := $(wildcard pricing_rules billing/domain)

.PHONY: help demo test check lint types contracts tests bench soak lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## from measured hardware to an invoice, on the documents of the demo
	$(BIN)/tokenworks demo

test: $(INSTALLED) ## set up what is missing, then every check
	$(MAKE) --no-print-directory check

check: lint types contracts tests ## lint, types, contracts and tests

lint: $(INSTALLED) ## ruff: format and rules
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)

types: $(INSTALLED) ## mypy --strict
	$(BIN)/mypy $(CHECKED)

contracts: $(INSTALLED) ## import-linter: which room may import which
	$(BIN)/lint-imports --no-cache --no-logo

tests: $(INSTALLED) ## pytest, with every branch of the pure core covered
	$(BIN)/python -m pytest -n $(WORKERS) $(PURE_CORE:%=--cov=%) --cov-branch --cov-fail-under=100

bench: $(INSTALLED) ## the speed of what is hot: one JSON line for each figure
	@$(BIN)/python -m tests.bench

soak: $(INSTALLED) ## the property tests with many random examples, and the long runs
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n $(WORKERS) -m 'hypothesis or soak'

lock: $(INSTALLED) ## resolve the dependencies anew
	$(UV) pip compile pyproject.toml -o $(LOCK) --upgrade --universal --python-version 3.11 \
	  --extra dev --extra market --extra measurements --extra postgresql \
	  --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --quiet

clean: ## remove what was built, the environment too
	rm -rf $(VENV) build dist demo-out .coverage .coverage.* .hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tokenworks needs Python 3.11 or later: make PYTHON=python3.12 test" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The pinned uv's lines of the lock, with their hashes, are a lock of their own.
	command -v $(UV) >/dev/null || { \
	  sed -n '/^uv==/,/[^\\]$$/p' $(LOCK) > $(VENV)/uv.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --no-deps -r $(VENV)/uv.lock; }
	$(UV) $(UV_INSTALL) --require-hashes -r $(LOCK)
	$(UV) $(UV_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@
