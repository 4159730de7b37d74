# Everything from a bare machine: `make demo`, `make test`, `make check`. `make slurm`: a SLURM to try.
# VENV= and PYTHON= choose another environment or interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: install install-dev demo test test-ray test-chaos check slurm chaos format clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# --no-compile: torch alone has thousands of modules of which a run imports a few hundred.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	touch $@

demo: install
	$(BIN)/deit-launch sweep sweeps/quickstart.yaml --watch
	$(BIN)/deit-report reports/latest

test: install-dev
	$(BIN)/python tests/run.py

test-ray: install-dev
	$(BIN)/python -m pytest -m "ray and not chaos" tests/ray

# Sweeps on clusters that fail: one seed of `make chaos`, and Ray's node and driver killed. It takes
# minutes, so it is no part of `make test`.
test-chaos: install-dev
	$(BIN)/python -m pytest -m chaos

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_wheel.py

# A SLURM cluster of four nodes on this machine, until Ctrl-C (docs/slurm_testing.md).
slurm: install-dev
	PYTHONPATH=tests $(BIN)/python -m slurm_cluster

# A sweep on a failing cluster, for several seeds: some 140 faults in about half an hour.
chaos: install-dev
	PYTHONPATH=tests:tests/slurm $(BIN)/python -m chaos

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
