# The two commands of README.md. Both set up everything themselves in .venv.
#
#   make demo    read two pages in INT8 on the simulated chip, beside ONNX Runtime in F32
#   make test    the whole test suite of a user
#
# PYTHON picks the interpreter (3.10 or newer): make demo PYTHON=python3.12
# WHEEL is a wheel to use instead of building one: make demo WHEEL=dist/tpumlir-0.1.0-....whl
#
# For those who work on it:
#
#   make lint      style and types
#   make tidy      clang-tidy on the C++ that differs from SINCE
#   make sanitize  tests under the address and undefined behaviour sanitizers
#   make fuzz      damaged files for the readers, SECONDS long
#   make fuzz-models  random models through all stages and modes, SECONDS long
#   make docs      the pages that are made from the code, docs/generated
#   make site      the documentation as a site, into build/site; its links are checked
#   make wheels    a wheel for every CPython from 3.10 to 3.14 that is installed, into dist/

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
SINCE  ?= main
SECONDS ?= 600
SEED   ?= 0
FIRST  ?= 0
ASAN   ?= build/asan
BIN    := $(VENV)/bin

export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Everything that pip's build looks at: a change of one of these reinstalls. Not what tools keep in hidden folders.
SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc cmake python -name '.*' -prune -o -type f \
             -not -name '*.so' -not -name '*.pyc' -print 2>/dev/null)

.PHONY: demo test wheels lint tidy sanitize fuzz fuzz-models docs site clean force
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "make: expected Python 3.10 or newer, got $$($(PYTHON) --version 2>&1) (try: make PYTHON=python3.12)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

# What the environment was installed from: the sources or a wheel. Changes only when that does.
$(VENV)/.source: force | $(BIN)/python
	@test -z "$(WHEEL)" || test -f "$(WHEEL)" || \
	  { echo "make: expected a wheel at WHEEL=$(WHEEL), got nothing there (try: make wheels; ls dist)" >&2; exit 1; }
	@echo "$(or $(WHEEL),sources)" | cmp -s - $@ || echo "$(or $(WHEEL),sources)" > $@

# Built once for both commands: pip compiles in a folder of a new name each time,
# so a second build would compile everything again.
$(VENV)/.wheel: $(VENV)/.source $(or $(WHEEL),$(SOURCES)) | $(BIN)/python
	@rm -rf $(VENV)/wheel
	$(if $(WHEEL),mkdir -p $(VENV)/wheel && cp "$(WHEEL)" $(VENV)/wheel/,$(BIN)/python -m pip wheel --no-deps -w $(VENV)/wheel .)
	$(BIN)/python -m pip install --force-reinstall --no-deps $(VENV)/wheel/tpumlir-*.whl
	@touch $@

$(VENV)/.demo-installed: $(VENV)/.wheel
	$(BIN)/python -m pip install "$$(ls $(VENV)/wheel/tpumlir-*.whl)[demo]"
	@touch $@

$(VENV)/.test-installed: $(VENV)/.wheel
	$(BIN)/python -m pip install "$$(ls $(VENV)/wheel/tpumlir-*.whl)[test]"
	@touch $@

demo: $(VENV)/.demo-installed
	$(BIN)/python examples/ocr/demo.py --out build/demo

test: $(VENV)/.test-installed
	$(BIN)/python -m pytest -n $(JOBS) tests

wheels:
	$(PYTHON) scripts/wheels.py --output dist --jobs $(JOBS)

lint: $(VENV)/.test-installed
	$(BIN)/python -m pip install -q "$$(ls $(VENV)/wheel/tpumlir-*.whl)[dev]"
	$(BIN)/ruff check python tests examples benchmarks scripts
	$(BIN)/ruff format --check python tests examples benchmarks scripts
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(find csrc -name '*.cpp' -o -name '*.h')

# Needs the dev build of CONTRIBUTING.md: compile commands and generated headers.
tidy: $(BIN)/python
	$(BIN)/python -m pip install -q "$$(sed -n 's/.*"\(clang-tidy==[0-9.]*\)".*/\1/p' pyproject.toml)"
	$(BIN)/python scripts/tidy.py --since $(SINCE)

# What pip's build would install for itself.
$(VENV)/.build-installed: $(VENV)/.test-installed
	$(BIN)/python -m pip install -q $$($(BIN)/python scripts/requirements.py)
	@touch $@

$(ASAN)/.built: $(SOURCES) $(VENV)/.build-installed
	PATH="$(abspath $(BIN)):$$PATH" cmake --preset asan -B $(ASAN) -DPython_EXECUTABLE=$(abspath $(BIN)/python)
	PATH="$(abspath $(BIN)):$$PATH" cmake --build $(ASAN) -j $(JOBS)
	@touch $@

sanitize: $(ASAN)/.built
	$(BIN)/python scripts/sanitized.py --build $(ASAN) -m pytest -q -n $(JOBS) $$(cat tests/sanitized.txt)

# Under the sanitizers where that build is there, which takes ten times as long for an input.
fuzz: $(VENV)/.test-installed
	$(if $(wildcard $(ASAN)/python/tpumlir/_core*.so),$(BIN)/python scripts/sanitized.py --build $(ASAN),$(BIN)/python) \
	  tests/fuzz/run.py --seconds $(SECONDS) --seed $(SEED) $(addprefix --reader ,$(READER))

fuzz-models: $(VENV)/.test-installed
	$(BIN)/python tests/fuzz/models.py --seconds $(SECONDS) --first $(FIRST) $(addprefix --mode ,$(MODE))

docs: $(VENV)/.test-installed
	$(BIN)/python -m tpumlir.tools.gen_docs

# The Python pages are read off the sources: the package need not be built. The variable silences a notice of
# the theme on its successor.
$(VENV)/.docs-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q $$($(BIN)/python scripts/requirements.py --extra docs)
	@touch $@

site: $(VENV)/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python scripts/links.py build/site

clean:
	rm -rf $(VENV) build
