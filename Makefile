PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# More than half of the time of a test with real servers is waiting for them; of a unit test little is.
WORKERS := $(shell echo $$((5 * $$(nproc) / 2)))
UNIT_WORKERS := $(shell echo $$(($$(nproc) + 1)))

.DEFAULT_GOAL := help

# Images set it; without bytecode each of the hundreds of processes the tests start compiles Proof anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(READY) proof-verify.pyz ## stamp files and buy in the sandbox, then verify the proof without us
	$(BIN)/python scripts/demo.py $(if $(KEEP),--keep)

test: $(READY) proof-verify.pyz ## run the whole suite
	$(if $(ARGS),,$(BIN)/python -m tests.support.tools)
	$(BIN)/python -m pytest -n $(if $(ARGS),0,$(WORKERS)) --dist loadfile --no-loadscope-reorder $(ARGS)

quick: $(READY) ## lint, format and the unit tests, while you work
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n $(UNIT_WORKERS) --dist worksteal tests/unit

check: $(READY) ## lint, format, types, import order, openapi drift
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/check_floor.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/build_openapi.py --check

serve: $(READY) ## run Proof on this machine (data in ./data)
	$(BIN)/proof serve

bench: $(READY) ## measure, as ratios against a baseline of the same run
	$(BIN)/python -m bench $(ARGS)

mutate: $(READY) proof-verify.pyz ## put faults in copies of the tree and see whether the tests find them
	$(BIN)/python scripts/mutate.py $(ARGS)

openapi: $(READY) ## write docs/openapi.json anew
	$(BIN)/python scripts/build_openapi.py

forge: $(READY) ## try 100,000 seeded mutations of receipts on the verifier
	$(BIN)/python -m tests.support.receipt_mutations $(ARGS)

verifier: proof-verify.pyz ## build the verifier as one file for any Python 3.11

release: $(READY) ## build what a release has into dist: two wheels, the verifier as one file, hashes
	rm -rf dist
	$(BIN)/python scripts/build_wheels.py dist
	$(BIN)/python scripts/build_verifier.py dist/proof-verify.pyz
	cd dist && sha256sum proof* > SHA256SUMS

lock: ## resolve the dependencies anew (needs pip-tools)
	pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url \
	  --no-emit-find-links --extra dev -o requirements/dev.txt pyproject.toml

clean: ## remove what was built here, not ./data
	rm -rf .venv dist proof-verify.pyz .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Proof needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

proof-verify.pyz: $(READY) $(shell find src/proof/verify -name "*.py") scripts/build_verifier.py
	$(BIN)/python scripts/build_verifier.py $@

.PHONY: help demo test quick check serve bench mutate openapi forge verifier release lock clean
