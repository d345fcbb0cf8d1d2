# Two commands do all set-up on a fresh Debian or Ubuntu with Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test check soak mutants bench schemas docs clean

# A small project, from nothing to an answered prediction, in a folder of its own.
demo: $(STAMP)
	PORT=$(PORT) bash examples/quickstart/demo.sh

# Everything that is proved, but the long repeats.
test: $(STAMP) check
	CI=$(CI) $(BIN)/python -m pytest -m "not soak" -n 2 --dist worksteal

# What needs no run: lint, format, types, and who may import whom.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Long repeats of everything; under 25 minutes on two free cores.
soak: $(STAMP)
	$(BIN)/python -m pytest -m soak -p no:randomly -n 2 --dist worksteal

# The package with one line broken, again and again: which test sees it? Minutes; it fails where a mutant survives the whole suite.
mutants: $(STAMP)
	$(BIN)/python tests/support/mutants.py

# Figures beside those of peers; nothing fails by time.
bench: $(STAMP)
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/applying.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/serving.py 5
	$(BIN)/python benchmarks/serving_native.py 5
	$(BIN)/python benchmarks/images.py

# The JSON Schemas of specs and plans, from the code.
schemas: $(STAMP)
	$(BIN)/mlops schemas schemas

# docs/reference.md, from the kinds and the commands.
docs: $(STAMP)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .mlops build *.egg-info

# Debian and Ubuntu ship Python without venv: it is installed where apt-get may be used.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "mlops needs Python 3.11 to 3.13, and $(PYTHON) is another: name one, for example PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,postgres,http]'
	@touch $@
