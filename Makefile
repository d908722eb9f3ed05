# make demo | test | check | bench | parity: each makes .venv if it is not there, installs with constraints.txt, and runs.
# PIP_ARGS chooses an index or a wheel folder, for instance one with CPU builds of torch.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt $(PIP_ARGS)
FRAME := pyproject.toml constraints.txt

.PHONY: demo test test-oldest check bench parity clean

demo: .venv/demo.installed
	$(BIN)/calibkit demo --out calibkit-demo --force

test: .venv/dev.installed
	$(BIN)/python -m pytest -n auto

# The lower bounds of pyproject.toml, in an environment of their own.
test-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pytest -n auto

check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every table of docs/benchmarks.md, in an environment of its own, for the peers bring many packages along; a quarter of an hour,
# 10 GB of memory, and 4 GB in the temporary folder. make bench QUICK=1 takes a tenth of the rows.
BENCH := .venv-bench/bin/python -m benchmarks
bench: .venv-bench/installed
	$(BENCH).import_time $(if $(QUICK),--runs 3)
	$(BENCH).throughput $(if $(QUICK),--quick --runs 3)
	$(BENCH).peers $(if $(QUICK),--quick --limit 5,--limit 60)
	$(BENCH).files $(if $(QUICK),--quick --runs 3)
	$(BENCH).scaling $(if $(QUICK),--quick --runs 3)
	$(BENCH).scale $(if $(QUICK),--quick,--most 1e8)
	$(BENCH).loss $(if $(QUICK),--runs 3)

# The peers' own numbers against convention=, in an environment of their own: they bring many packages along.
parity: .venv-parity/installed
	.venv-parity/bin/python -m benchmarks.parity

clean:
	rm -rf .venv .venv-oldest .venv-parity .venv-bench calibkit-demo

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.installed: $(FRAME) | .venv/bin/python
	$(INSTALL) -e ".[train]"
	touch $@

.venv/dev.installed: $(FRAME) | .venv/bin/python
	$(INSTALL) -e ".[dev]"
	touch $@

.venv-bench/installed: $(FRAME)
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet -c constraints.txt $(PIP_ARGS) -e ".[train,bench]"
	touch $@

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt $(PIP_ARGS) -e ".[dev]"
	touch $@

.venv-parity/installed: $(FRAME)
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet -c constraints.txt $(PIP_ARGS) -e ".[train,parity]"
	touch $@
