# `make book` and `make test` do everything on a fresh machine; `make help` lists the rest.
PYTHON ?= python3
TORCH ?= cpu
NAME ?=
VENV := .venv
RUN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready-$(TORCH)
TORCH_PIN := $(shell grep -m1 '^torch==' requirements.txt)
PIP := $(RUN)/python -m pip --disable-pip-version-check --quiet

# One thread per process: chapters and tests run side by side, and results repeat to the last bit.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help book test lab release students hub serve bench lint lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'
	@echo '  Variables: TORCH=cpu|cuda (build of torch), PYTHON=python3.12 (interpreter), NAME=kde (a lab), STUDENTS=DIR (for make students)'

# The CPU wheel comes from PyTorch's own index; where that cannot be reached pip uses what it finds.
$(READY): requirements.txt pyproject.toml
	@case "$(TORCH)" in cpu|cuda) ;; *) echo "TORCH=$(TORCH): expected cpu or cuda" >&2; exit 2 ;; esac
	@echo "Preparing $(VENV) ($(TORCH) build of $(TORCH_PIN)); this takes a few minutes once."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; say which with PYTHON=..." >&2; exit 2; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	@$(RUN)/python -c 'import torch' 2>/dev/null \
	  || $(PIP) install --retries 1 --no-deps --index-url https://download.pytorch.org/whl/cpu $(TORCH_PIN) \
	  || echo "PyTorch's CPU index is out of reach: taking $(TORCH_PIN) from the default index."
else
	@$(PIP) install $(TORCH_PIN)
endif
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.ready-*
	@touch $@

book: $(READY) ## make the environment, run every chapter, build the HTML and print the path to open
	@$(RUN)/python book/_ext/build.py

test: $(READY) ## everything that proves the project, stage by stage with its minutes
	@$(RUN)/python tests/stages.py

lab: $(READY) ## open a lab as a student sees it: make lab NAME=kde
	@test -n "$(NAME)" || { echo 'Say which lab: make lab NAME=kde' >&2; exit 2; }
	@cd labs && $(RUN)/nbgrader generate_assignment --force --create $(NAME)
	@$(RUN)/jupyter lab labs/release/$(NAME)/$(NAME).ipynb

release: $(READY) ## make the students' version of every lab in labs/release, proven free of leaks
	@$(RUN)/coursekit release --all --course labs

students: $(READY) ## make the students' repository in STUDENTS: released labs, chapters as notebooks, results
	@test -n "$(STUDENTS)" || { echo 'Say where: make students STUDENTS=~/students' >&2; exit 2; }
	@$(RUN)/coursekit release --all --course labs --output $(STUDENTS)
	@$(RUN)/python book/_ext/notebooks.py $(STUDENTS)

hub: $(READY) ## start a JupyterHub for the course on this machine: http://127.0.0.1:8000
	@$(RUN)/python deploy/hub.py $(if $(HUB_DIR),--dir $(HUB_DIR))

serve: book ## build the book and serve it on http://localhost:8000
	@$(RUN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

bench: $(READY) ## time the models side by side with their peers
	@$(RUN)/python -m benchmarks.kde

lint: $(READY) ## ruff (rules and format) and mypy
	@$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy

lock: ## rewrite requirements.txt with the newest versions that the ranges in pyproject.toml allow
	@rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	@_build/lock/bin/pip install --quiet --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu $(TORCH_PIN)
	@_build/lock/bin/pip install --quiet '.[book,labs,hub,test]' 'setuptools>=77'
	@_build/lock/bin/pip freeze --all --exclude coursekit --exclude pip | sed 's/+cpu$$//' > _build/lock.txt
	@{ echo '# Exact versions of everything, written by `make lock`; ranges live in pyproject.toml.'; cat _build/lock.txt; } > requirements.txt

clean: ## remove everything that was made, the environment too
	@rm -rf _build .venv labs/release labs/gradebook.db .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
