# Everything runs in .venv, made on first use. `make demo` and `make test` are the two commands of the README.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint fix check clean gpu gpu-wheels

demo: $(VENV)/.ready
	$(BIN)/chromhub demo -o chromhub-demo --overwrite

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

fix: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint test

# For a GPU machine without a network: the wheels that its image lacks, fetched where there is a package index.
gpu-wheels: $(VENV)/.ready
	$(BIN)/python benchmarks/gpu_wheels.py

# On the GPU machine, by its own Python, which has torch: docs/gpu.md.
MINUTES ?= 8
OUT ?= out/gpu
gpu:
	@$(PYTHON) benchmarks/gpu.py --check
	@$(PYTHON) benchmarks/gpu_wheels.py --install .gpu
	PYTHONPATH=.gpu $(PYTHON) benchmarks/gpu.py --minutes $(MINUTES) -o $(OUT) $(GPU_OPTIONS)

# torch by itself first: the pinned version has CPU wheels; pip would otherwise be free to pick a CUDA build.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info chromhub-demo .gpu .wheels
