# `make` lists the targets. The first one that needs it makes .venv with everything in it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := $(BIN)/.ready
PORT := 8000

# Bytecode is made when it is first needed. Where this variable forbids it, each process would compile torch anew, for 20 seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

# The stamp comes last: an installation that was cut short is done again.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: setup
setup: $(READY)  ## Make .venv with the package and the tools, once

.PHONY: demo
demo: $(READY)  ## Which films next? Train, compare, recommend, report (about 12 minutes)
	$(BIN)/ccf-llm data fetch ml-100k
	$(BIN)/ccf-llm train configs/demo.yaml
	$(BIN)/ccf-llm evaluate runs/demo
	$(BIN)/ccf-llm recommend runs/demo --user 880 --keep
	$(BIN)/ccf-llm recommend runs/demo --liked "Toy Story" --liked "Aladdin" --liked "The Lion King" --keep
	$(BIN)/ccf-llm report runs/demo

.PHONY: serve
serve: $(READY)  ## Serve the demo's model on http://127.0.0.1:8000 (trains it first if it is not there)
	@test -f runs/demo/models/ccf_llm/config.json || $(MAKE) demo
	$(BIN)/ccf-llm serve runs/demo --port $(PORT)

.PHONY: test
test: $(READY)  ## Run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

.PHONY: lint
lint: $(READY)  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: docs
docs: $(READY)  ## Build the site of the documentation into site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

.PHONY: audit
audit: $(READY)  ## Bill of materials (sbom.json) and known vulnerabilities of .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[audit]'
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json $(BIN)/python
	$(BIN)/python .ci/audit.py

.PHONY: clean
clean:  ## Remove .venv, caches and build outputs; runs/ and data/ stay
	rm -rf .venv dist site sbom.json .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
