# One word for each thing a person does here; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
READY := .venv/.ready
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11

# A virtual environment does not survive a move: the stamp holds the folder it was made in.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

.PHONY: help
help: ## list what there is
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## install everything this folder needs (again: does nothing)
	@echo "ready: $(BIN)"

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml .ci/setup
	@sh .ci/setup
	@printf '%s' '$(CURDIR)' > $(READY)

.PHONY: check
check: $(READY) ## lint, format, types, import rules, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pytest -q -p no:cacheprovider tests/unit/tooling/test_house.py

.PHONY: format
format: $(READY) ## let ruff put things right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test
test: $(READY) ## every tier in order; TIERS="unit contract" picks some
	@sh .ci/tiers $(TIERS)

.PHONY: demo
demo: $(READY) ## a cluster, a remediation, its story, its audit; then everything is gone
	@$(BIN)/wfe demo

.PHONY: up
up: $(READY) ## start the local stack; ARGS="--tekton scripted --workers 2"
	@$(BIN)/wfe local up $(ARGS)

.PHONY: down
down: $(READY) ## stop the local stack
	@$(BIN)/wfe local down $(ARGS)

.PHONY: bench
bench: $(READY) ## figures; run it alone on the machine; ARGS="--rate 2 --count 60"
	@sh .ci/bench $(ARGS)

.PHONY: compose-up
compose-up: $(READY) ## the same stack as containers
	@sh compose/up $(ARGS)

.PHONY: compose-down
compose-down: ## stop and remove the containers
	@sh compose/down $(ARGS)

.PHONY: lock
lock: $(READY) ## pin the newest allowed versions again, with hashes
	$(COMPILE) --upgrade requirements/uv.in -o requirements/uv.txt
	$(COMPILE) --upgrade pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --upgrade -c requirements/runtime.txt --extra dev pyproject.toml -o requirements/dev.txt
