# Two commands matter to a newcomer: `make demo` and `make test`. Both set everything up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.9.5
PIP_AUDIT_VERSION := 2.10.1
CYCLONEDX_VERSION := 7.5.0

.PHONY: help setup demo up test faults lint schemas audit sbom lock clean

help: ## Show this list.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready $(VENV)/.compiled ## Prepare the environment alone.

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Maillage needs Python 3.11 or newer; name one: make PYTHON=python3.13")'
	@echo "Preparing the environment in $(VENV) (once)..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

# The matching engine is compiled for this processor; each state of its source has a folder of machine code.
$(VENV)/.compiled: $(VENV)/.ready $(wildcard services/matcher/index/*.py services/matcher/index/*/*.py)
	@$(BIN)/python -m services.matcher.index.compile
	@touch $@

demo: setup ## Show a need reaching its ambassador (ARGS=--once ends after the delivery).
	@$(BIN)/maillage demo $(ARGS)

up: setup ## Run the whole system on this machine until Ctrl-C.
	@$(BIN)/maillage up $(ARGS)

test: setup lint ## Check the code and run every test that this machine can run.
	@$(BIN)/python -m pytest --numprocesses auto $(ARGS)

faults: setup ## Disturb the running system in every way that we know and write docs/faults.md (an hour; ARGS="--scale short" is less).
	@$(BIN)/python -m tests.faults --report docs/faults.md $(ARGS)

lint: setup ## Style, types, direction of imports, drift of the contract.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m schemas.generate --check
	@$(BIN)/python -m services.console.settings_table --check
	@$(BIN)/python -m services.console.metrics_table --check

schemas: setup ## Write the contract's JSON Schemas and AsyncAPI document again.
	@$(BIN)/python -m schemas.generate
	@$(BIN)/python -m services.console.settings_table
	@$(BIN)/python -m services.console.metrics_table

audit: setup ## Look up known weaknesses of what we build on (asks a public database of them).
	@$(BIN)/uvx --quiet pip-audit==$(PIP_AUDIT_VERSION) --requirement requirements.lock --require-hashes --disable-pip --vulnerability-service osv

sbom: setup ## Write what we build on as a CycloneDX document: dist/sbom.json.
	@mkdir -p dist
	@$(BIN)/uvx --quiet --from cyclonedx-bom==$(CYCLONEDX_VERSION) cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.json requirements.lock
	@echo "dist/sbom.json: $$(grep -c '"purl"' dist/sbom.json) parts"

lock: setup ## Choose versions again.
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --all-extras --upgrade pyproject.toml -o requirements.lock

clean: ## Remove the environment and what was made from the code; what `make up` keeps in .maillage stays.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
