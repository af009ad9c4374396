# Everything runs from .venv, which the first target that needs it builds. `make help` lists what there is.

PYTHON ?= python3
BIN := .venv/bin
# The marker, not the directory, is the target: a broken-off installation leaves a directory, never a marker.
READY := .venv/.ready
SCHEMATHESIS := build/schemathesis-venv/.ready
MOTO := build/moto-venv/.ready
CHECKOV := build/checkov-venv/.ready
TFLINT := build/tflint
# -c does not reach the environment in which pip builds the package itself; one of these does, depending on pip's age.
PINNED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help .venv lint format docs alerts client-deps server-deps test test-fast test-faults-long test-runbooks test-history test-api test-infra mutate sim sim-pages explore demo drills bench bench-quick clean

help: ## list the targets
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.venv: $(READY) ## build or refresh the environment (PYTHON=python3.12 picks another interpreter)

# Not cleared first: somebody may be running from it, and pip brings what is there to the pinned versions.
$(READY): pyproject.toml constraints.txt
	@echo "environment: creating .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tocsin needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv .venv
	@echo "environment: installing the pinned packages (a minute or so the first time)"
	@$(PINNED) $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,aws]'
	@touch $@
	@echo "environment: ready"

lint: $(READY) ## style, format, types and the arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict service tests docs $(wildcard benchmarks/*.py)
	$(BIN)/lint-imports

format: $(READY) ## repair what can be repaired by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## write the generated sections of ARCHITECTURE.md from the code
	$(BIN)/python docs/generate.py

alerts: $(READY) ## write rules, their tests, dashboards and the index of runbooks from deploy/alerts/catalogue.yaml
	$(BIN)/python -m tocsin.ops.alerts

client-deps: ## install what some tests drive: Alertmanager and Prometheus (Debian, as root), and a client of npm
	tests/acceptance/clients/install

server-deps: $(READY) ## install what real servers need: Java 17 and Maven (Debian, as root), and the servers' jars
	tests/install_servers

# The jars first: no test's time limit pays for the network.
test: $(READY) ## all tests of a pull request
	@$(BIN)/tocsin local fetch >/dev/null || echo "tests on Kafka and Cassandra are skipped: see above"
	$(BIN)/pytest tests

test-fast: $(READY) ## the same without servers and without those of the whole system
	WITHOUT_SERVERS=1 $(BIN)/pytest tests --ignore=tests/acceptance --ignore=tests/faults --ignore=tests/runbooks/test_live.py

test-faults-long: $(READY) ## kill, stop and cut every part of the real engines under load; results in build/faults
	LONG=1 $(BIN)/pytest tests/faults

test-runbooks: $(READY) ## runbooks against alerts, drills, commands, and two regions that run
	$(BIN)/pytest tests/runbooks

test-history: $(READY) ## data that earlier versions wrote, read by today's code
	$(BIN)/pytest tests/history

mutate: $(READY) ## change the core, one thing at a time: does a test notice? (ONLY='tocsin.core.book.*', FRESH=1)
	$(BIN)/python -m tests.mutation.run $(if $(ONLY),'$(ONLY)') $(if $(FRESH),--fresh)

test-api: $(READY) $(SCHEMATHESIS) ## generated requests against the querier (REQUESTS=10000)
	$(BIN)/python tests/api/fuzz.py $(if $(REQUESTS),--requests '$(REQUESTS)')

# Two at a time: one of them waits for the cloud on this machine, while the other takes all the rest.
test-infra: $(READY) $(MOTO) $(CHECKOV) $(TFLINT) ## Terraform, image and units (TOCSIN_TF_PLUGINS=folder of providers; else the registry's)
	INFRA=1 $(BIN)/pytest tests/infra --numprocesses 2 --dist worksteal --durations 10

# Apart from .venv: what it pins is not our business. Ready is the marker, as above.
$(SCHEMATHESIS): tests/api/constraints.txt
	@echo "environment: creating build/schemathesis-venv"
	@$(PYTHON) -m venv --clear build/schemathesis-venv
	@build/schemathesis-venv/bin/pip install --quiet --disable-pip-version-check -c tests/api/constraints.txt schemathesis
	@touch $@

# The same for the cloud on this machine.
$(MOTO): tests/infra/constraints.txt
	@echo "environment: creating build/moto-venv"
	@$(PYTHON) -m venv --clear build/moto-venv
	@build/moto-venv/bin/pip install --quiet --disable-pip-version-check -c tests/infra/constraints.txt 'moto[server]'
	@touch $@

# And for what checks the Terraform.
$(CHECKOV): tests/infra/checkov-constraints.txt
	@echo "environment: creating build/checkov-venv"
	@$(PYTHON) -m venv --clear build/checkov-venv
	@build/checkov-venv/bin/pip install --quiet --disable-pip-version-check -c tests/infra/checkov-constraints.txt checkov
	@touch $@

$(TFLINT): tests/infra/install_tflint
	@tests/infra/install_tflint $@

sim: $(READY) ## whole regions in virtual time, all faults, by seed (SEEDS=300 FROM=1)
	$(BIN)/python -m tests.simulation.simulate $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(FROM),--from '$(FROM)')

sim-pages: $(READY) ## the notifiers in virtual time, all faults, by seed (SEEDS=300 FROM=1)
	$(BIN)/python -m tests.simulation.paging.simulate $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(FROM),--from '$(FROM)')

explore: $(READY) ## all that can happen to the core, within bounds (DEPTH=3: any three changes, for hours)
	$(BIN)/python tests/exploration/explore.py $(if $(DEPTH),--depth '$(DEPTH)')

drills: $(READY) ## break two regions on real servers in every way we know, and judge it; reports in build/drills
	$(BIN)/tocsin drill run --all --target local --yes

demo: $(READY) ## two regions, real alerts, every failure in turn (EVENTS=file ENGINE=name STORE=name)
	$(BIN)/tocsin demo $(if $(EVENTS),--events '$(EVENTS)') $(if $(ENGINE),--engine '$(ENGINE)') $(if $(STORE),--store '$(STORE)')

bench: $(READY) ## measure; results in build/bench
	$(BIN)/python benchmarks/run.py

bench-quick: $(READY) ## the same with small sizes: do the benchmarks still run?
	$(BIN)/python benchmarks/run.py --quick

clean: ## remove results and caches; .venv stays
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find service tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
