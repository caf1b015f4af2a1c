# `make run` and `make test` do all set-up by themselves; they need Python 3.11 or newer and pip, nothing else.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test quick check check-deploy sbom audit bench chaos lock clean install install-dev

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: install  ## everything on this machine; ARGS="--upstream http://127.0.0.1:11434/v1" is passed on
	@exec $(BIN)/farebox up $(ARGS)

test: install-dev  ## the whole suite, on embedded Postgres and Valkey
	$(BIN)/pytest -n auto $(ARGS)

quick: install-dev  ## unit and shape tests
	$(BIN)/pytest -n auto tests/unit tests/shape $(ARGS)

chaos: install-dev  ## the long run of the rig; ARGS="--schedules 300 --rigs 2 --seed 1"
	$(BIN)/python -m tests.support.chaos $(ARGS)

bench:  ## how fast it is, beside others; ARGS="--quick" for a few minutes, PYTHON=... for another interpreter
	@$(PYTHON) -m benchmarks.environments --page docs/PERFORMANCE.md $(ARGS)

check: install-dev  ## lint, types, shape
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/shape

check-deploy:  ## Dockerfile, compose file and manifests, by hadolint, check-jsonschema and kubernetes-validate
	@$(PYTHON) scripts/check_deploy.py

sbom:  ## sbom.cdx.json: what is in the image, with versions and licences (CycloneDX)
	@$(PYTHON) scripts/supply_chain.py sbom

audit:  ## is anything known against what Farebox brings along? Asks PyPI
	@$(PYTHON) scripts/supply_chain.py audit

# Hashes, and no download addresses: a lock is the same wherever packages come from.
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q
LOCK := $(COMPILE) pyproject.toml
COMPARED := $(wildcard benchmarks/contenders/*.in deploy/tools/*.in)
lock:  ## pin all dependencies anew; needs uv
	$(LOCK) --extra embedded --extra build -o requirements.lock
	$(LOCK) --extra embedded --extra build --extra huggingface --extra otel --extra dev -o requirements-dev.lock
	$(LOCK) --extra build --extra huggingface --extra otel -c requirements-dev.lock -o requirements-server.lock
	for in in $(COMPARED); do $(COMPILE) --no-annotate $$in -o $${in%.in}.lock || exit; done

clean:  ## forget the virtual environment and all caches; data under .farebox stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .bench .tools

install:
	@$(PYTHON) scripts/install.py requirements.lock

install-dev:
	@$(PYTHON) scripts/install.py requirements-dev.lock
