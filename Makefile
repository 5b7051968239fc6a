# What a person types. Needs Python 3.11 and make; everything else comes as wheels into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --python-version 3.11 --generate-hashes --strip-extras \
	--no-header --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help run install test faults simulate torture docs deploy-test check bench bench-quick gate peers format lock release pre-commit clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

run: install ## start everything on this machine; Ctrl-C stops it
	@$(BIN)/trade up

install: .venv/installed ## what is missing into .venv; nothing to do the second time

# The stamp depends on what decides the contents of .venv, so a second run costs one stat of each.
.venv/installed: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "Python 3.11 is needed and '$(PYTHON)' was not found: install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "'$(PYTHON)' is older than Python 3.11: name a newer one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@$(BIN)/python -m apps.stack.questdb_jar || echo "going on without it" >&2
	@touch $@

# Histories use every core by themselves, and kills want them too. All the others run two at a time, with stacks and servers of their own.
ALONE := tests/simulation tests/torture

test: install ## every fast test, on servers of its own (the last ones run also after a failure before them)
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 $(ALONE:%=--ignore=%); others=$$?; $(BIN)/pytest $(ALONE) && exit $$others

faults: install ## the part of the tests in which real processes and servers are killed, cut off and starved (about three minutes)
	@$(BIN)/pytest tests/faults tests/flows/test_kill.py tests/flows/test_snapshots.py

simulate: install ## seeded histories of the whole core on a virtual clock (SEEDS="0..500")
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),0..500)

torture: install ## hours of kills, power cuts, contended orders, damage and histories (one part: python -m tests.torture kill --rounds 50)
	@$(BIN)/python -m tests.torture

docs: install ## the pages and dashboards that are made from the code
	@$(BIN)/python -m config.reference
	@$(BIN)/python infra/grafana/dashboards.py

deploy-test: install ## the containers for real: build, up, an order, kill, down and up (needs Docker with compose, or COMPOSE_LAB)
	@COMPOSE_LAB=$(or $(COMPOSE_LAB),$(wildcard ../shared/tools/compose-lab)) $(BIN)/pytest -n0 -v tests/deploy/with_engine.py

bench: install ## lives at fixed rates and saturated, /check, replay, restart: three minutes (longer ones: docs/performance.md)
	@$(BIN)/python -m tests.bench.lives --json bench.json $(LOADS)
	@$(BIN)/python -m tests.bench.check --json bench-check.json
	@$(BIN)/python -m tests.bench.replay
	@$(BIN)/python -m tests.bench.restart

gate: install ## the validation gate: 1000 orders/s over all hops, then everything is counted (SECONDS=300 TOPOLOGY=services BESIDE=0.3)
	@$(BIN)/python -m tests.bench.gate --seconds $(or $(SECONDS),300) --topology $(or $(TOPOLOGY),unit) --beside $(or $(BESIDE),0) --json gate.json

bench-quick: install ## has the core become slower? ratios to the bare ceiling in the same run, red below 85 % of the recorded ones
	@$(BIN)/python -m tests.bench.quick

peers: install ## the core against the bare parts and two usual ways, in one run (needs PostgreSQL from the system's packages)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	@$(BIN)/python -m tests.bench.peers.run --json peers.json

check: install ## format, lint, types, tidy rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --quiet
	@$(BIN)/pytest -q tests/test_tidy.py

format: install ## let ruff put the files right
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: install ## newest versions that pyproject.toml allows, hashed, without addresses
	@$(UV_COMPILE) --upgrade --extra dev --extra servers -o requirements.lock
	@$(UV_COMPILE) --constraint requirements.lock -o requirements-run.lock
	@$(UV_COMPILE) --constraint requirements.lock --extra peers -o requirements-peers.lock
	@! grep -n '://' requirements.lock requirements-run.lock requirements-peers.lock

pre-commit: install ## hooks of git that run ruff, mypy and the import contracts
	@$(BIN)/pre-commit install

release: check ## date the changelog, set the version, write its golden journal, commit and tag (VERSION=0.3.0)
	@$(BIN)/python infra/release.py "$(VERSION)"

clean: ## remove .venv and caches; keeps .trade, where the journal is
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
