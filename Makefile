# Developer commands. Needs Python 3.11 and make; everything else is installed as wheels into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --python-version 3.11 --generate-hashes --strip-extras \
	--no-header --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help run install test faults simulate torture docs deploy-test chromium browser-test desk-test clients-test check bench bench-market bench-quick gate peers search s3 analytics ccxt format lock release pre-commit clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

run: install ## start everything on this machine; Ctrl-C stops it
	@$(BIN)/trade up

install: .venv/installed ## install what is missing into .venv

# The stamp depends on the files that decide the contents of .venv, so a repeated run costs one stat per file.
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
	@$(BIN)/python -m apps.stack.questdb_jar || echo "continuing without it" >&2
	@touch $@

# These suites use every core and run alone. All others run three at a time, each with its own stacks and servers: on two cores, a quarter of their time is waiting.
ALONE := tests/simulation tests/torture
# A real browser: make browser-test, make desk-test; clients of others: make clients-test
LATER := tests/browser tests/clients

test: install ## run every fast test, on its own servers (the last suites run even if the first ones fail)
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=10 $(ALONE:%=--ignore=%) $(LATER:%=--ignore=%); others=$$?; $(BIN)/pytest $(ALONE) && exit $$others

faults: install ## run the tests that kill, disconnect and starve real processes and servers (about three minutes)
	@$(BIN)/pytest tests/faults tests/flows/test_kill.py tests/flows/test_snapshots.py

simulate: install ## simulate seeded histories of the whole core on a virtual clock (SEEDS="0..500")
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),0..500)

torture: install ## run hours of kills, power cuts, races, damage and histories (one part: python -m tests.torture kill --rounds 50)
	@$(BIN)/python -m tests.torture

docs: install ## regenerate the pages and dashboards that come from the code
	@$(BIN)/python -m config.reference
	@$(BIN)/python -m tests.lifecycle_page
	@$(BIN)/python -m tests.security_page
	@$(BIN)/python infra/grafana/dashboards.py

deploy-test: install ## test the real containers: build, up, an order, kill, down and up (needs Docker with compose, or COMPOSE_LAB)
	@COMPOSE_LAB=$(or $(COMPOSE_LAB),$(wildcard ../shared/tools/compose-lab)) $(BIN)/pytest -n0 -v tests/deploy/with_engine.py

chromium:
	@command -v chromium >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; } || { \
		echo "Chromium is needed and is not installed, and Debian's package could not be installed (as root): these tests cannot run" >&2; exit 1; }

DESK_TESTS := $(addprefix tests/browser/test_desk,.py _sessions.py _lists.py _places.py _forms.py _algos.py)

browser-test: install chromium ## try to trade from pages in a real browser (installs Debian's chromium if it is missing, as root)
	@$(BIN)/pytest -n0 -v tests/browser $(DESK_TESTS:%=--ignore=%)

desk-test: install chromium ## use the desk in a real browser as a trader does (installs Debian's chromium if it is missing, as root)
	@$(BIN)/pytest -n0 -v $(DESK_TESTS)

clients-test: install .clients/installed .clients-trade-api/installed .clients-lumibot/installed ## trade through the Alpaca facade with four clients of Alpaca as they are (730 MB into .clients*)
	@$(BIN)/pytest -n0 -v -W default tests/clients

# Of alpaca-mcp-server only a file in its wheel is needed: Alpaca's description of its API.
.clients/installed: requirements-clients.lock requirements-clients-spec.lock
	@rm -rf .clients
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target .clients \
		-r requirements-clients.lock -r requirements-clients-spec.lock
	@touch $@

.clients-trade-api/installed .clients-lumibot/installed: .clients-%/installed: requirements-clients-%.lock
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(@D) -r $<
	@touch $@

bench: install ## benchmark orders, /check, replay and restart: three minutes (longer runs: docs/performance.md)
	@$(BIN)/python -m tests.bench.lives --json bench.json $(LOADS)
	@$(BIN)/python -m tests.bench.check --json bench-check.json
	@$(BIN)/python -m tests.bench.keys --json bench-keys.json
	@$(BIN)/python -m tests.bench.replay
	@$(BIN)/python -m tests.bench.restart

bench-market: install ## benchmark the market plane and the archive: decoders, gateway, normalizer, sink-ticks beside its bare ceiling (five minutes)
	@$(BIN)/python -m tests.bench.decoders
	@$(BIN)/python -m tests.bench.market_gateway
	@$(BIN)/python -m tests.bench.market_normalizer
	@$(BIN)/python -m tests.bench.market_sink
	@$(BIN)/python -m tests.bench.archive

