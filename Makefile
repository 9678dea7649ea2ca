# callfare: what a newcomer types. `make demo` and `make test` need python3 >= 3.11 and make, nothing else.
.DEFAULT_GOAL := help
.PHONY: help demo up test rare kafka recovery calls sdks full lint format types reference docs release bench crash trust run-environment environment clean
BIN := .venv/bin/
export PYTHONPATH :=
unexport PYTHONDONTWRITEBYTECODE  # or each program that a test starts compiles callfare again

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: run-environment  ## let a sample voice agent answer a call and print its cost; DEMO=pipeline: also in real Jaeger
ifeq ($(DEMO),pipeline)
	@$(BIN)python scripts/demo_pipeline.py
else
	@$(BIN)callfare demo
endif

up: run-environment  ## run the service: database, OTLP receivers, web address
	@$(BIN)callfare up

# The tests that reach every line of domain/ and read/, where figures are made. Measuring costs half as much time again,
# so only these are measured.
MEASURED := tests/domain tests/read tests/prices $(addprefix tests/receive/test_,decode.py isolated_spans.py otlp_json.py)

# A file shares its set-ups, so it goes to one worker; tests/conftest.py says which files come first.
BESIDE := -n auto --dist loadfile --no-loadscope-reorder

test: environment  ## run all tests, with the coverage that domain/ and read/ must have
	@$(BIN)python -m pytest $(BESIDE) $(MEASURED) \
	  --cov --cov-report=term-missing:skip-covered --cov-fail-under=100
	@$(BIN)python -m pytest $(BESIDE) tests $(addprefix --ignore=,$(MEASURED))

lint: environment  ## check style, formatting and who imports whom
	@$(BIN)ruff check . && $(BIN)ruff format --check . && $(BIN)lint-imports --no-cache

format: environment  ## put the code into the house's format
	@$(BIN)ruff check --fix . && $(BIN)ruff format .

types: environment  ## check types strictly
	@$(BIN)basedpyright

reference: environment  ## write docs/reference from the code
	@PYTHONPATH=.:instrumentation $(BIN)python -m scripts.reference

docs: environment  ## build the manual into build/manual; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)python -m mkdocs build --strict

release: environment  ## build wheel and sdist, try both on each Python of this machine, list the parts (dist/)
	@$(BIN)python scripts/release.py

full: environment  ## what is slow and rarely broken: once a release, its date and figures into benchmarks/RESULTS.md
	@$(MAKE) --no-print-directory crash release bench rare calls kafka recovery sdks
	@$(MAKE) --no-print-directory demo DEMO=pipeline

bench: environment  ## measure durable spans per second beside the limit of the same PostgreSQL
	@$(BIN)python benchmarks/ingest.py

crash: environment  ## kill the service and its PostgreSQL, ten minutes with one process and ten with two, and check every digit
	@CALLFARE_FULL=1 CALLFARE_CRASH_SECONDS=600 $(BIN)python -m pytest tests/crash --timeout=1800 -s

rare: environment  ## run the tests that are marked `full`: slow, rarely broken, and like one that `make test` runs
	@CALLFARE_FULL=1 $(BIN)python -m pytest $(BESIDE) tests -m full
	@CALLFARE_FULL=1 $(BIN)python -m pytest -n auto tests/store/test_long_traces.py tests/serve/test_openapi.py tests/serve/test_browser.py

trust: environment  ## kill, fuzz, overload, fill the disk, set the clock; adds to the totals of the trial (TRUST_SECONDS a stage)
	@PYTHONPATH=. $(BIN)python -m benchmarks.trust --seconds $(or $(TRUST_SECONDS),100)

kafka: environment  ## kill each of three Kafka brokers while spans come, and check every digit
	@CALLFARE_KAFKA_BROKERS=3 $(BIN)python -m pytest tests/kafka/test_failover.py -q

recovery: environment  ## recover PostgreSQL to a point in time, and fail over to standbys, as docs/operations/recovery.md says
	@CALLFARE_RECOVERY=1 $(BIN)python -m pytest tests/examples/test_recovery.py -q

sdks: environment  ## test each instrumentation with every older release of its SDK that vendors.txt lists
	@CALLFARE_SDKS=all $(BIN)python -m pytest tests/instrumentation/test_older_sdks.py -q -n auto

calls: environment  ## let Pipecat and LiveKit agents call in every combination of instrumentations
	@CALLFARE_CALLS=all $(BIN)python -m pytest tests/calls -q -n auto

run-environment:
	@python3 scripts/bootstrap.py run

environment:
	@python3 scripts/bootstrap.py dev

clean:  ## remove what these commands made
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .coverage dist
