# Each target works alone on a fresh clone: it makes the virtual environment first, once.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= mesh,viz,images,onnx,dev
DEMO   ?= runs/demo
# Large tensors stay in the heap: asking the system for fresh zeroed pages costs up to a third of a training step.
MALLOC ?= glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296
# More arguments for pytest, for example: make test ARGS="-k knn -x"
ARGS   ?=

comma := ,
BIN   := $(VENV)/bin
# What is compiled against the installed torch has to see it.
OPEN  := $(if $(filter ops,$(subst $(comma), ,$(EXTRAS))),--no-build-isolation)
READY := $(VENV)/.ready-$(subst $(comma),-,$(EXTRAS))

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-browser bench experiments docs docs-test docs-numbers lint types format check clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## make the virtual environment (PYTHON=, VENV=, EXTRAS=mesh,viz,images,onnx,dev)

demo: export GLIBC_TUNABLES := $(MALLOC)
demo: $(READY)  ## train on Furniture-10, then classify a mesh that it has never seen
	@rm -f $(DEMO)/state.pt  # a demonstration starts afresh, where a run would ask to be resumed
	$(BIN)/mgic-geo train --out $(DEMO)
	$(BIN)/python -c "$$WRITE_MESH" $(DEMO)/unseen_chair.off
	$(BIN)/mgic-geo predict $(DEMO)/unseen_chair.off --weights $(DEMO)
	@echo "pictures: $(DEMO)/confusion.png $(DEMO)/curves.png"

test: $(READY)  ## the whole suite on all cores, warnings as errors, less the tests marked slow or browser
	$(BIN)/python -m pytest -n auto -m "not slow and not browser" $(ARGS)

test-slow: $(READY)  ## the tests marked slow
	$(BIN)/python -m pytest -m slow $(ARGS)

test-browser: $(READY)  ## look at reports in Chromium (CHROMIUM=, or the one that is installed)
	$(BIN)/python -m pytest -m browser tests/viz $(ARGS)

bench: export GLIBC_TUNABLES := $(MALLOC)
bench: export OMP_WAIT_POLICY := PASSIVE
bench: $(READY)  ## measure everything against its peers, under 20 minutes (ARGS="--only width")
	$(BIN)/python -m scripts.benchmarks $(ARGS)

experiments: export GLIBC_TUNABLES := $(MALLOC)
experiments: export OMP_WAIT_POLICY := PASSIVE
experiments: $(READY)  ## the paper's tables and figures, short budgets, resumable: hours (ARGS="table_01 coupling")
	$(BIN)/python -m scripts.experiments $(ARGS)

docs:  ## the site in docs/_build/html, warnings as errors, no network
	@$(MAKE) --no-print-directory install EXTRAS="$(EXTRAS)$(if $(findstring docs,$(EXTRAS)),,$(comma)docs)"
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python -m scripts.check_links docs/_build/html
	@echo "open docs/_build/html/index.html"

docs-test: $(READY)  ## run the code of every page of the site, and check its types
	$(BIN)/python -m scripts.check_types
	$(BIN)/python -m pytest -n auto tests/docs $(ARGS)

docs-numbers: $(READY)  ## write the numbers of README and site from results/
	$(BIN)/python -m scripts.docs_numbers

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy
	$(BIN)/mypy

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint types test  ## all that a commit must pass

clean:  ## remove what tools left behind (not the environment, data or runs)
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -path './$(VENV)' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is told of torch first: the constraints choose the tested build, and nothing later replaces it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is missing or older than 3.10; name another: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "no virtual environment in $(VENV); Debian and Ubuntu need: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(if $(OPEN),$(BIN)/python -m pip install -q "setuptools>=77" wheel)
	$(BIN)/python -m pip install -q $(OPEN) -c constraints.txt -e ".[$(EXTRAS)]"
	@case ",$(EXTRAS)," in *,mesh,*) $(BIN)/python -c "import open3d" 2> /dev/null || \
	  echo "open3d does not import, so what needs it is skipped; on Debian and Ubuntu: apt-get install libusb-1.0-0";; esac
	@touch $@

define WRITE_MESH
import sys
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.io import write_off

write_off(sys.argv[1], furniture_mesh("chair", seed=2024))
endef
export WRITE_MESH
