# Two commands on a fresh machine: `make storms` and `make test`. Each does all of its own set-up.
# Another interpreter: `make test PYTHON=/path/to/python3.13`. Fewer processes: `make test JOBS=1`.

# The first that really starts and is new enough; a version manager's shim may exist and not start.
ifndef PYTHON
PYTHON := $(shell for python in .venv/bin/python python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; \
	done)
endif

JOBS ?= auto
VENV := .venv/bin/python

# Tests start a hundred processes, each of which would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup storms stress test check format lint types matrix bench bench-rivals museum museum-full real-bugs real-redis cluster browser outside environments test-all fix clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

setup: ## make .venv with all that the project needs (every other target does it too)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'faultloom needs Python 3.11 or later that starts as python3. If yours has another name:' >&2; \
		echo '    make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.13' >&2; exit 1; }
	@"$(PYTHON)" -m tests.interpreters.environment .venv dev

storms: setup ## run every scenario: references hold, broken variants are caught
	@$(VENV) -m pytest scenarios -n $(JOBS)

stress: setup ## run every scenario by 1,920 schedules a class, in shards; TIME=10m: as far as that goes
	@$(VENV) -m pytest scenarios -n $(JOBS) --dist worksteal --timeout 1800 --storm-profile stress \
		$(if $(TIME),--storm-time $(TIME) --storm-unfinished skip)

test: setup ## run the tests of the harness itself
	@$(VENV) -m pytest -n $(JOBS)

check: format lint types test ## format, lint, types and tests, those of the architecture among them

format: setup
	@$(VENV) -m ruff format --check .

lint: setup
	@$(VENV) -m ruff check .

types: setup
	@$(VENV) -m mypy --strict harness scenarios

matrix: setup ## print the kill matrix: every scenario against every class
	@$(VENV) -m harness matrix scenarios

bench: setup ## measure schedules and decisions per second: a table, and JSON in .harness/
	@$(VENV) -m tests.bench

bench-rivals: setup ## install the rivals into an environment of their own, then bench against them
	@$(VENV) -m tests.interpreters.rivals
	@$(VENV) -m tests.bench --rivals .harness/rivals

museum: setup ## find the museum's bugs by default from five seeds, none in the fixed twins, and shrink failures
	@$(VENV) -m tests.museum

museum-full: setup ## the whole table: every strategy, 20 seeds, trace counts; goes on where it was stopped
	@$(VENV) -m tests.museum --full

real-bugs: setup ## find published bugs in old releases, each in an environment of its own, and none in the new
	@$(VENV) -m tests.real_bugs

real-redis: setup ## compare the double of a store with a real server, which must be installed: redis-server
	@$(VENV) -m pytest tests/real_redis -m real_redis

cluster: setup ## run campaigns on a cluster of dask with two workers on this machine, and kill one of them
	@$(VENV) -m pytest tests/campaign -m cluster

browser: setup ## look at the page of a report in Chromium, which must be installed, with chromedriver
	@$(VENV) -m pytest tests/browser -m browser

outside: setup ## the last three side by side: what needs a server, a cluster or a browser
	@$(VENV) -m pytest tests/real_redis tests/campaign tests/browser -m "real_redis or cluster or browser" \
		-n $(JOBS) --dist loadfile

environments: ## make the environments of `make test-all`; it does so by itself
	@"$(PYTHON)" -m tests.interpreters.everywhere --prepare

test-all: setup ## what may differ between Pythons, on every other supported one of this machine
	@$(VENV) -m tests.interpreters.everywhere

fix: setup ## format and mend what the linter can mend by itself
	@$(VENV) -m ruff format .
	@$(VENV) -m ruff check --fix .

clean: ## throw away everything that was generated
	rm -rf .venv .harness dist build
