# The commands of this project. `make` alone lists them.
# Needed: Python 3.11 or later with its venv module, pip and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
LOWEST ?= .venv-lowest
JOBS ?= 2
ARGS ?=
BIN = $(VENV)/bin
# no cut-off progress bars in logs, no usage figures sent by the packages we build on
export DO_NOT_TRACK = 1
export MLFLOW_DISABLE_TELEMETRY = true
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test lint format check check-all test-slow test-lowest docs constraints wheel clean

help:  ## list these commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## install into .venv and show the whole loop on real data
	$(BIN)/lifecycle demo $(ARGS)

test: $(VENV)/.installed-test  ## install into .venv and run the tests; ARGS="tests/unit -x" narrows
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" $(ARGS)

lint: $(VENV)/.installed-test  ## format, ruff, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test  ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint test  ## what to run before a commit

check-all: check test-slow test-lowest  ## what CI runs: check, the slow parts, the lowest versions

test-slow: $(VENV)/.installed-test  ## tests that take minutes: wheels, environments, notebooks
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow --durations 30 $(ARGS)

test-lowest: $(LOWEST)/.installed  ## a fast part of the tests with the lowest versions we declare
	$(LOWEST)/bin/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" -W default tests/unit tests/conformance $(ARGS)

docs: $(VENV)/.installed-test  ## write the pages that are made from the code
	$(BIN)/python docs/build_pages.py

constraints:  ## resolve the newest versions that fit and write constraints.txt
	rm -rf build/resolve
	$(PYTHON) -m venv build/resolve
	build/resolve/bin/python -m pip install --quiet ".[all,test,lint]"
	echo "# Versions that are known to work together; written by \`make constraints\`." > constraints.txt
	build/resolve/bin/python -m pip freeze --exclude mlflow-lifecycle >> constraints.txt
	rm -rf build/resolve

wheel: $(VENV)/.installed-test  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove what these commands made
	rm -rf $(VENV) $(LOWEST) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no python3 found. Next: install Python 3.11 or later." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11. Next: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# the stamps are older than what they were made from only when that changed
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV), with what tests need; the first time this takes some minutes."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all,test,lint]"
	@touch $@ $(VENV)/.installed

$(LOWEST)/.installed: pyproject.toml .ci/lowest.py
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python .ci/lowest.py pyproject.toml > $(LOWEST)/lowest.txt
	@echo "Installing the lowest versions into $(LOWEST); this takes some minutes."
	@$(LOWEST)/bin/python -m pip install --quiet -c $(LOWEST)/lowest.txt -e ".[all,test]"
	@touch $@
