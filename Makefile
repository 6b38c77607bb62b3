# Two commands for a newcomer: `make run` and `make test`. CI calls the same.
.DEFAULT_GOAL := help
PY := .venv/bin/python

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: .venv/run  ## the dashboard on http://127.0.0.1:3000
	@exec $(PY) -m dashboard_rt serve

test: .venv/dev  ## the unit tests and one pass with real servers, clients and browsers: at most 4 minutes
	@scripts/setup-services
	@scripts/setup-node
	$(PY) -m pytest -n 3 --dist worksteal -m "not slow"

test-slow: .venv/dev  ## the rest: fuzzing, durability, the second instrument, plain ASGI, whole measurements
	@scripts/setup-services
	@scripts/setup-node
	$(PY) -m pytest -n 4 --dist worksteal -m "slow and not alone and not nightly"
	$(PY) -m pytest -m "slow and alone"

test-nightly: .venv/dev  ## what takes longest: an hour of updates, watchdogs at their real pace
	@scripts/setup-services
	@scripts/setup-node
	$(PY) -m pytest -n 3 -m nightly

test-pythons: .venv/dev  ## the fast tests, but for the browser's, on each of Python 3.11 to 3.14 that is installed
	@scripts/setup-services
	@scripts/setup-node
	@scripts/test-pythons

chaos: .venv/dev  ## ten minutes of random faults on servers, PostgreSQL and Redis; SEED=n repeats a run
	@scripts/setup-services
	@exec $(PY) -m tests.chaos $(if $(SEED),--seed $(SEED))

dyno: .venv/dev  ## the Procfile as Heroku would run it, behind a router like Heroku's; ARGS="--web 2" and more: ARGS=--help
	@scripts/setup-services
	@exec $(PY) -m tests.dyno $(ARGS)

check: .venv/dev  ## ruff, mypy, types and size of web/client, and that our documents say and show what their result files say, and name what there is
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy tests
	@scripts/check-web
	$(PY) -m bench claims --check
	$(PY) -m bench pictures --check
	$(PY) -m bench coefficients --check
	$(PY) -m scripts.site check

docs: .venv/dev  ## the documents as a site that needs no server: site/index.html
	@$(PY) -m scripts.site build $(if $(REPOSITORY),--repository $(REPOSITORY))

bench: .venv/dev  ## about a minute: SSE and cable side by side
	@exec $(PY) -m bench quick

.venv/run: requirements.txt pyproject.toml
	@scripts/setup-venv run

.venv/dev: requirements.txt requirements-dev.txt pyproject.toml
	@scripts/setup-venv dev

.DEFAULT:
	@echo "There is no 'make $@'. There is:" >&2; $(MAKE) -s help >&2; exit 2

.PHONY: help run test test-slow test-nightly test-pythons chaos dyno check docs bench
