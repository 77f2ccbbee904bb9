# Siyu: everything starts here. Needs Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
endif
# Without bytecode beside them a start spends ten seconds on compiling modules. A package may hold a file that is no Python.
COMPILE := $(BIN)/python -m compileall -qq -j 0

.PHONY: help run test prove setup setup-dev lint format bench docs lock clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: setup ## set up what is missing, start the engines, load the demo brand once, serve http://127.0.0.1:8000
	@exec $(BIN)/siyu serve

setup: $(VENV)/.runtime ## only the set-up: .venv with the locked dependencies and the siyu command
setup-dev: $(VENV)/.dev ## the set-up for developers: tests, linters, docs

$(VENV)/.runtime: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(INSTALL) --require-hashes --no-deps -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@$(COMPILE) $(VENV)/lib src/siyu || true
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing what tests and linters need ..."
	@$(INSTALL) --require-hashes --no-deps -r requirements-dev.txt
	@$(COMPILE) $(VENV)/lib || true
	@touch $@

test: setup-dev ## the whole test suite on the embedded engines, two files at a time (SIYU_TEST_WORKERS)
	@$(BIN)/python -m pytest -n $${SIYU_TEST_WORKERS:-2} --dist loadfile $(PYTEST_ARGS)

prove: setup-dev ## the races and crashes, as often as it takes to believe them: 50 rounds of each race, 200 of each kill
	@SIYU_TEST_ROUNDS=$${SIYU_TEST_ROUNDS:-50} nice $(BIN)/python -m pytest -m proof -o timeout=7200 --durations=0 $(PYTEST_ARGS)

lint: setup-dev ## style, types, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup-dev ## let the formatter have its way
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup-dev ## the benchmarks, each as a ratio to a floor measured in the same run
	@$(BIN)/python -m bench

docs: setup-dev ## the documentation site, into site/
	@$(BIN)/mkdocs build --strict --quiet && echo "site/index.html"

lock: ## renew the lock files (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --extra kafka --group dev pyproject.toml requirements.in -o requirements-dev.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --extra kafka pyproject.toml requirements.in -c requirements-dev.txt -o requirements.txt

clean: ## remove the virtual environment and caches (never the data in .siyu)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache site
