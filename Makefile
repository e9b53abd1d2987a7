# The front door: `make demo` shows it, `make test` proves it, `make check` reads it.
#
#   make demo [PORT=6789] [ONCE=1]   run the example project, then serve it
#   make test                        everything but the long profiles
#   make test-all                    the long profiles too
#   make check                       formatting, lint, types, import floors
#   make bench                       speed, as JSON lines
#   make docs                        the documentation, in site/
#
# PYTHON picks the interpreter for .venv (3.11 or newer).

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$p; break; fi; done)
WORKERS ?= 2
BIN := .venv/bin
SETUP := .venv/.stamp-setup
DEV := .venv/.stamp-dev
DEMO_ARGS := $(if $(PORT),--port $(PORT)) $(if $(filter-out 0,$(ONCE)),--once)

.DEFAULT_GOAL := help
.PHONY: help setup dev demo test test-all check format bench docs docs-generate clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: $(SETUP)

dev: $(DEV)

$(SETUP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Weft needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Weft and its data libraries into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[data]'
	@touch $@

$(DEV): $(SETUP)
	@echo "Installing the tools of development ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

demo: $(SETUP)
	@exec $(BIN)/weft demo $(DEMO_ARGS)

test: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not long'

test-all: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) -m ''

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV)
	$(BIN)/python -m bench

docs-generate: $(DEV)
	$(BIN)/python docs/generate.py

docs: docs-generate
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf .venv site build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
