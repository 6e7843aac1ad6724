# Everything a contributor runs. A Debian or Ubuntu with Python 3.11+, its venv module and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test test-slow check format bench million paper clean

help:
	@echo "make demo       install into $(VENV) and watch the embedded model derail alone and succeed by voting"
	@echo "make test       install what the tests need and run them (a few minutes)"
	@echo "make test-slow  the long tests: processes killed again and again, the embedded model at length, small changes to the code"
	@echo "make check      lint, formatting, types, layers"
	@echo "make bench      the figures in the README (half an hour)"
	@echo "make million    the record: 1,048,575 dependent steps on the embedded model, then verified"
	@echo "make paper      the paper's table and figures, measured again and drawn: docs/paper (ten minutes)"
	@echo "make setup      only install everything for development"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("unerring needs Python 3.11 or later, and $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of packages: a newcomer's demo does not wait for the tools of the tests.
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[embedded]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[embedded,dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev

demo: $(VENV)/.demo
	$(BIN)/unerring demo

test: $(VENV)/.dev
	$(BIN)/pytest --numprocesses auto --dist worksteal

test-slow: $(VENV)/.dev
	$(BIN)/pytest -m slow --timeout 3600

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

FIGURES := figures

# Benchmarks that compare with other engines need these: benchmarks/requirements.txt, in a place of their own.
bench: $(VENV)/.dev
	@mkdir -p $(FIGURES)
	$(BIN)/python benchmarks/engine.py --json $(FIGURES)/1-engine.json
	$(BIN)/python benchmarks/ahead.py --json $(FIGURES)/2-ahead.json
	$(BIN)/python benchmarks/functions.py --json $(FIGURES)/2-functions.json
	$(BIN)/python benchmarks/embedded.py --json $(FIGURES)/3-embedded.json
	$(BIN)/python benchmarks/growth.py --json $(FIGURES)/4-growth.json
	$(BIN)/python benchmarks/length.py --json $(FIGURES)/5-length.json
	$(BIN)/python benchmarks/weighted.py --json $(FIGURES)/7-weighted.json
	$(PYTHON) -m venv $(FIGURES)/peers
	$(FIGURES)/peers/bin/pip install --quiet --disable-pip-version-check -e . -r benchmarks/requirements.txt
	$(FIGURES)/peers/bin/python benchmarks/peers.py --json $(FIGURES)/6-peers.json
	$(FIGURES)/peers/bin/python benchmarks/client.py --json $(FIGURES)/8-client.json
	$(BIN)/python benchmarks/solve.py --json $(FIGURES)/9-solve.json
	$(BIN)/python benchmarks/pacing.py --json $(FIGURES)/9-pacing.json
	$(BIN)/python benchmarks/caches.py --write docs/why/caches.md
	$(BIN)/python benchmarks/table.py $(FIGURES) --write README.md

# Twenty minutes on two cores; press Ctrl-C whenever you like, and go on with the same command.
million: $(VENV)/.demo
	$(BIN)/python benchmarks/million.py
	$(BIN)/python benchmarks/record.py

# Seeded, so that a second time on the same machine changes nothing.
paper: $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[embedded,plots,dev]'
	$(BIN)/python benchmarks/paper/all.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