gate: install ## run the validation gate: 1000 orders/s over all hops, then verify all counts (SECONDS=300 TOPOLOGY=services BESIDE=0.3)
	@$(BIN)/python -m tests.bench.gate --seconds $(or $(SECONDS),300) --topology $(or $(TOPOLOGY),unit) --beside $(or $(BESIDE),0) --json gate.json

bench-quick: install ## detect slowdowns: ratios to the bare ceiling of the same run; fails below 85 % of the recorded ratios
	@$(BIN)/python -m tests.bench.quick

peers: install ## benchmark the core against its bare parts and two usual designs (needs PostgreSQL from the system packages)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	@$(BIN)/python -m tests.bench.peers.run --json peers.json

search: install ## install OpenSearch for trade up --with search: 65 MB of jars into the user's Maven cache
	@$(BIN)/python -m apps.stack.opensearch_server

# Built once and kept: `make clean` leaves them.
SERVER ?= versitygw
SERVERS := $(CURDIR)/.servers
VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0
SEAWEEDFS := github.com/seaweedfs/seaweedfs/weed

s3: .servers/$(SERVER) ## build an S3 server for trade up --with s3: versitygw, or SERVER=seaweedfs (12 CPU minutes); needs Go

.servers/versitygw:
	@command -v go >/dev/null || { echo "Go is needed to build versitygw" >&2; exit 1; }
	@echo "building versitygw (two minutes of processor time)"
	@GOBIN=$(SERVERS) GOFLAGS= nice go install -ldflags "-s -w" $(VERSITYGW)

# weed's own module replaces a dependency, which `go install` refuses: so a module of ours replaces it and requires weed.
.servers/seaweedfs:
	@command -v go >/dev/null || { echo "Go is needed to build SeaweedFS" >&2; exit 1; }
	@echo "building SeaweedFS (twelve minutes of processor time, 4 GB of caches)"
	@rm -rf .servers/build && mkdir -p .servers/build
	@cd .servers/build && export GOFLAGS= && go mod init servers && \
		go mod edit -replace github.com/tyler-smith/go-bip39=github.com/cosmos/go-bip39@v1.0.0 && \
		go get -tool $(SEAWEEDFS)@v0.0.0-20261109003541-7506e5f91cd6 && nice go build -ldflags "-s -w" -o ../seaweedfs $(SEAWEEDFS)
	@rm -rf .servers/build

analytics: install ## install the engine of ClickHouse (chdb) for trade up --with analytics: half a gigabyte into .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-analytics.lock

ccxt: install ## install ccxt for venues of the kind ccxt:<exchange>, whose quotes are inexact: 100 MB into .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-ccxt.lock

check: install ## check format, lint, types, import contracts and tidy rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/pytest -q tests/test_tidy.py

format: install ## format and fix the files with ruff
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: install ## lock the newest versions that pyproject.toml allows, with hashes and without addresses
	@$(UV_COMPILE) --upgrade --extra dev --extra servers -o requirements.lock
	@$(UV_COMPILE) --constraint requirements.lock -o requirements-run.lock
	@$(UV_COMPILE) --constraint requirements.lock --extra peers -o requirements-peers.lock
	@$(UV_COMPILE) --constraint requirements.lock --extra analytics -o requirements-analytics.lock
	@$(UV_COMPILE) --constraint requirements.lock --extra ccxt -o requirements-ccxt.lock
	@$(UV_COMPILE:pyproject.toml=--group clients) -o requirements-clients.lock
	@$(UV_COMPILE:pyproject.toml=--group clients-trade-api) -o requirements-clients-trade-api.lock
	@$(UV_COMPILE:pyproject.toml=--group clients-lumibot) -o requirements-clients-lumibot.lock
	@echo alpaca-mcp-server==2.4.0 | $(UV_COMPILE:pyproject.toml=-) --no-deps -o requirements-clients-spec.lock
	@! grep -n '://' requirements.lock requirements-run.lock requirements-peers.lock requirements-analytics.lock requirements-ccxt.lock requirements-clients*.lock

pre-commit: install ## install git hooks that run ruff, mypy and the import contracts
	@$(BIN)/pre-commit install

release: check ## date the changelog, set the version, write its golden journal, commit and tag (VERSION=0.3.0)
	@$(BIN)/python infra/release.py "$(VERSION)"

clean: ## remove .venv and caches; keep .trade, which has the journal
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
