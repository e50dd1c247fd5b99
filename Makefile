# The commands of daily work; `make` alone lists them. Each makes or refreshes .venv as it needs.
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made with.

BIN := .venv/bin
# Runs a command whose result is worth reading only when it fails; what it says meanwhile is on stderr.
quietly = result=$$($(1)) || { code=$$?; echo "$$result"; exit $$code; }
# Tests wait more than they work, so the files of two run at a time; ARGS="-n 0" takes one after the other.
side_by_side := -n 2 --dist loadfile
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help up down test lint format docs clean

help: ## List the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

up: ## Install what is missing and bring up the local environment
	@sh tools/venv.sh services
	@$(call quietly,$(BIN)/renecinfra doctor local --install)
	@$(BIN)/renecinfra up local --yes

down: ## Take down the local environment; asks before data is deleted
	@sh tools/venv.sh services
	@$(BIN)/renecinfra down local

test: ## Run the tests; ARGS="…" goes to pytest
	@sh tools/venv.sh dev
	@$(call quietly,$(BIN)/renecinfra doctor --install)
	@$(BIN)/python -m pytest $(side_by_side) -m "not slow and not e2e and not nightly" $(ARGS)

lint: ## Check style, types, imports and Terraform files
	@sh tools/venv.sh dev
	@$(BIN)/nox --no-venv -s lint

format: ## Bring all files to their form
	@sh tools/venv.sh dev
	@$(BIN)/nox --no-venv -s format

docs: ## Build the documentation into site/
	@sh tools/venv.sh docs
	@$(BIN)/python -m mkdocs build --strict --quiet

clean: ## Remove .venv and what the tools left; keeps environments
	rm -rf .venv .nox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis site
