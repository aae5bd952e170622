# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test static check check-all bench gpu format lint types contracts clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "autochrome needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP) ## make the environment in .venv, with the autochrome command in it

demo: $(STAMP) ## make a small archive in var/demo and run the nightly flow over it
	$(BIN)/autochrome demo --dir var/demo

test: $(STAMP) ## run the tests (brings its own PostgreSQL and S3 endpoint)
	$(BIN)/pytest -n 3 -m "not slow"

check: $(STAMP) ## what CI runs: format, lint, types, import contracts, tests (beside each other)
	$(MAKE) --no-print-directory -j2 static test

static: lint types contracts

check-all: check ## check, and the slow tests, among them the built wheel in an empty folder
	$(BIN)/pytest -m slow --timeout 1800

bench: $(STAMP) ## measure speed: one table of ratios, and var/speed.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m tests.bench.speed --json var/speed.json

gpu: $(STAMP) ## where there is a GPU: the tests that need it, and the benchmark's rows about it
	$(BIN)/pytest -m gpu --timeout 600
	$(BIN)/python -m tests.bench.speed --only gpu --only roofline --only pipeline --json var/gpu.json

format: $(STAMP) ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports --no-cache

clean: ## remove the environment and everything the demo made
	rm -rf $(VENV) var dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
