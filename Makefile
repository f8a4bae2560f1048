# Every command sets up what it needs in .venv. `make demo` and `make test` are the two to know; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CELERY_STAMP := $(VENV)/.celery

.PHONY: install demo screenshots test test-matrix test-celery lint docs lambda soak bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local,postgres]' --group dev --group docs
	touch $@

# make demo KEEP=1 leaves Airflow's UI up until Ctrl-C; AIRFLOW=3.2.2 runs it on that version, in an environment of its own.
demo: install
	$(BIN)/python -m $(if $(AIRFLOW),programs.matrix --demo --airflow $(AIRFLOW),programs.demo.demo) $(if $(KEEP),--keep)

# The pictures of the page in docs/images, of a real Airflow in the system's Chromium (apt-get install chromium).
screenshots: install
	$(BIN)/python -m programs.screenshots

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m programs.lint_exports

# The pages of docs/ with the reference, as a web site in site/. A link that leads nowhere is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: lint
	$(BIN)/python -m pytest $(or $(PYTEST_ARGS),-n 2 --dist loadfile)

# Every supported Airflow on every Python that is here; AIRFLOW=3.2.2 PYTHON_VERSIONS=3.12 for some. CONSTRAINTS names a
# folder of Airflow's official constraints files, for which the day of a release stands in otherwise.
test-matrix: install
	$(BIN)/python -m programs.matrix $(if $(AIRFLOW),--airflow $(AIRFLOW)) \
	  $(if $(PYTHON_VERSIONS),--python $(PYTHON_VERSIONS)) $(if $(CONSTRAINTS),--constraints $(CONSTRAINTS))

# Two Celery workers without a shared disk; three minutes. Needs redis-server and PostgreSQL from the system.
test-celery: install $(CELERY_STAMP)
	$(BIN)/python -m programs.celery

$(CELERY_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group celery
	touch $@

# The zip of the AWS Lambda function, in dist/. PYTHON_VERSIONS=3.12 ARCH=arm64 for another runtime.
lambda: install
	$(BIN)/python -m programs.lambda_zip --arch $(or $(ARCH),x86_64) $(if $(PYTHON_VERSIONS),--python $(PYTHON_VERSIONS))

soak: install
	$(BIN)/python -m programs.soak --kills $(or $(KILLS),200) --examples $(or $(EXAMPLES),300) \
	  --rounds $(or $(ROUNDS),50) --seconds $(or $(SECONDS),300)
	$(BIN)/python -m programs.soak.airflow_events
	if command -v redis-server >/dev/null; then $(MAKE) test-celery; else echo 'No redis-server, so no test-celery.'; fi

# make bench SIZE=full takes most of an hour. The programs that we are compared with go into .bench.
bench: install
	SIZE=$(or $(SIZE),quick) $(BIN)/python -m programs.benchmarks

clean:
	rm -rf $(VENV) site .bench .demo .matrix .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
