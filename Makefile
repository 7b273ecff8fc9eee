# Everything that is done with this repository. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

NPM := sh web/npm.sh
STATIC := llmgate/daemon/static
PAGE := $(STATIC)/index.html

.DEFAULT_GOAL := help
.PHONY: help demo cluster-demo serve setup check test trust page services bench bench-quick bench-cluster bench-start bench-lists bench-tui bench-chat fuzz soak audit lock wheel example docs pictures clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo page ## Start the gateway with a real model; nothing else is needed
	@exec $(BIN)/llmgate serve --demo $(ARGS)

serve: $(VENV)/.demo page ## Start the gateway in front of Ollama on this machine
	@exec $(BIN)/llmgate serve $(ARGS)

cluster-demo: $(VENV)/.demo page services ## Three daemons with one waiting line behind nginx, to watch and to break
	@sh bench/install.sh
	@exec $(BIN)/python -m deploy.cluster_demo

setup: $(VENV)/.dev ## Install what development needs into .venv

check: setup ## Lint, types, architecture and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m "not slow"

# Hundreds of processes are started: with this, which container images like to set, each would compile everything anew.
check test: export PYTHONDONTWRITEBYTECODE :=

test: setup page services ## Set everything up and run every test
	$(BIN)/ruff check .
	@# Three at a time on two cores: many tests wait for a broker that dies or for a process that starts.
	(set -x; $(BIN)/pytest -n 3 --maxschedchunk 2 -m "not alone and not long" || $(ONCE_MORE))
	@# Types and the page are checked in the time that the last tests leave over, and what came of it is told after them.
	@($(IDLY) $(BIN)/mypy && $(BIN)/lint-imports && $(IDLY) $(NPM) run -s check && $(IDLY) $(NPM) -s test) >$(VENV)/types.log 2>&1 & types=$$!; \
	  (set -x; $(BIN)/pytest -m "alone and not long" || $(ONCE_MORE)); tests=$$?; \
	  wait $$types; types=$$?; cat $(VENV)/types.log; exit $$((tests || types))
# Only when a core has nothing else to do, where the system knows of that.
IDLY := $(shell chrt --idle 0 true 2>/dev/null && echo chrt --idle 0 || echo nice -n 19)
# Two cores are not always quick enough for two browsers, or for a broker beside one: what failed is looked at once more
# with nothing beside it, and fails for good if it fails again.
ONCE_MORE := $(BIN)/pytest --last-failed --last-failed-no-failures none

page: $(PAGE) ## Build the chat page

trust: setup page services ## Everything fails, for long, and all long tests (under an hour); ARGS="--seed 7": those faults again
	$(BIN)/python -m tests.trust --minutes 42 $(ARGS)
	$(BIN)/pytest -m long
	LONG=1 $(NPM) -s test src/render/hostile.test.tsx

services: ## Install the servers that tests start privately (Debian packages)
	@sh tests/services/install.sh

bench: setup services ## Measure the gateway beside other products, and write docs/benchmarks.md (about twenty minutes)
	@sh bench/install.sh
	$(BIN)/python -m bench $(ARGS)

bench-quick: setup ## Measure the gateway beside a bare nginx, and write nothing down (about two minutes)
	@sh bench/install.sh
	$(BIN)/python -m bench.relay nginx llmgate

bench-cluster: setup services ## Measure what a shared line costs (about three minutes)
	$(BIN)/python -m bench.cluster

bench-start: setup ## Measure how long `llmgate --help` takes (half a minute)
	$(BIN)/python -m bench.start

bench-lists: setup services ## Measure what a page of each list takes, over years of data (about ten minutes)
	$(BIN)/python -m bench.lists

bench-tui: setup ## Measure what the dashboard costs under load (about twelve minutes)
	$(BIN)/python -m bench.tui

bench-chat: setup page services ## Measure open chats, and how smoothly the page draws (about five minutes)
	$(BIN)/python -m bench.chat

fuzz: setup ## Ask our own APIs many more random questions than the tests do (about ten minutes)
	LLMGATE_FUZZ=200 $(BIN)/pytest -q tests/admin/test_schemathesis.py

soak: setup services ## An hour of short requests, a fifth of them given up: is one lost, does it grow? (MINUTES=2: shorter)
	@exec $(BIN)/python -m bench.soak --minutes $(or $(MINUTES),60) $(ARGS)

audit: setup web/node_modules/.package-lock.json $(VENV)/audit/.done ## Look for advisories about what is installed with the gateway
	$(BIN)/python -m deploy.audit $(AUDIT)/bin/pip-audit requirements-demo.lock
AUDIT := $(VENV)/audit

lock: setup ## Write the lock files anew from pyproject.toml
	$(BIN)/uv pip compile -q $(LOCK) -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile -q $(LOCK) -o requirements-demo.lock --extra demo --group build pyproject.toml
	$(BIN)/uv pip compile -q $(LOCK) -o requirements-build.lock --group build
	$(BIN)/uv pip compile -q $(LOCK) -o requirements-node.lock --group node
	$(BIN)/uv pip compile -q $(LOCK) -o requirements-uv.lock --group uv
	$(BIN)/uv pip compile -q $(LOCK) -o requirements-audit.lock --group audit
	$(BIN)/uv pip compile -q $(LOCK) -o requirements-dev.lock --extra demo --group build --group dev pyproject.toml
LOCK := --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header

wheel: setup page ## Build wheel and sdist into dist/
	@# One wheel is left: pip refuses to install two versions, and dist/*.whl would name both.
	rm -rf dist
	$(BIN)/python -m build --no-isolation

example: setup ## Write llmgate.toml.example anew from the settings
	$(BIN)/python -m llmgate.config_example > llmgate.toml.example

docs: setup ## Write docs/cli.md anew from the commands
	$(BIN)/python -m tests.tools.cli_reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

pictures: setup page services ## Draw the dashboard and the chat page anew, for docs/ and for the tests that compare
	$(BIN)/python -m tests.tui.pictures docs/tui
	$(BIN)/python -m tests.tui.pictures --renew tests/tui/snapshots
	$(BIN)/python -m tests.browser.pictures --docs docs/chat

clean: ## Remove everything that was installed or built
	rm -rf $(VENV) $(STATIC) web/node_modules dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is missing. Install it with: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing. Install it with: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements-demo.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing the gateway and the demo model (about 200 MB, once) ..."
	@sh deploy/install.sh requirements-demo.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing what development needs ..."
	@sh deploy/install.sh requirements-dev.lock
	@touch $@ $(VENV)/.demo

$(VENV)/audit/.done: requirements-audit.lock | $(VENV)/.dev
	$(BIN)/python -m venv --without-pip $(VENV)/audit
	$(BIN)/uv pip install --quiet --python $(VENV)/audit/bin/python --no-deps --require-hashes -r requirements-audit.lock
	@touch $@

web/node_modules/.package-lock.json: web/package-lock.json web/.npmrc | $(VENV)/bin/python
	@echo "Installing what the chat page is built with ..."
	@$(NPM) ci --silent
	@touch $@

$(PAGE): web/node_modules/.package-lock.json web/index.html web/vite.config.ts $(shell find web/src web/public -type f)
	@echo "Building the chat page ..."
	@$(NPM) run --silent build -- --logLevel warn
	@touch $@
