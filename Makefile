# Every target makes the virtual environment that it needs; nothing else has to be installed by hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONSTRAINTS ?= constraints.txt
EXTRAS ?= contrib,dev,onnx

.PHONY: quickstart test test-lowest test-slow test-adapters check format docs structure benchmark weights audit dist clean

quickstart: $(READY)
	$(BIN)/seenn quickstart --output runs/quickstart --overwrite

test: $(READY)
	$(BIN)/python -m pytest

# The lowest versions of pyproject.toml; the extra `onnx` needs a newer torch, and its tests are skipped.
test-lowest:
	$(MAKE) test VENV=$(VENV)-lowest CONSTRAINTS=constraints-lowest.txt EXTRAS=contrib,dev

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Each framework in an environment of its own beside .venv, which it shares all else with (torch above all).
ADAPTERS := spikingjelly snntorch norse sinabs nir
PACKAGES_spikingjelly := spikingjelly==2.0.0 loguru==0.7.3 h5py==3.16.0
PACKAGES_snntorch := snntorch==1.0.0 nir==1.0.8 nirtorch==2.6 h5py==3.16.0
PACKAGES_norse := norse==1.1.0 nir==1.0.8 nirtorch==2.6 h5py==3.16.0
PACKAGES_sinabs := sinabs==3.1.3 nir==1.0.4 nirtorch==2.6 pbr==7.1.3 h5py==3.16.0
PACKAGES_nir := nir==1.0.8 nirtorch==2.6 h5py==3.16.0
SITE := import sysconfig; print(sysconfig.get_paths()["purelib"])

test-adapters: $(ADAPTERS:%=test-adapter-%)

test-adapter-%: $(READY)
	test -x $(VENV)-$*/bin/python || $(BIN)/python -m venv $(VENV)-$*
	$(BIN)/python -c '$(SITE)' > "$$($(VENV)-$*/bin/python -c '$(SITE)')/shared.pth"
	$(VENV)-$*/bin/python -m pip install --quiet --no-deps $(PACKAGES_$*)
	PYTHONPATH=. $(VENV)-$*/bin/python -m pytest tests/backbones/adapters/test_wrapping.py tests/backbones/adapters/frameworks/test_$**.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site in docs/_build. Warnings are errors: links and anchors between pages, docstrings, pages that no index names.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/render.py
	$(BIN)/python docs/figures.py
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	$(BIN)/python docs/check_site.py docs/_build

structure: $(READY)
	$(BIN)/python tests/structure.py

benchmark: $(READY)
	mkdir -p runs
	$(BIN)/python benchmarks/environments/environments.py --output runs/environments.json

# The network and the augmented views of docs/cards/cifar10-jpeg.md (14 MB), out of the repository's own history.
WEIGHTS_AT := 78eb36e94d203f45237c0e75157a27868a523f54
weights: runs/cifar10-jpeg/backbone.safetensors runs/cifar10-jpeg/views.safetensors

runs/cifar10-jpeg/%.safetensors:
	mkdir -p $(@D)
	git show $(WEIGHTS_AT):benchmarks/results/cifar10-jpeg-$*.safetensors > $@.tmp
	mv $@.tmp $@

# Licences of the dependencies, and known vulnerabilities, by a tool in an environment of its own.
audit: $(READY)
	test -x $(VENV)-audit/bin/pip-audit || $(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit==2.10.1
	$(BIN)/python docs/audit.py $(VENV)-audit/bin/pip-audit

# The sdist, and the wheel built from it, in dist/; the wheel is tried in a new environment, outside of the checkout.
dist:
	rm -rf dist $(VENV)-dist
	$(PYTHON) -m venv $(VENV)-dist
	$(VENV)-dist/bin/python -m pip install --quiet build==1.6.1
	$(VENV)-dist/bin/python -m build --outdir dist
	$(VENV)-dist/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	seenn="$(abspath $(VENV)-dist)/bin/seenn" && cd "$$(mktemp -d)" && "$$seenn" --version && "$$seenn" quickstart --output quickstart

clean:
	rm -rf $(VENV) $(VENV)-* runs build dist docs/_build docs/generated *.egg-info

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	touch $(READY)
