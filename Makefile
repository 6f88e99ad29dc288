# One command each: `make chat` opens the page on a demo night, `make test` runs the tests.
# Both create the environment in .venv/ first, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help env chat test test-browser test-slow lint clean

help:
	@echo "make chat          set up, then open the app on a demo night"
	@echo "make test          set up, then run the tests"
	@echo "make test-browser  the tests that drive the page in headless Chromium"
	@echo "make test-slow     the tests that take minutes"
	@echo "make env           the set-up alone (.venv/)"
	@echo "make lint          ruff and mypy"

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt setup_env.sh
	PYTHON="$(PYTHON)" sh setup_env.sh $(VENV)
	touch $@

chat: env
	$(BIN)/sleeplm chat

test: env
	$(PYTEST) -q

test-browser: env
	$(PYTEST) -q -m browser

test-slow: env
	$(PYTEST) -q -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info
