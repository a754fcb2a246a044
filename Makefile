# The README's two commands are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-all fuzz lint bench prove addon window-test clean backend blender blender45 blender52

python := .venv/bin/python
code := protocol backend blender_addon tests build_addon.py
# The checker would ask the network whether it is the newest of its kind.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

help:  ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: backend blender addon  ## lift two photos in Blender, animate, render; result in build/demo
	@.venv/bin/levitor demo

test: backend blender addon  ## every test that needs no GPU, weights or display, in one Blender (5.0)
	@scripts/test.sh plain server blender

test-all: backend addon  ## the same, in Blender 4.5 and 5.2 too; downloads both the first time
	@scripts/test.sh plain server blender blender45 blender52

fuzz: backend  ## 40 times as many random examples, from a seed it prints; SEED=1 TIMES=5 say others
	@SEED=$(SEED) TIMES=$(TIMES) scripts/fuzz.sh

lint: backend  ## ruff, pyright and codespell; no warnings
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --diff . || { echo 'Run `.venv/bin/ruff format .`.' >&2; exit 1; }
	@.venv/bin/pyright --warnings
	@.venv/bin/codespell
	@echo "lint: clean"

bench: backend  ## measure the hot steps; a table, and JSON in build/
	@$(python) -m tests.benchmarks

prove: backend  ## train a small model from nothing and measure whether it obeys its control; resumable
	@scripts/prove.sh

addon: backend  ## build dist/levitor-X.Y.Z.zip, the extension for Blender
	@$(python) build_addon.py

window-test: backend  ## drive a real Blender window with a real mouse (needs root, Linux)
	@scripts/window_test.sh

clean:  ## remove what was built; environments and downloads stay
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find $(code) -name __pycache__ -prune -exec rm -rf {} +

# Environments: made on demand, kept until what they are made from changes.
backend blender blender45 blender52:
	@scripts/environment.sh $@
