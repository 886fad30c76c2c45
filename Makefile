# `make demo` and `make test` work on a fresh machine: each sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo gallery docs programs test test-slow lint format clean
help:
	@echo "make demo       take the violin out of a recording and hear what taggers say (a minute)"
	@echo "make gallery    the original page's examples, to hear, see and compare (docs/gallery; what is made is kept)"
	@echo "make docs       the documentation as a site of static pages, in site/"
	@echo "make test       lint, types and tests"
	@echo "make test-slow  the tests that take minutes"

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "TagBox needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/python examples/demo.py

# make gallery ARGS='--only violin', or ARGS=--list
gallery: $(VENV)/.installed
	@$(BIN)/python -m scripts.gallery $(ARGS)

docs: $(VENV)/.installed
	@$(BIN)/mkdocs build --strict --quiet
	@echo "the documentation is in site/; open site/index.html"

# Programs that some tests drive, with Debian's names for them: a browser for the web page, what decodes stem
# files, what plays MIDI. Where one can't be had, its tests are skipped and say so.
PROGRAMS := chromium ffmpeg fluidsynth
programs:
	@missing=$$(for each in $(PROGRAMS); do command -v $$each >/dev/null || command -v $$each-browser >/dev/null || printf ' %s' $$each; done); \
	test -z "$$missing" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && echo "installing for the tests:$$missing" \
	  && { timeout 300 apt-get update -qq; DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -qq \
	  --no-install-recommends $$missing; } >/dev/null 2>&1 </dev/null; } \
	  || echo "not here, and not to be installed by this user:$$missing; the tests that need it will be skipped"

test: $(VENV)/.installed programs lint
	$(BIN)/python -m pytest -m "not slow" --durations=10

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow --durations=10

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) out site
