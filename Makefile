# Two commands set everything up: `make rehearse` and `make test`. Each makes its own virtual environment when there
# is none. To choose another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread per process: two OpenMP threads on shared cores ran up to ten times slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: rehearse test lint wheel clean

rehearse: $(READY)
	$(BIN)/pytest preregs/issue_310.yaml --rehearse

test: $(READY)
	$(BIN)/pytest tests -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(READY)
	$(BIN)/python -m build --wheel

$(READY): pyproject.toml constraints.txt
	@start=$$(date +%s); \
	$(PYTHON) -m venv $(VENV) && \
	$(BIN)/pip install --quiet --constraint constraints.txt torch && \
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' && \
	touch $(READY) && \
	echo "installation: $$(( $$(date +%s) - start )) s"

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
