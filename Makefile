# NovaPulse. `make run` starts it, `make test` checks it; both install what they need.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# uv where it is installed, else a private copy in .venv-uv.
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
# Compiled bytecode makes each start seconds faster; the wheel's build hook is not needed, as `up` builds the frontend.
SYNC := HATCH_BUILD_NO_HOOKS=true UV_COMPILE_BYTECODE=1 $(UV) sync --frozen
RUN := $(UV) run --frozen --no-sync

.PHONY: help run test lint audit bench screenshots docs frontend browser tools wheel release-check sync clean

help: ## Show what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: sync ## Start NovaPulse (web, worker, scheduler, Valkey); Ctrl-C stops it
	@$(RUN) novapulse up

test: tools frontend browser ## Run all tests: unit, integration, browser, chaos
	@$(RUN) python -m pytest -n 2 --dist loadfile -q $(ARGS)

lint: sync ## Check style, types and import rules
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright
	$(RUN) lint-imports

audit: sync ## Look for known vulnerabilities of what we depend on, and for secrets in the sources
	@$(RUN) pip-audit --progress-spinner off --skip-editable | grep -v 'could not be audited'
	@git ls-files -z | grep -zvE 'uv\.lock|package-lock\.json' | xargs -0 $(RUN) detect-secrets-hook --baseline .secrets.baseline

bench: sync frontend ## Measure NovaPulse beside BullMQ on this machine
	@$(RUN) python -m bench $(ARGS)

screenshots: sync frontend browser ## Take a picture of every page into docs/screenshots/
	@$(RUN) python -m tests.e2e.screenshots $(ARGS)

docs: sync ## Build the documents as a site into site/; links are checked
	@$(RUN) python docs/reference.py
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build -q

frontend: sync ## Compile the frontend if it is missing or out of date
	@$(RUN) python -m novapulse.launch.frontend

browser: sync ## Find or install what the tests need from the system
	@$(RUN) python -m tests.system

tools: sync ## Install what checks the files of deployment, which only the tests need
	@$(SYNC) --group deploy

release-check: ## See that version, chart, Compose and changelog agree; with TAG=v1.2.3, that it can be released
	@python3 deploy/release.py check $(TAG)

wheel: ## Build the wheel with the compiled frontend in it
	@$(UV) build

sync: $(filter .venv-uv/bin/uv,$(UV)) ## Install the locked dependencies into .venv
	@$(SYNC)
	@$(RUN) python -m compileall -q novapulse worker

.venv-uv/bin/uv:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "NovaPulse needs Python 3.11 or newer as python3." >&2; exit 1; }
	@python3 -m venv .venv-uv || \
	  { rm -rf .venv-uv; echo "Python cannot make virtual environments here. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@.venv-uv/bin/pip install --quiet --disable-pip-version-check uv || { rm -rf .venv-uv; exit 1; }

clean: ## Remove what was built; data in .novapulse stays
	rm -rf .venv .venv-uv .web .web.docs .web.lock dist site novapulse/_frontend novapulse/_frontend.new novapulse/_frontend.old
