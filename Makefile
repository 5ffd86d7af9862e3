PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
MANIFESTS = $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))
# Python starts many times, and would compile all that it imports each time.
unexport PYTHONDONTWRITEBYTECODE
COMPOSE := docker compose
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.PHONY: help install tools python run test test-quick test-one chaos histories soak fuzz mutation coverage check check-deploy prose format bench bench-short schema openapi lock clean
.PHONY: lint types migrations documents clients build secrets up migrate-up stop

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: python ## Install Automart into .venv
	@"$(PYTHON)" deploy/install.py

tools: python ## Install Automart and the development tools into .venv
	@"$(PYTHON)" deploy/install.py --dev

python:
	@test -n "$(PYTHON)" || { echo "Automart needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.13"; exit 1; }

run: install ## Start Automart in this folder and sync the catalogue
	$(BIN)/automart up --sync

# Many tests wait for processes: more of them run at once than there are processors. Handed out one
# by one, the long ones do not queue behind each other.
PYTEST = $(BIN)/pytest -n 5 --dist load --maxschedchunk 1 --quiet
# Few of these wait: more processes would only import the same modules more often.
QUICK = -n 3 -m "not processes and not clients and not fuzz and not chaos and not histories" --database sqlite

test: tools ## Run all tests, on SQLite, and on PostgreSQL if it is installed
	$(PYTEST)

test-quick: tools ## Run the tests that start no processes, on SQLite
	$(PYTEST) $(QUICK)

test-one: tools ## Run one file or test: make test-one TEST=tests/web/test_etags.py [DATABASE=sqlite]
	$(BIN)/pytest $(if $(DATABASE),--database $(DATABASE)) $(TEST)

clients: tools ## Generate clients from docs/openapi.json, and use them
	$(BIN)/pytest -n 2 --quiet -m clients tests/test_clients.py

chaos: tools ## Kill and cut off every part of a running deployment, and look for lost or doubled work
	$(BIN)/pytest -n 0 --quiet -rP -m chaos tests/chaos

histories: tools ## Check thousands of concurrent requests: does some order explain all responses?
	$(BIN)/pytest -n 0 --quiet -rP -m histories tests/histories

soak: tools ## Run a long load on both databases: make soak [MINUTES=60] [DATABASE=SQLite]. Nothing may grow or be left over
	$(BIN)/python -m benchmarks soak $(or $(MINUTES),60) $(if $(DATABASE),--database $(DATABASE))

fuzz: tools ## Send requests at random as each role, on both databases, and try parsers longer (EXAMPLES=30)
	EXAMPLES=$(or $(EXAMPLES),30) $(BIN)/pytest -n 2 --quiet -rP -m fuzz tests/fuzz
	$(BIN)/pytest -n 2 --quiet -m hypothesis --hypothesis-profile fuzz tests

mutation: tools ## Change the code of an area, and list what no test notices: make mutation AREA=addresses SAMPLE=300
	$(BIN)/python -m tests.support.mutation $(AREA) $(SAMPLE)

coverage: tools ## Run the tests of test-quick, and show what they do not reach
	$(PYTEST) $(QUICK) --cov --cov-report=term:skip-covered

# Its parts can run at the same time: make -j2 --output-sync check
check: lint types migrations documents prose check-deploy ## Check everything but the tests

lint: tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: tools
	$(BIN)/mypy

migrations: tools
	$(BIN)/python -m tests.support.migrations
	$(BIN)/python -m tests.support.schema --check

documents: tools
	$(BIN)/python -m tests.support.openapi --check
	$(BIN)/python -m tests.support.openapi_lint

prose: tools ## Check spelling, and the words of docs/plain-english.txt
	$(BIN)/codespell --dictionary - --dictionary docs/plain-english.txt

check-deploy: tools ## Lint image, compose, Kubernetes and workflows; known vulnerabilities of packages
	$(BIN)/hadolint Dockerfile
	$(BIN)/yamllint --strict .github deploy compose.yaml .pre-commit-config.yaml .yamllint.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --no-progress --offline .github
	$(BIN)/kubernetes-validate --strict --quiet $(MANIFESTS)
	$(BIN)/python -m tests.support.audit

format: tools ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: tools ## Compare with plain references, and write the table of benchmarks/README.md
	$(BIN)/python -m benchmarks

bench-short: tools ## The comparisons of bench with little data
	$(BIN)/python -m benchmarks --short

schema: tools ## Write docs/schema.md, the diagram of the tables, from the models
	$(BIN)/python -m tests.support.schema

openapi: tools ## Write docs/openapi.json, the OpenAPI document, unless it breaks clients unannounced
	$(BIN)/python -m tests.support.openapi

# The tools of development limit some packages that also run in production: one version for both.
lock: tools ## Compile the requirements files from pyproject.toml
	$(LOCK) --group dev pyproject.toml -o requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt pyproject.toml -o requirements/base.txt
	$(LOCK) --group clients -o requirements/clients.txt
	$(LOCK) --group bench -o requirements/bench.txt

build: ## Build the container image
	$(COMPOSE) build

secrets: ## Generate the secrets of compose.yaml, unless they exist
	@deploy/make-secrets.sh

up: secrets ## Start everything in containers: web, worker, PostgreSQL, Redis, MinIO
	$(COMPOSE) up --detach

migrate-up: secrets ## Upgrade the database of the containers to the newest schema
	$(COMPOSE) run --rm migration

stop: ## Stop the containers; the data is kept
	$(COMPOSE) stop

clean: ## Remove .venv and caches (instance/ with its data stays)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage*
