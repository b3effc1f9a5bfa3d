PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
SOURCES := src tests benchmarks examples/plugin

PREFIX ?= $(HOME)/.local

MAKEFLAGS += --jobs=2  # the parts of check run side by side

.PHONY: demo test test-exhaustive test-all check format lint types types-macos layers bench docs screenshot install clean

demo: $(READY)
	$(BIN)/abreast demo

test: $(READY) check
	$(PYTEST) -m "not exhaustive"

test-exhaustive: $(READY)
	$(PYTEST) -m exhaustive

test-all: $(READY) check
	$(PYTEST)

check: format lint types types-macos layers

format lint types types-macos layers: $(READY)
format: ; $(BIN)/ruff format --check $(SOURCES)
lint: ; $(BIN)/ruff check $(SOURCES)
types: ; $(BIN)/mypy
types-macos: ; $(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin src
layers: ; $(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/abreast docs reference > docs/reference.md

screenshot: $(READY)
	$(BIN)/python tests/live_view.py docs/live-view.svg

install:
	$(PYTHON) -m venv $(PREFIX)/share/abreast
	$(PREFIX)/share/abreast/bin/python -m pip install --quiet --disable-pip-version-check '.$(EXTRAS)'
	mkdir -p $(PREFIX)/bin
	ln -sf ../share/abreast/bin/abreast $(PREFIX)/bin/abreast
	@$(PREFIX)/bin/abreast --version

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "abreast needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
