# Everything on a fresh machine that has Python 3.11 and make: each target sets itself up.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help tour test test-all lint format clean

help:
	@echo "make tour      draw from every shipped model, score it, write tour/index.html"
	@echo "make test      lint, types and the default test suite"
	@echo "make test-all  the same with the long tests"
	@echo "make format    let ruff rewrite what it can"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

tour: $(READY)
	$(BIN)/ornstein tour

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: lint
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv tour runs
