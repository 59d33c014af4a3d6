# make bench   measure all that can be measured here, and print the paper's tables
# make test    the tests of the suite itself
# make lint    ruff, mypy, import-linter
# make clean   remove caches and build outputs; keeps the environment and stored results
#
# Each sets up what it needs, once; afterwards none needs the network. To stay under ten minutes
# bench starts no training of more than three; ARGS='--train-budget MIN' overrides that.
#   make bench ARGS='-m "cifar10 and accuracy" --seeds 3'     arguments for pytest
#   make test VENV=/path/to/venv PYTHON=python3.13            another environment, another Python

VENV   ?= .venv
PYTHON ?=
ARGS   ?=

BIN     = $(VENV)/bin
STAMP   = $(VENV)/.smallnet-installed
PYTHONS = $(if $(PYTHON),$(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
USABLE  = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
SOURCES = smallnet_core benchmarks studies tests conftest.py .github

.PHONY: bench test lint clean

bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks --train-budget 3 $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest tests $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The stamp is a copy of the pyproject.toml that was installed: a checkout that only touches the
# file asks pip for nothing. A version manager's stand-in for a Python that is not there (pyenv)
# is found but does not run, hence the trial.
$(STAMP): pyproject.toml
	@if cmp -s pyproject.toml $@; then touch $@; exit 0; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    found=; \
	    for python in $(PYTHONS); do \
	        if $$python -c '$(USABLE)' >/dev/null 2>&1; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'smallnet needs Python 3.11 or newer with venv and pip; tried: $(PYTHONS).' >&2; \
	        echo 'Install one (Debian: apt install python3-venv) or name it: make PYTHON=/path/to/python3' >&2; \
	        exit 1; \
	    fi; \
	    echo "Creating $(VENV) with $$found"; \
	    $$found -m venv $(VENV) || exit 1; \
	fi; \
	echo 'Installing into $(VENV); the first time this takes some minutes (torch is large)'; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' || exit 1; \
	cp pyproject.toml $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
