# Runwright: `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
UNIT := not contract and not e2e and not torch

##@ Start here

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Cluster, tracking stack, operator and a MNIST run, from nothing to the final table
	@$(BIN)/python -m tools.demo

.PHONY: test
test: ## Everything this machine allows: lint, unit, contract, end to end on a real node
	@python3 tools/test.py

##@ Develop

.PHONY: setup
setup: ## Make the environment (uv, locked dependencies)
	@python3 tools/setup.py

.PHONY: test-unit
test-unit: setup ## Unit and property tests (under a minute, no cluster)
	@$(BIN)/pytest -q -n 2 -m "$(UNIT) and not slow"

.PHONY: lint
lint: setup ## Formatting, lint, types, import walls, generated files
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m runwright.apis.crd --check
	@$(BIN)/python -m tools.rights --check
	@$(BIN)/python examples/mnist/render.py --check

.PHONY: generate
generate: setup ## Write the CRDs, the API reference, the tables of rights and the example's manifests anew
	@$(BIN)/python -m runwright.apis.crd
	@$(BIN)/python -m tools.rights
	@$(BIN)/python examples/mnist/render.py

.PHONY: format
format: setup ## Format the code
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check --fix -q .

##@ Cluster

.PHONY: cluster-up
cluster-up: setup ## Start the test cluster: KUBECONFIG, kind, or a bare node built here
	@$(BIN)/python -m tests.cluster up

.PHONY: cluster-down
cluster-down: setup ## Stop the test cluster and everything it started
	@$(BIN)/python -m tests.cluster down

.PHONY: bench
bench: setup ## Benchmark: TrainingRuns beside bare Jobs on simulated nodes, as ratios in one run
	@$(BIN)/python -m tests.bench
