# `make demo` and `make test` work on a fresh machine: each sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo wheel gallery docs programs check test test-fresh test-slow lint format clean
help:
	@echo "make demo       separate the violin of a duet and the voice of a song, and measure them (half a minute)"
	@echo "make gallery    the original page's examples, to hear, see and compare (docs/gallery; results are kept)"
	@echo "make wheel      a wheel and a source distribution, in dist/"
	@echo "make docs       the documentation as a site of static pages, in site/"
	@echo "make check      lint, types and the fast tests, for the inner loop"
	@echo "make test       lint, types and tests"
	@echo "make test-fresh the tests, with property tests on new random examples"
	@echo "make test-slow  the tests that take minutes"

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "TagBox needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/python examples/demo.py

# dist/tagbox-VERSION.tar.gz and, built from it, dist/tagbox-VERSION-py3-none-any.whl
wheel: $(VENV)/.installed
	@rm -rf dist && $(BIN)/hatchling build -t sdist -d dist && cd dist && tar -xzf tagbox-*.tar.gz \
	  && (cd tagbox-*/ && ../../$(BIN)/hatchling build -t wheel -d ..) && rm -r tagbox-*/ && ls -l

# make gallery ARGS='--only violin', or ARGS=--list
gallery: $(VENV)/.installed
	@$(BIN)/python -m scripts.gallery $(ARGS)

docs: $(VENV)/.installed
	@$(BIN)/mkdocs build --strict --quiet
	@echo "the documentation is in site/; open site/index.html"

# Programs that some tests drive, by Debian's names: a browser for the web page, a decoder for stem files, a
# synthesizer for MIDI. Tests whose program cannot be installed are skipped and say so.
PROGRAMS := chromium ffmpeg fluidsynth
programs:
	@missing=$$(for each in $(PROGRAMS); do command -v $$each >/dev/null || command -v $$each-browser >/dev/null || printf ' %s' $$each; done); \
	test -z "$$missing" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && echo "installing for the tests:$$missing" \
	  && { timeout 300 apt-get update -qq; DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -qq \
	  --no-install-recommends $$missing; } >/dev/null 2>&1 </dev/null; } \
	  || echo "not here, and not to be installed by this user:$$missing; the tests that need it will be skipped"

# Each test file runs in one of JOBS processes, each with one thread of PyTorch's: processes with two threads
# each would wait for one another. Tests wait for browsers and programs, too, so that three processes use two
# cores. The files come in the order of tests/conftest.py.
JOBS ?= 3
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed lint
	$(PYTEST) -m "not slow and not integration"

test: $(VENV)/.installed programs lint
	$(PYTEST) -m "not slow" --durations=10

test-fresh: $(VENV)/.installed programs
	$(PYTEST) -m "not slow" --hypothesis-profile=fresh

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
	rm -rf $(VENV) out site dist
