# `make help` lists the targets. Everything runs in .venv, which `make` creates and keeps in step
# with requirements.lock.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
            $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
READY  := $(VENV)/.ready
LOCK   := uv pip compile --quiet --universal --generate-hashes --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers generated generate unit contract integration e2e large-blob \
        cluster-up cluster-down images chaos bench-fetch bench-scale fuzz lock lock-check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock operator/pyproject.toml fetcher/pyproject.toml client/pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv), or name one: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e operator -e fetcher -e client
	@touch $@

demo: $(READY) ## Run an example flow from a real git server, without a cluster
	@$(BIN)/python -m examples.demo

test: lint types layers generated ## Check everything: lint, types, layers, unit, contract, integration, e2e
	@# Those on the cluster wait a lot: the others run beside them.
	@mkdir -p .pytest_cache; echo "Running tests/e2e beside the others; its report follows theirs ..."; \
	$(BIN)/pytest --no-skips -p no:cacheprovider tests/e2e >.pytest_cache/e2e.log 2>&1 & cluster=$$!; \
	$(BIN)/pytest --no-skips --ignore=tests/e2e tests; others=$$?; \
	wait $$cluster; e2e=$$?; cat .pytest_cache/e2e.log; \
	test $$others -eq 0 && test $$e2e -eq 0

lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## Check types (mypy, strict)
	$(BIN)/mypy

layers: $(READY) ## Check that the layers hold (import-linter)
	$(BIN)/lint-imports

generated: $(READY) ## Check that generated files are in step with the API models
	$(BIN)/python -m flow_operator.api.generate --check

generate: $(READY) ## Generate CRDs, the chart's copy and the reference docs from the API models
	$(BIN)/python -m flow_operator.api.generate

unit: $(READY) ## Run the unit tests
	$(BIN)/pytest --no-skips tests/unit

contract: $(READY) ## Run the tests of the JSON between operator, fetcher and runner
	$(BIN)/pytest --no-skips tests/contract

integration: $(READY) ## Run the fetcher against real git and S3 servers
	$(BIN)/pytest --no-skips tests/integration

e2e: $(READY) ## Run the tests on a real cluster
	$(BIN)/pytest --no-skips tests/e2e

chaos: $(READY) ## Let faults strike operators, API server and etcd (SEED=1 TICKS=500)
	FLOW_CHAOS_SEED=$(or $(SEED),$(shell date +%s)) FLOW_CHAOS_TICKS=$(or $(TICKS),500) \
	  $(BIN)/pytest --no-skips -s tests/e2e/test_chaos.py

large-blob: $(READY) ## Fetch a blob of more than 4 GiB (needs 15 GB of disk and some minutes)
	FLOW_TEST_BLOB_MIB=4200 $(BIN)/pytest --no-skips tests/integration/fetcher/test_git_scale.py -k blob

cluster-up: $(READY) ## Start the test cluster and keep it up (see tests/cluster/README.md)
	$(BIN)/python -m tests.cluster up

cluster-down: $(READY) ## Stop the test cluster
	$(BIN)/python -m tests.cluster down

images: $(READY) ## Build the images and load them into the test cluster
	$(BIN)/python -m tests.cluster images

bench-fetch: $(READY) ## Measure the fetcher beside its peers (needs Go; half an hour)
	$(BIN)/python -m tests.bench fetch

bench-scale: $(READY) ## Measure the operator: storms, 10,000 deployments, failover, latency, soak (an hour)
	$(BIN)/python -m tests.bench scale

fuzz: $(READY) ## Fuzz what reads foreign input (SECONDS=60)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) --jobs 2

lock: ## Pin the newest dependencies (needs uv)
	cd operator && $(LOCK) --no-emit-package flow-operator pyproject.toml --extra controller -o requirements.lock
	cd fetcher && $(LOCK) pyproject.toml -o requirements.lock
	cd fetcher && $(LOCK) --no-emit-package flow-fetcher --constraint requirements.lock --extra full pyproject.toml -o full.lock
	$(LOCK) --no-emit-package flow-operator --no-emit-package flow-fetcher --all-extras --group pyproject.toml:dev \
	  operator/pyproject.toml fetcher/pyproject.toml client/pyproject.toml -o requirements.lock

lock-check: ## Check that everything pinned for the images has wheels for amd64 and arm64 (needs uv)
	@for lock in operator/requirements.lock fetcher/requirements.lock fetcher/full.lock; do \
	  for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28; do for python in 3.11 3.13; do \
	    echo "$$lock on $$platform, Python $$python"; \
	    uv pip compile --quiet --no-header --no-deps --only-binary :all: --python-platform $$platform \
	      --python-version $$python $$lock -o /dev/null || exit 1; \
	  done; done; done

clean: ## Remove what make has made here (the cluster's cache is kept)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
