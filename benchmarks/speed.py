"""How much faster the networks of molecules/qm9 and images/openmoji are than in another checkout, side by side.

python -m benchmarks.speed --against WORKTREE [--rounds 3] [--precision bf16 float32] [--out FILE]

One process a checkout (git worktree add --detach WORKTREE COMMIT), which take turns call by call. Timed are forward and
backward of one batch of 64, molecules of one size as training draws them, and a call as sampling makes it, molecules of
all sizes. What the trainer and the sampler do around the network is left out. CPU-seconds, medians; one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

BATCH, SIZES = 64, (12, 15, 16, 17, 18, 18, 19, 20, 24)  # as QM9's spread
MODELS = ("molecules/qm9", "images/openmoji")
Inputs = tuple[object, Tensor, dict[str, Tensor]]


def molecules(sizes: Tensor) -> Inputs:
    """Noise of these sizes."""
    mask = torch.arange(29) < sizes[:, None]
    x = {"positions": torch.randn(len(sizes), 29, 3), "atoms": torch.randint(6, mask.shape)}
    return x, torch.rand(len(sizes)), {"mask": mask}


def case(name: str, training: bool) -> tuple[nn.Module, Inputs]:
    """A fresh network of the size of a recipe, and what it is shown."""
    from ornstein import load
    from ornstein.networks import MolecularConfig, MolecularTransformer

    torch.manual_seed(0)
    if name == "molecules/qm9":
        drawn = torch.tensor(SIZES)[torch.arange(BATCH) % len(SIZES)]
        sizes = torch.full((BATCH,), 18) if training else drawn
        return MolecularTransformer(MolecularConfig(width=256, layers=7), 6, 5, 1), molecules(sizes)
    model = load(name)
    said = {key: torch.ones_like(value).expand(BATCH, *value.shape) for key, value in model.unconditional.items()}
    x = torch.randn(BATCH, *model.space.shape)  # pyright: ignore[reportAttributeAccessIssue]
    return model.network.requires_grad_(True), (x, torch.rand(BATCH), said)


def call(net: nn.Module, inputs: Inputs, training: bool, bf16: bool) -> Callable[[], None]:
    """One forward and, in training, backward."""

    def run() -> None:
        net.train(training)
        with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = net(*inputs)
        if training:
            parts = out.values() if isinstance(out, dict) else [out]
            net.zero_grad()
            torch.stack([part.float().square().mean() for part in parts]).sum().backward()

    return run


def work() -> None:
    """In a checkout: makes a case for a line of JSON, runs it for each empty line and says the CPU-seconds."""
    torch.set_num_threads(1)
    run = None
    for line in sys.stdin:
        if line.strip():
            name, training, precision = json.loads(line)
            net, inputs = case(name, training)
            run = call(net, inputs, training, precision == "bf16")
        assert run is not None
        started = time.process_time()
        run()
        print(time.process_time() - started, flush=True)


def worker(checkout: Path) -> "subprocess.Popen[str]":
    """This program with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--work"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def asked(process: "subprocess.Popen[str]", line: str) -> float:
    """Seconds of one call."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", choices=["bf16", "float32"], default=["bf16", "float32"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.jsonl"))
    options = parser.parse_args()
    if options.work:
        work()
        return
    if options.against is None:
        parser.error("--against: which checkout to compare with")
    both = [worker(options.against), worker(Path(__file__).resolve().parents[1])]
    print("model             of        precision  s before  s now  times as fast")
    with options.out.open("a") as file:
        for name in MODELS:
            for training in (True, False):
                for precision in options.precision:
                    for process in both:
                        asked(process, json.dumps([name, training, precision]))
                    turns = [[asked(process, "") for process in both] for _ in range(options.rounds)]
                    before, now = (median(each) for each in zip(*turns, strict=True))
                    what = "training" if training else "sampling"
                    row = {"model": name, "of": what, "precision": precision, "before": before, "now": now}
                    print(f"{name:<16}  {what}  {precision:<9}  {before:>8.3f}  {now:>5.3f}  {before / now:>13.2f}")
                    file.write(json.dumps({**row, "torch": torch.__version__}) + "\n")
    for process in both:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
