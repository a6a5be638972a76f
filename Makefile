# The task vocabulary of people, hooks and CI. Everything is set up on first use; second runs reinstall nothing.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
INSTALLED := .venv/.installed
# The python3 of the PATH if it is new enough, else the newest that is.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
UV := eval "$$(tools/pip-settings-for-uv $(BIN)/pip)" && VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv

.PHONY: help demo test lint bench up down lock clean

help: ## this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## start the platform and watch real flights become a served model that repairs itself
	@$(BIN)/mlops demo

test: $(INSTALLED) ## all tests, on real services (ARGS="-k name" for some)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(INSTALLED) ## style, types, import boundaries
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(INSTALLED) ## all benchmarks beside their peers (ONLY=name for one)
	@$(BIN)/python -m mlops_assets_tests.benchmarks $(ONLY)

up: $(INSTALLED) ## start the platform and show its addresses
	@$(BIN)/mlops up

down: $(INSTALLED) ## stop the platform; nothing is lost
	@$(BIN)/mlops down

# torch pins its own CUDA packages exactly, so they are left to torch: a CPU build of it has none.
lock: $(BIN)/uv ## resolve requirements.lock anew from pyproject.toml
	@eval "$$(env -u PIP_FIND_LINKS tools/pip-settings-for-uv $(BIN)/pip)" && env -u UV_FIND_LINKS $(BIN)/uv pip compile \
		--quiet --universal --python-version 3.11 --group pyproject.toml:dev pyproject.toml \
		--no-annotate --no-header > requirements.lock.all
	@grep -vE '^(nvidia-|cuda-|triton)' requirements.lock.all > requirements.lock
	@rm requirements.lock.all

clean: ## stop the platform and remove .venv (its state stays; mlops reset removes that)
	@if [ -x $(BIN)/mlops ]; then $(BIN)/mlops down; fi
	@rm -rf .venv

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer is found on the PATH. Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { echo "That Python cannot make virtual environments (Debian, Ubuntu: install python3-venv)." >&2; rm -rf .venv; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/uv
	@$(UV) pip install --quiet -r requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
