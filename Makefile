# vitreous: the commands that a developer and CI use. `make` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without a compiler the mark has another name, so that C++ is built once there is one.
COMPILER := $(shell command -v c++ || command -v g++ || command -v clang++)
INSTALLED := $(VENV)/.installed$(if $(COMPILER),,-without-compiler)
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
WORKERS ?= 2

.PHONY: help install test test-slow lint typing tests docs bench bench-ctf class-ranker demo kernels front clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/vitreous/*/*.cpp src/vitreous/*/*/*.cpp)
	@test -w . || { echo "make: $(CURDIR) cannot be written. Clone vitreous into a folder of your own." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: vitreous needs Python 3.11 or newer, and $(PYTHON) is %s. Name another: make install PYTHON=python3.12" % sys.version.split()[0] or 0)'
	@echo "Installing into $(VENV). This takes minutes: PyTorch is large."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@
	@echo "Installed. Go on with: source $(BIN)/activate && vitreous doctor"

install: $(INSTALLED) front ## make .venv and install the package for development

front: ## build the pages of the browser where they changed
	@$(BIN)/python tools/build_backend/vitreous_build.py || true

test: install lint typing tests docs ## everything that CI checks

lint: install ## ruff, import contracts, spelling, size report
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/typos
	$(BIN)/python tools/size_report.py

typing: install ## mypy --strict
	$(BIN)/mypy

tests: install ## the default test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-slow: install ## the tests that take minutes
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

bench-ctf: install ## 300 simulated micrographs fitted and timed; records benchmarks/results/ctf.json
	$(BIN)/vitreous benchmark ctf --o benchmarks/results/ctf.json

class-ranker: install ## train the ranker of 2D classes again (hours): WORK=folder JOBS=threads
	$(BIN)/python -m tools.class_ranker all --work $(or $(WORK),build/class-ranker) --j $(or $(JOBS),1)

docs: install ## build the documentation, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: install ## all benchmarks, side by side with what they are compared with
	$(BIN)/python -m benchmarks

demo: install ## simulate movies and solve a structure from end to end, in demo/ (5 minutes)
	$(BIN)/vitreous demo demo $(if $(SIZE),--size $(SIZE))

kernels: install ## rebuild the C++ modules beside their sources
	$(BIN)/python -m pip install --quiet cmake ninja nanobind
	$(BIN)/cmake -S . -B build/dev -G Ninja -DVITREOUS_IN_PLACE=ON -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python > /dev/null
	$(BIN)/cmake --build build/dev

clean: ## remove what was built
	rm -rf build site $(VENV) src/vitreous/gui/static frontend/node_modules
	find src -name '*.so' -delete
