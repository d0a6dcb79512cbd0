# Every task of the project; each installs what it needs first. `make help` lists them.

PYTHON := .venv/bin/python
BENCH  := .venv-bench/bin/python

# What needs a server or a minute of arithmetic, and what needs a whole platform; everything else is fast.
SERVED := real_postgres or real_rabbitmq or prove
SLOW   := $(SERVED) or journey
# Two files at a time, each with servers of its own; one after the other on servers that the environment names.
TWO    := $(if $(HANDSCHLAG_TEST_POSTGRES)$(HANDSCHLAG_TEST_RABBITMQ),,-n 2 --dist loadfile)

# `make run` hands these to the platform, if they are given.
ifneq ($(strip $(BROKER)),)
run: export HANDSCHLAG_BROKER := $(value BROKER)
endif
ifneq ($(strip $(DATABASE)),)
run: export HANDSCHLAG_DATABASE := $(value DATABASE)
endif
ifneq ($(strip $(PORT)),)
run: export HANDSCHLAG_PORT := $(value PORT)
endif

.DEFAULT_GOAL := help
.PHONY: help run test check lint pure contracts prove locks bench chaos doctor clean environment test-environment bench-environment

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: environment ## start the platform with its demo data (ONCE=1 stops after the tour; BROKER=amqp://… DATABASE=postgresql://… PORT=…)
	@.venv/bin/handschlag run $(if $(strip $(ONCE)),--once)

test: lint pure ## everything: style, types, contracts, all tests; starts its own PostgreSQL and RabbitMQ
	@$(PYTHON) -m tests.support.green
	@$(PYTHON) -m pytest -q $(TWO) -m "($(SERVED)) and not journey and not green"
	@$(PYTHON) -m pytest -m "journey and not green"

check: lint pure ## before every commit: style, types, import rules, contracts, the fast tests

lint: test-environment
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet . || { echo "handschlag: not formatted; run .venv/bin/ruff format ." >&2; exit 1; }
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m contracts.check

pure: test-environment
	@$(PYTHON) -m pytest -q -n auto --dist loadfile -m "not ($(SLOW)) and not green"

contracts: environment ## write again what is generated from the code: schemas, AsyncAPI, OpenAPI, the broker's rights
	@$(PYTHON) -m contracts.generate
	@$(PYTHON) -m deploy.rabbitmq.generate

prove: test-environment ## prove the law: its sentences, its agreement with Cedar, open facts, mutants; under a minute
	@$(PYTHON) -m pytest -q -n auto --dist loadfile -m prove tests/policy

doctor: environment ## is this machine ready, and what is to be done if not
	@.venv/bin/handschlag doctor

bench: bench-environment ## measure, beside the limits of the machine and beside peers
	@$(BENCH) -m tests.bench

chaos: test-environment ## an hour of kills and faults under load, and a verdict (HOURS=0.1 for a shorter one)
	@$(PYTHON) -m tests.chaos --hours $(or $(HOURS),1)

locks: ## compile the locks after a version was changed in requirements/*.in (needs Python 3.11)
	@python3.11 requirements/lock.py

clean: ## remove what the tasks made, but no data
	@rm -rf .venv .venv-bench .install.lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@requirements/install runtime

test-environment:
	@requirements/install test

bench-environment:
	@requirements/install bench
