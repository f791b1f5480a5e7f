# What a person and CI run. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
# The environment's kubectl, mpirun and python3 come first on PATH.
export PATH := $(BIN):$(PATH)
export PYTHONPATH :=

WORK := .mlops
DIGITS := $(WORK)/data/digits
OVERLAY := quickstart/k8s/mlops/multi-node
# horovod or mpi4py; by default Horovod where it was built.
DEMO_COMM ?=
# What of the e2e ring runs: make e2e RING=tests/e2e/test_logs.py
RING ?= tests/e2e
# More arguments for pytest: make test TESTS='tests/unit -k envfile'
TESTS ?=
# How many tests run at a time: make test JOBS=0 runs them in this process.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv demo test coverage e2e bench lint format lock goldens wheel image clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## Make or update the virtual environment in .venv
	@$(PYTHON) tools/environment.py --venv $(VENV) $(if $(filter mpi4py,$(DEMO_COMM)),--without-horovod)

demo: venv ## Train ResNet-50 v1.5 on real images, here, with two Horovod ranks
	@tools/demo $(OVERLAY) $(DIGITS) $(WORK)/demo $(DEMO_COMM)

test: venv ## Run every test that needs no cluster
	@python -m pytest -n $(JOBS) --dist worksteal --durations=20 $(TESTS)

coverage: venv ## Print which lines of the cluster half tests/cluster and tests/unit do not run
	@mkdir -p $(WORK) && rm -f $(WORK)/coverage*
	@coverage run -m pytest -q -n $(JOBS) --dist worksteal tests/cluster tests/unit $(TESTS)
	@coverage combine -q && coverage report

e2e: venv ## Make a real cluster from packages and run the tests that need one (root, Go 1.26, Debian 12)
	@tools/install-e2e-packages
	@[ -n "$$E2E_KUBECONFIG" ] || python -m tests.e2e.cluster build
	@python -m pytest -n $(JOBS) --maxschedchunk 1 $(RING) --e2e --durations=20 $(TESTS)

full: e2e ## As `make e2e`, then the tests that take minutes and measure, one by one
	@E2E_FULL=1 python -m pytest -m full tests/e2e --e2e $(TESTS)

bench: venv ## Time the launcher and the training beside references; a few minutes
	@python tools/bench.py

lint: venv ## Check format, style, types, layers and YAML
	@tools/lint

format: venv ## Rewrite the Python files as `make lint` wants them
	@ruff check --fix --quiet . && ruff format .

lock: ## Renew requirements/*.txt from setup.py (newest versions)
	@PYTHON=$(PYTHON) tools/lock

goldens: venv ## Write the expected renderings of tests/manifests anew
	@UPDATE_GOLDENS=1 python -m pytest -q tests/manifests/test_goldens.py

wheel: venv ## Build the launcher's wheel and source distribution into dist/
	@python -m build --no-isolation --outdir dist .

image: ## Build the training image (docker or podman); REGISTRY=… IMAGE_TAG=…
	@tools/image

clean: ## Remove what was built and measured here: .venv, build, dist, .mlops
	rm -rf $(VENV) build dist $(WORK) launcher/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
