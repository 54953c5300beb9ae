# make demo    the showcase, from a bare checkout
# make test    every test, from a bare checkout
# make check   style, types, import direction; what may not recompile, or grow with the ensemble
# make bench   driftax beside its peers; writes docs/performance.md (BENCH="b1 --quick" runs a part)
# make clean   remove what the other targets made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CREATED := $(VENV)/.created
DEMO_READY := $(VENV)/.installed-demo
TEST_READY := $(VENV)/.installed-test
BENCH_READY := $(VENV)/.installed-bench

# The interpreter that makes .venv: PYTHON=... wins, then python3.11, then python3.
PYTHON ?=
# The release of torch that the tests compare with; `make test TORCH=` does without.
TORCH ?= torch==2.13.0
WORKERS ?= 2
PYTEST_ARGS ?=
BENCH ?= --write

.PHONY: help demo test check bench clean

help:
	@sed -n 's/^# make /make /p' Makefile

demo: $(DEMO_READY)
	$(BIN)/driftax demo

test: $(TEST_READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=15 $(PYTEST_ARGS)

check: $(TEST_READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.gates

bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build dist driftax-out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

$(CREATED):
	@for candidate in $(PYTHON) python3.11 python3; do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$candidate -m venv $(VENV)"; \
	        "$$candidate" -m venv $(VENV); \
	        touch $@; \
	        exit 0; \
	    fi; \
	done; \
	echo "driftax needs Python 3.11 or later to make $(VENV)." >&2; \
	echo "Tried: $(strip $(PYTHON) python3.11 python3); none of them is one (python3 is: $$(python3 --version 2>&1 || true))." >&2; \
	echo "Install Python 3.11, or name one: make PYTHON=/path/to/python3.11 $(firstword $(MAKECMDGOALS))" >&2; \
	exit 1

# A stamp is newer than pyproject.toml while what that file asks for is installed.
$(DEMO_READY): pyproject.toml | $(CREATED)
	$(PIP) install --quiet --editable '.[report]'
	@touch $@

$(TEST_READY): pyproject.toml | $(CREATED)
	$(PIP) install --quiet --editable '.[dev,report,dask]'
	@$(if $(strip $(TORCH)),$(PIP) install --quiet '$(TORCH)' || echo "$(TORCH) cannot be had here: the tests that need torch will skip.",true)
	@touch $@ $(DEMO_READY)

$(BENCH_READY): pyproject.toml | $(CREATED)
	$(PIP) install --quiet --editable '.[bench,report]' '$(TORCH)'
	@touch $@ $(DEMO_READY)
