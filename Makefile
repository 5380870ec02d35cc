# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# More than the two cores of a small machine: many tests wait for processes.
PYTEST := -m pytest -n 3 --dist worksteal

# The modules that do no I/O, and the tests that alone must take every branch of them.
PURE := adapter/signing.py,adapter/matchers.py,adapter/durations.py,adapter/routing.py,adapter/time_intervals.py,adapter/authentication.py,adapter/links.py,adapter/heartbeats.py,adapter/schedules/*,adapter/telling/*,adapter/sources/*,adapter/paging/*,adapter/rendering/*,adapter/delivery/*
PURE_TESTS := $(foreach module,signing matchers durations routing time_intervals authentication links heartbeats schedules telling sources paging rendering repairs delivery,$(wildcard tests/test_$(module)*.py))

.DEFAULT_GOAL := help
.PHONY: help install demo run test test-lowest lint format cov mutation schema lock wheel faults bench image ci clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## Set up the virtual environment

$(VENV)/.installed: requirements-dev.txt pyproject.toml adapter/__init__.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "uvms-adapter needs Python 3.11 or newer; say make PYTHON=python3.12, for example")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Ring simulated phones: Alertmanager and Grafana bodies in, calls out
	$(BIN)/uvms-adapter demo

run: install ## Serve routes.yaml with the simulated vendor until stopped
	$(BIN)/uvms-adapter serve --config routes.yaml --simulate --insecure-no-auth --database sqlite:///uvms-adapter.db

test: install ## Run every test
	$(BIN)/python $(PYTEST) $(PYTEST_ARGS)

test-lowest: $(BIN)/python ## Run every test with the oldest dependencies that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable . --group dev
	.venv-lowest/bin/python $(PYTEST) $(PYTEST_ARGS)

lint: install ## Check style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cov: install ## Prove that tests take every branch of the pure layer
	$(BIN)/python $(PYTEST) --cov --cov-report= $(PURE_TESTS)
	$(BIN)/python -m coverage report --include='$(PURE)' --show-missing --skip-covered --fail-under=100

mutation: install ## Show what the tests of signing, delivery and paging would not notice
	$(BIN)/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut results

faults: install ## Break the real processes in every way, and count calls lost and doubled
	PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS_ARGS)

bench: install ## Measure how many times as long we take as what we stand on
	PYTHONPATH=tests $(BIN)/python -m bench $(BENCH_ARGS)

image: install ## Build the image and run it, and the Pods of the chart (minutes; needs root)
	$(BIN)/python -m pytest -m image $(PYTEST_ARGS) tests/test_image.py tests/test_image_pod.py

schema: install ## Write routes.schema.json anew from the code
	$(BIN)/uvms-adapter config schema > routes.schema.json

wheel: install ## Build the wheel, install it elsewhere and try it there
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build/wheel-venv && $(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	build/wheel-venv/bin/pip install --quiet --disable-pip-version-check --no-deps dist/*.whl
	cd build && wheel-venv/bin/uvms-adapter --version && wheel-venv/bin/uvms-adapter check-config ../routes.yaml && wheel-venv/bin/uvms-adapter demo > /dev/null

ci: lint test cov demo wheel image ## Everything that must hold before a change lands

lock: $(BIN)/python ## Compile the locked requirements from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" pyproject.toml --all-extras --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" pyproject.toml --all-extras --group dev --constraint requirements.txt --output-file requirements-dev.txt
	echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" - --constraint requirements-dev.txt --output-file requirements-build.txt

clean: ## Remove what the targets above made
	rm -rf $(VENV) .venv-lowest .cache build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache mutants

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
