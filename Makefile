# One task file: people, continuous integration and the README run the same lines.
# Needs make and Python 3.11 or newer, nothing else. PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt
CHECK := import sys; v = "%d.%d" % sys.version_info[:2]; \
	sys.version_info >= (3, 11) or sys.exit("seqgan-music needs Python 3.11 or newer; $(PYTHON) is " + v + \
	". Name another one: make PYTHON=python3.12"); \
	__import__("importlib.util").util.find_spec("ensurepip") and __import__("importlib.util").util.find_spec("venv") \
	or sys.exit("$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python" + v + "-venv")

.DEFAULT_GOAL := help
.PHONY: help demo test lint fix docs site clean

help: ## say what can be made
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 12

demo: .venv/ready ## set up, learn from midi_data/ with the quick preset, write song.mid
	$(BIN)/seqgan-music train midi_data/ --config quick
	$(BIN)/seqgan-music sample --out song.mid
	@echo
	@echo "Your song:     $(CURDIR)/song.mid   (open it in any player, notation program or DAW)"
	@echo "The run:       $(CURDIR)/runs/latest"
	@echo "Another song:  $(BIN)/seqgan-music sample --out song2.mid"
	@echo "Your own MIDI: $(BIN)/seqgan-music train FOLDER"

test: .venv/ready-test lint ## set up, then the whole suite, lint, format and types
	$(BIN)/python -m pytest

lint: .venv/ready-test ## lint, format and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: .venv/ready-test ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/ready-test ## write docs/config.md anew from the code
	$(BIN)/python docs/config_tables.py > docs/.config.md.part
	mv docs/.config.md.part docs/config.md

site: .venv/ready-docs ## build the documentation as pages that open from disk, in site/
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -d .sphinx docs site
	@echo "Open $(CURDIR)/site/index.html"

clean: ## remove the environment and what tools left behind; runs/ and music stay
	rm -rf .venv build dist site .sphinx .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Stamps: each step runs again only where one of its sources has changed, or where it was cut short.
.venv/made:
	@command -v "$(PYTHON)" >/dev/null || \
		{ echo "There is no '$(PYTHON)'. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c '$(CHECK)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/ready: $(SOURCES) | .venv/made
	$(PIP) install --editable . --constraint constraints.txt
	@touch $@

.venv/ready-docs: $(SOURCES) | .venv/made
	$(PIP) install --editable ".[docs]" --constraint constraints.txt
	@touch $@ .venv/ready

.venv/ready-test: $(SOURCES) | .venv/made
	$(PIP) install --editable ".[test,score]" --constraint constraints.txt
	@touch $@ .venv/ready
