# Everything on a fresh machine that has Python 3.11 and make: each target sets itself up.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help tour test test-all lint format bench bench-posterior bench-energies bench-composition bench-sequences bench-molecules bench-pictures bench-env clean

help:
	@echo "make tour      draw from every shipped model, score it, write tour/index.html"
	@echo "make test      lint, types and the default test suite"
	@echo "make test-all  the same with the long tests"
	@echo "make format    let ruff rewrite what it can"
	@echo "make bench     compare the solvers with other libraries' (makes .bench-env; see benchmarks/README.md)"
	@echo "make bench-posterior  the same for posteriors of inverse problems"
	@echo "make bench-energies   the same for Boltzmann distributions"
	@echo "make bench-sequences  long-range pairs against autoregression, and throughput (needs Infernal)"
	@echo "make bench-molecules  finished molecules a second, beside EDM's network"
	@echo "make bench-pictures   training and sampling of pictures, beside denoising-diffusion-pytorch and diffusers"
	@echo "make bench-composition  samples of products of energy networks, beside the exact product"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

tour: $(READY)
	$(BIN)/ornstein tour

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: lint
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The peers live apart from the package. azula, denoising-diffusion-pytorch and k-diffusion are installed without their
# dependencies: they ask for torchvision, which would replace the pinned torch, and the parts compared here do not need it.
BENCH := .bench-env/bin
BENCH_READY := .bench-env/.ready
BENCH_PIP := $(BENCH)/python -m pip install --quiet --disable-pip-version-check \
	-c constraints.txt -c benchmarks/constraints.txt

$(BENCH_READY): pyproject.toml constraints.txt benchmarks/constraints.txt
	$(PYTHON) -m venv .bench-env
	@echo '*' > .bench-env/.gitignore
	$(BENCH_PIP) -e '.[energies]' accelerate blackjax diffusers scipy torchdiffeq torchsde tqdm
	$(BENCH_PIP) --no-deps azula denoising-diffusion-pytorch ema-pytorch k-diffusion
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

bench-molecules: $(READY)
	$(BIN)/python -m benchmarks.molecules_throughput

bench-pictures: $(BENCH_READY)
	$(BENCH)/python -m benchmarks.pictures_training
	$(BENCH)/python -m benchmarks.pictures_sampling

clean:
	rm -rf .venv .bench-env tour runs
