# Everything on a fresh machine that has Python 3.11 and make: each target sets itself up, with uv if it is on the PATH.
PYTHON ?= python3
BIN := .venv/bin
TOUR_READY := .venv/.ready-tour
READY := .venv/.ready
UV := $(shell command -v uv 2> /dev/null)
VENV = $(if $(UV),$(UV) venv --quiet --allow-existing --python $(PYTHON),$(PYTHON) -m venv)
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)

.PHONY: help tour tour-full test test-all fast all lint types slow-list format docs docs-run bench bench-posterior bench-energies bench-composition bench-sequences bench-molecules bench-pictures bench-poisson bench-mri bench-studio bench-costs bench-env clean

help:
	@echo "make tour      draw from every shipped model and look at tour/index.html, which grows: 3 minutes on two cores"
	@echo "make tour-full the same with every score measured anew: half an hour"
	@echo "make test      lint, types and the fast tests: 7 minutes on two cores"
	@echo "make test-all  the same with the slow tests: an hour"
	@echo "make docs      the documentation as a site, docs/_build/html: a minute on one core"
	@echo "make docs-run  execute the tutorials' blocks anew (PAGES=docs/molecules.md for one): 10 minutes"
	@echo "make format    let ruff rewrite what it can"
	@echo "make bench     compare the solvers with other libraries' (makes .bench-env; see benchmarks/README.md)"
	@echo "make bench-posterior  the same for posteriors of inverse problems"
	@echo "make bench-energies   the same for Boltzmann distributions"
	@echo "make bench-sequences  long-range pairs against autoregression, and throughput (needs Infernal)"
	@echo "make bench-molecules  finished molecules a second, beside EDM's network"
	@echo "make bench-pictures   training and sampling of pictures, beside denoising-diffusion-pytorch and diffusers"
	@echo "make bench-poisson    Poisson's equation: direct solvers, FNO, kriging and ours, in one table"
	@echo "make bench-mri        brains from undersampled k-space: TV, wavelets, azula, deepinv and ours, in one table"
	@echo "make bench-studio     twenty clients of the studio at once: what each waits, what is lost, and the memory"
	@echo "make bench-costs      seconds, calls, gradients, bytes and memory of every shipped model, predicted and measured"
	@echo "make bench-composition  samples of products of energy networks, beside the exact product"

$(TOUR_READY): pyproject.toml constraints.txt
	@echo "Installing what the tour needs into .venv: 320 MB to download, 1.5 GB on the disk, about a minute"
	@$(VENV) .venv
	@$(INSTALL) -c constraints.txt -e '.[tour]'
	@touch $(TOUR_READY)

$(READY): pyproject.toml constraints.txt
	@echo "Installing what the tests need into .venv: 420 MB to download, 1.9 GB on the disk, about two minutes"
	@$(VENV) .venv
	@$(INSTALL) -c constraints.txt -e '.[dev]'
	@touch $(READY) $(TOUR_READY)

tour: $(TOUR_READY)
	@$(BIN)/ornstein tour

tour-full: $(TOUR_READY)
	@$(BIN)/ornstein tour --full

# Two workers take the tests one by one from each other; lint and types run beside them. Many tests start processes of
# their own, which find the package compiled if bytecode may be written.
TESTS = $(BIN)/python -m pytest -n 2 --dist worksteal
unexport PYTHONDONTWRITEBYTECODE

test: $(READY)
	@echo "Lint, types and the fast tests: about 7 minutes on two cores (make test-all runs the slow ones, too)"
	@$(MAKE) --no-print-directory --keep-going --jobs 3 lint types fast

test-all: $(READY)
	@echo "Lint, types and all tests: about an hour on two cores"
	@$(MAKE) --no-print-directory --keep-going --jobs 3 lint types all

fast: $(READY)
	$(TESTS) -m "not slow"

all: $(READY)
	$(TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright

# Which tests are slow is measured, on an idle machine: see tools/slow_tests.py.
slow-list: $(READY)
	$(TESTS) -m "not slow" --durations=0 --durations-min=0.05 > durations.log
	$(BIN)/python tools/slow_tests.py durations.log

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Strict: a broken link, a page that is in no table of contents, a public name without documentation, a tutorial whose
# blocks are not those that were executed, all are errors.
docs: $(READY)
	$(BIN)/python -m sphinx -E -W -n --keep-going -q docs docs/_build/html
	@echo docs/_build/html/index.html

docs-run: $(READY)
	$(BIN)/python tools/executed_docs.py $(PAGES)

# The peers live apart from the package. azula, deepinv, denoising-diffusion-pytorch, k-diffusion and neuraloperator are
# installed without their dependencies: they ask for torchvision, which would replace the pinned torch, or for logging
# services, and the parts compared here need neither; deepinv imports torchvision, which comes without torch.
BENCH := .bench-env/bin
BENCH_READY := .bench-env/.ready
BENCH_PIP := $(BENCH)/python -m pip install --quiet --disable-pip-version-check \
	-c constraints.txt -c benchmarks/constraints.txt

$(BENCH_READY): pyproject.toml constraints.txt benchmarks/constraints.txt
	$(PYTHON) -m venv .bench-env
	@echo '*' > .bench-env/.gitignore
	$(BENCH_PIP) -e '.[energies,nufft,poisson]' accelerate blackjax diffusers natsort requests scikit-image scipy sigpy \
		torchdiffeq torchmetrics torchsde tqdm
	$(BENCH_PIP) --no-deps azula deepinv denoising-diffusion-pytorch ema-pytorch k-diffusion neuraloperator tensorly \
		tensorly-torch torchvision
	@touch $(BENCH_READY)

bench-env: $(BENCH_READY)

bench: $(BENCH_READY)
	$(BENCH)/python benchmarks/solvers.py

bench-posterior: $(BENCH_READY)
	$(BENCH)/python benchmarks/posterior.py

bench-energies: $(BENCH_READY)
	$(BENCH)/python benchmarks/energies.py

bench-composition: $(READY)
	$(BIN)/python -m benchmarks.composition

bench-sequences: $(READY)
	rm -f benchmarks/results/long_range.jsonl
	$(BIN)/python benchmarks/long_range.py
	$(BIN)/python -m benchmarks.long_range_report benchmarks/results/long_range.jsonl
	$(BIN)/python -m benchmarks.throughput

bench-studio: $(READY)
	$(BIN)/python -m benchmarks.studio

bench-costs: $(READY)
	$(BIN)/python -m benchmarks.costs

bench-molecules: $(READY)
	$(BIN)/python -m benchmarks.molecules_throughput

bench-pictures: $(BENCH_READY)
	$(BENCH)/python -m benchmarks.pictures_training
	$(BENCH)/python -m benchmarks.pictures_sampling

# FNO learns for as many minutes on two cores as our learned solver did: see its recipe.
bench-poisson: $(BENCH_READY)
	$(BENCH)/python -m benchmarks.poisson_fno --kind mixed --minutes 40
	$(BENCH)/python -m benchmarks.poisson_fno --kind gaussian --minutes 40
	$(BENCH)/python -m benchmarks.poisson

# Subjects are files of packages, below the folders that MRI_DATA names: see benchmarks/README.md.
MRI_DATA ?= brains
MRI_MODEL ?= mri/brain

bench-mri: $(BENCH_READY)
	$(BENCH)/python -m benchmarks.mri $(MRI_DATA:%=--data %) --model $(MRI_MODEL) --roles test strange
	$(BENCH)/python -m benchmarks.mri $(MRI_DATA:%=--data %) --model $(MRI_MODEL) --each 19 --calibrate

clean:
	rm -rf .venv .bench-env tour runs
