# Cloister. `make` lists what can be asked for; README.md tells the story.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help
help: ## List what can be asked for
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-zA-Z_-]*:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## ---- the two commands ------------------------------------------------------------------------------------------------
.PHONY: demo test down
demo: init ## Local cluster, Cloister, two tenants Ready (CLUSTER=kubeconfig VALUES=file: on your own cluster; ALSO=pdfa-judge: with veraPDF)
	@VALUES="$(VALUES)" $(BIN)/python -m tools.demo $(if $(filter kubeconfig,$(CLUSTER)),--own-cluster) $(addprefix --also=,$(ALSO))

test: init ## Everything: lint, types, import rules, unit, cluster and end-to-end tests
	@$(BIN)/python -m tools.check test

down: ## End everything `make demo` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m localcluster down; else echo "nothing to end: .venv is not there"; fi

## ---- set-up ----------------------------------------------------------------------------------------------------------
.PHONY: init
init: $(VENV)/.synced ## Python environment from the hashed lock, and the Debian packages it needs

$(VENV)/.synced: requirements.lock tools/apt-packages
	@tools/apt-install tools/apt-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test "$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2)" = "$(UV_VERSION)" || $(BIN)/pip install --quiet uv==$(UV_VERSION)
	@echo "· Python environment from requirements.lock"
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@printf '%s\n' "$(CURDIR)/operator" "$(CURDIR)/audit-service" "$(CURDIR)/tenant-app" "$(CURDIR)" \
	    > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cloister.pth"
	@$(BIN)/python -m tools.scripts
	@touch $@

## ---- by hand ---------------------------------------------------------------------------------------------------------
.PHONY: env cluster images install lint type unit crds lock bench campaign traceability hooks
env: ## Shell lines that point kubectl, helm and cloister at the local cluster: eval "$$(make -s env)"
	@$(BIN)/python -m localcluster env
	@echo 'export PATH="$(CURDIR)/$(VENV)/bin:$$PATH"'

cluster: init ## Only the local cluster
	@$(BIN)/python -m localcluster up

images: init ## Only the images (ALSO=pdfa-judge: that one too)
	@$(BIN)/python -m localcluster images $(addprefix --also=,$(ALSO))

install: init ## Install Cloister into the cluster that KUBECONFIG names, with VALUES=file
	@VALUES="$(VALUES)" $(BIN)/python -m tools.demo --own-cluster --install-only

lint: init ## Style, import rules, generated files, the lock
	@$(BIN)/python -m tools.check lint

type: init ## Types
	@$(BIN)/mypy

unit: init ## Tests that need no cluster
	@$(BIN)/python -m tools.check unit

crds: init ## Generate crds/ from the models
	@$(BIN)/python -m tenant_operator.api.crd crds

lock: init ## Resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --all-extras \
	    --python-version 3.11 --custom-compile-command "make lock" pyproject.toml -o requirements.lock

traceability: init ## Generate docs/traceability.md, with the results of the last `make test`
	@$(BIN)/python tools/traceability.py $(addprefix --junit ,$(wildcard $(VENV)/results-*.xml))

campaign: init ## What takes an hour and belongs into the night: 200 crashes of the audit service and of the app, every bit of a bundle
	@CLOISTER_AUDIT_CRASHES=200 $(BIN)/pytest -m audit_campaign tests/audit_service tests/audit_contract
	@CLOISTER_APP_KILLS=200 $(BIN)/pytest tests/tenant_app/test_crash.py -q

bench: init ## Benchmarks, each written into bench/RESULTS.md (ten minutes or more; on a machine with nothing else to do)
	@$(BIN)/python -m bench.audit --write
	@$(BIN)/python -m bench.database --write
	@$(BIN)/python -m bench.app --write

hooks: init ## Install the pre-commit hooks
	@$(BIN)/pre-commit install
