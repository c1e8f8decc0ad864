# Two commands set everything up: `make rehearse` and `make test`. Each makes its own virtual environment when there
# is none. To choose another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
VLLM ?= .venv-vllm
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread per process: two OpenMP threads on shared cores ran up to ten times slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: rehearse test faults test-browser test-extras test-ray test-remote test-vllm lint wheel clean

rehearse: $(READY)
	$(BIN)/pytest preregs/issue_310.yaml --rehearse

test: $(READY)
	$(BIN)/pytest tests -n 2 --dist worksteal

# Needs the system's own chromium and chromedriver, and npm for the accessibility rules; fails where one is missing.
# On Debian: apt-get install chromium chromium-driver npm
test-browser: $(READY) tests/browser/node_modules
	PREREG_BROWSER=needed $(BIN)/pytest tests/browser

tests/browser/node_modules: tests/browser/package-lock.json
	npm ci --prefix tests/browser --no-audit --no-fund
	touch tests/browser/node_modules

# A store on S3, against moto's server on 127.0.0.1.
test-remote: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,s3]' 'moto[server,s3]'
	PREREG_REMOTE=needed $(BIN)/pytest tests/remote

# Ten times the kills of the ordinary suite, a full disk at each write in turn, and ten races: most of an hour. The
# seed is printed; to draw the same again: make faults PREREG_FAULT_SEED=...
faults: $(READY)
	@seed=$${PREREG_FAULT_SEED:-$$(date +%s)}; echo "PREREG_FAULT_SEED=$$seed"; \
	PREREG_FAULTS=$${PREREG_FAULTS:-200} PREREG_FAULT_SEED=$$seed $(BIN)/pytest tests/faults -n 2 --dist worksteal -rP

# Jobs on a Ray cluster of two node processes on this machine; the ordinary suite leaves them out where there is no Ray.
test-ray: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,ray]'
	PREREG_RAY=needed $(BIN)/pytest tests/cluster

# The vLLM sampler against transformers, by vLLM's CPU build in an environment of its own (3 GB, three minutes).
test-vllm: $(VLLM)/.ready
	$(VLLM)/bin/python -m pytest tests/engines -s

$(VLLM)/.ready: tests/engines/requirements.lock
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --no-deps --require-hashes --requirement tests/engines/requirements.lock
	$(VLLM)/bin/pip install --quiet --no-deps --editable .
	touch $(VLLM)/.ready

# RO-Crate, W&B and MLflow by the real libraries, without any network; fails where one is missing.
test-extras: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[crate,wandb,mlflow]'
	PREREG_EXTRAS=needed $(BIN)/pytest tests/extras

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
