"""Does denoising the whole sequence keep long-range pairs better than writing it from left to right? As it comes out.

python benchmarks/long_range.py [--steps 3000] [--seeds 3] [--only ARM] [--out results/long_range.jsonl]

The data are samples of Rfam's SAM riboswitch, 27 base pairs, seven of them around the whole molecule. All arms have the
same transformer, parameters, data, tokens and optimiser; the learning rate is chosen for each on a short run of its
own. One JSON row a measurement: validity of pairs by |i − j|, calls, and arithmetic (forward passes over one letter; an
autoregressive model with a cache needs one a letter, which is what it is charged).
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ornstein.config import TrainConfig
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.domains.sequences import data, metrics
from ornstein.domains.sequences.task import Sequences, SequencesConfig
from ornstein.guidance.factors import Reward
from ornstein.guidance.measurements import Fixed
from ornstein.keys import Keys
from ornstein.networks import TransformerConfig
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Predictor, Restart
from ornstein.sampling.sampler import Sampler
from ornstein.sampling.unmasking import InformedCorrector, Unmask
from ornstein.spaces import Autoregressive
from ornstein.tasks.drawing import sample
from ornstein.training.clusters import identities
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer

ARMS = {
    "left-to-right": "left-to-right",
    "two orders": "two-orders",
    "masked": "masked",
    "uniform": "uniform",
    "hybrid": "hybrid",
}
RATES = (1e-3, 3e-3)
NETWORK = TransformerConfig(width=128, layers=2, heads=4, positions="learned")
FAR = 90  # the seven pairs around the molecule
Row = dict[str, Any]


@cache
def records() -> tuple[Arrays, Arrays]:
    """20,000 samples of the covariance model to learn from, and 1,000 others."""
    metadata = dict(data.load("riboswitch")[0].metadata)
    model = data.FAMILIES / "RF00162.cm"
    parts = [data.emit(model, n, seed) for n, seed in ((20_000, 1), (1_000, 2))]
    x, held_out = (data.from_text(part, metadata["alphabet"], "cmemit") for part in parts)
    return Arrays(x, {}, metadata), Arrays(held_out, {}, metadata)


def trained(arm: str, rate: float, seed: int, steps: int, folder: Path) -> NeuralDenoiser:
    """An arm after so many steps of 16 sequences, kept in the folder."""
    task, (train, held_out) = Sequences(), records()
    plan = TrainConfig(
        steps=steps, batch_size=16, learning_rate=rate, warmup=100, decay="cosine", ema=0.995, seed=seed, device="cpu",
        precision="bf16-mixed",
        validate_every=10**9, save_every=10**9, log_every=100,
    )  # fmt: skip
    config = SequencesConfig("riboswitch", noise=ARMS[arm], network=NETWORK, train=plan)  # pyright: ignore[reportArgumentType]
    if arm == "two orders":
        train, held_out = (_halved(part) for part in (train, held_out))
    denoiser = task.denoiser(config, train.metadata)
    place = folder / f"{arm.replace(' ', '-')}-{rate:g}-{seed}-{steps}"
    trainer = Trainer(denoiser, train, held_out, plan, place, {"config": {}, "facts": {}})
    if (place / "last.safetensors").exists():
        trainer.resume()
    trainer.fit()
    trainer.average.eval()
    return replace(denoiser, network=trainer.average)


def _halved(part: Arrays) -> Arrays:
    """Half of the records from the left, half with their second half first: as many tokens as every arm sees."""
    assert isinstance(part.x, Tensor)
    start = (torch.arange(len(part.x)) % 2) * (part.x.shape[1] // 2)
    return Arrays(part.x, {"start": start}, part.metadata)


def bits(denoiser: NeuralDenoiser, seed: int = 0) -> float:
    """A position of held-out records, in the left-to-right order where there are orders."""
    return metrics.bits_per_letter(denoiser, records()[1], looks=4, seed=seed)


def chosen_rate(arm: str, folder: Path, steps: int = 400) -> float:
    """The learning rate that is best for an arm after a short run."""
    return min(RATES, key=lambda rate: bits(trained(arm, rate, 100, steps, folder)))


# Tasks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ways:
    """How an arm draws: named samplers, the first for all tasks."""

    samplers: Mapping[str, Sampler]
    cached: bool = False

    def arithmetic(self, calls: float, length: int) -> float:
        return length if self.cached else calls * length


def ways(arm: str, length: int) -> Ways:
    if arm in ("left-to-right", "two orders"):
        return Ways({"one by one": Sampler(uniform(length), (Predictor(1.0),))}, cached=True)
    ancestral = {f"ancestral {k}": Sampler(uniform(k), (Predictor(1.0),)) for k in (54, 32)}
    if arm == "uniform":
        corrected = Sampler(uniform(27), (Predictor(1.0), Restart(0.5)))
        return Ways({**ancestral, "ancestral 27 + corrector": corrected})
    rounds = Sampler([*uniform(32), *[0.0] * 10], (Predictor(1.0), InformedCorrector(fit=0.02)))
    if arm == "hybrid":
        return Ways({"ancestral 32 + 11 rounds": rounds, **ancestral})
    bounded = {f"entropy {g:g}": Sampler(uniform(length), (Unmask("entropy", g),)) for g in (0.05, 0.3)}
    return Ways({"ancestral 32 + 11 rounds": rounds, **ancestral, **bounded})


def told(denoiser: NeuralDenoiser, where: Tensor, values: Tensor, start: int = 0) -> tuple[Any, dict[str, Tensor]]:
    """A denoiser that knows the letters at some places, one set a sample; two orders begin where they are known."""
    if start:
        space: Any = denoiser.space
        denoiser = denoiser.having(space=replace(space, start=start))
    condition = {"start": torch.full((len(values),), start)} if start else {}
    return denoiser & _Each(values, where), condition


@dataclass(frozen=True)
class _Each(Fixed):
    """Letters that each sample has for itself."""

    def shared(self, x: Any) -> bool:
        return False


def unconditional(denoiser: NeuralDenoiser, arm: str, n: int, seed: int) -> Iterator[Row]:
    length = denoiser.space.shape[0]  # pyright: ignore[reportAttributeAccessIssue]
    way = ways(arm, length)
    for name, sampler in way.samplers.items():
        end = sampler.end(denoiser, Keys.of(seed, n))
        calls = float(torch.as_tensor(end.nfe).double().mean())
        yield {"task": "unconditional", "way": name, **judged(end.x), "calls": calls,
               "arithmetic": way.arithmetic(calls, length)}  # fmt: skip


def _held_out(n: int) -> Tensor:
    x = records()[1].x
    assert isinstance(x, Tensor)
    return x[:n]


def completed(denoiser: NeuralDenoiser, arm: str, n: int, seed: int) -> Iterator[Row]:
    """The second half, or every second letter, of held-out records is given; the rest is drawn."""
    truth = _held_out(n)
    length = truth.shape[1]
    suffix = torch.arange(length) >= length // 2
    scattered = Keys.of(7, 1).uniform(length)[0] < 0.5
    name, sampler = next(iter(ways(arm, length).samplers.items()))
    for task, where, start in (
        ("suffix fixed", suffix, length // 2 if arm == "two orders" else 0),
        ("scattered fixed", scattered, 0),
    ):
        guided, condition = told(denoiser, where, truth, start)
        x = sampler.run(guided, Keys.of(seed, n), condition)
        yield {"task": task, "way": name, **judged(x, where)}


def repaired(denoiser: NeuralDenoiser, arm: str, n: int, seed: int) -> Iterator[Row]:
    """Three of the long pairs of held-out records are broken; nobody says which."""
    truth = _held_out(n)
    broken, keys = _broken(truth, Keys.of(seed, n).fold("break")), Keys.of(seed, n)
    if isinstance(denoiser.space, Autoregressive):
        x = _reread(denoiser, broken, keys)
    elif arm == "uniform":
        x = Sampler([0.1 * (1 - k / 20) for k in range(21)], (Predictor(1.0),)).run(denoiser, keys, None, broken)
    else:
        x = Sampler([0.0] * 11, (InformedCorrector(fit=0.02),)).run(denoiser, keys, None, broken)
    kept = (x == truth).double().mean().item()
    yield {"task": "repair", "way": "its own", **judged(x), "kept": kept, "before": judged(broken)["far"]}


def rewarded(denoiser: NeuralDenoiser, arm: str, n: int, seed: int) -> Iterator[Row]:
    """As many G–C pairs as can be had, counted by a program without gradient: half a nat for each, by particles."""
    pairs, alphabet = torch.tensor(records()[0].metadata["pairs"]), records()[0].metadata["alphabet"]

    def strong(x: Tensor) -> Tensor:
        letters = torch.stack([x[:, pairs[:, 0]], x[:, pairs[:, 1]]])
        both = letters.sort(0).values == torch.tensor([alphabet.index("C"), alphabet.index("G")])[:, None, None]
        return both.all(0).sum(1).double()

    steps = denoiser.space.shape[0] if isinstance(denoiser.space, Autoregressive) else 54
    found = sample(denoiser & Reward(strong, 0.5), n, steps, seed=seed, exact="particles", particles=n)
    said = {"reward": strong(found.x).mean().item(), "ess": min(found.exactness.ess), "calls": found.nfe}
    yield {"task": "reward", "way": "particles", **judged(found.x), **said}


def _broken(x: Tensor, keys: Keys) -> Tensor:
    pairs = torch.tensor([pair for pair in records()[0].metadata["pairs"] if pair[1] - pair[0] > FAR])
    chosen = keys.uniform(len(pairs)).argsort(1)[:, :3]
    place, partner = pairs[chosen, 1], x.gather(1, pairs[chosen, 0])
    wrong = torch.tensor([0, 1, 2, 0, 4])[partner]  # A–A, C–C, G–G, U–… cannot pair; U takes A away below
    wrong = torch.where(partner == 3, 3, wrong)
    return x.scatter(1, place, wrong)


def _reread(denoiser: NeuralDenoiser, x: Tensor, keys: Keys) -> Tensor:
    """Reads from the left and draws anew every letter that does not fit what stands before it."""
    size, length = denoiser.space.size, x.shape[1]  # pyright: ignore[reportAttributeAccessIssue]
    for place in range(length):
        hidden = torch.where(torch.arange(length) >= place, size, x)
        probs: Any = denoiser(hidden, 1 - place / length).mean[:, place].double()
        drawn = (probs.cumsum(-1) < keys.fold(place).uniform()[:, None]).sum(-1).clamp(max=size - 1)
        poor = probs.gather(1, x[:, place, None])[:, 0] < 0.02
        x = torch.where((torch.arange(length) == place) & poor[:, None], drawn[:, None], x)
    return x


def judged(x: Tensor, known: Tensor | None = None) -> Row:
    """Validity of all pairs, of those by distance, and, where letters were given, of pairs of which one was."""
    train, held_out = records()
    metadata = train.metadata
    assert isinstance(held_out.x, Tensor)
    good, pairs = metrics.satisfied(x, metadata).double(), torch.tensor(metadata["pairs"])
    apart = pairs[:, 1] - pairs[:, 0]
    row = {
        "pairs": good.mean().item(),
        "near": good[:, apart <= 20].mean().item(),
        "middle": good[:, (apart > 20) & (apart <= FAR)].mean().item(),
        "far": good[:, apart > FAR].mean().item(),
    }
    if known is not None:
        one = known[pairs[:, 0]] ^ known[pairs[:, 1]]
        row["half known"] = good[:, one].mean().item()
    else:
        row["agreement"] = metrics.pair_agreement(x, held_out.x, len(metadata["alphabet"]))
    return row


def controls(n: int) -> Iterator[Row]:
    """The data, what knows no pairs (a profile, columns on their own), and who only copies (nearest records)."""
    train, held_out = records()
    assert isinstance(train.x, Tensor)
    assert isinstance(held_out.x, Tensor)
    apart = torch.stack([column[torch.randperm(len(column))] for column in train.x[:n].T], 1)
    yield {"arm": "data", "task": "unconditional", "way": "", **judged(held_out.x)}
    profile = data.emit(data.FAMILIES / "RF00162.cm", n, 3, profile=True)
    profiled = data.from_text(profile, train.metadata["alphabet"], "cmemit")
    alphabet = train.metadata["alphabet"]
    nearest = train.x[identities(held_out.x[:n], train.x, len(alphabet), alphabet.find(data.GAP)).argmax(1)]
    yield {"arm": "profile HMM", "task": "unconditional", "way": "", **judged(profiled)}
    yield {"arm": "nearest training record", "task": "unconditional", "way": "", **judged(nearest)}
    yield {"arm": "independent columns", "task": "unconditional", "way": "", **judged(apart)}


def measured(arm: str, seed: int, steps: int, n: int, folder: Path) -> Iterator[Row]:
    """All rows of one arm and seed: after all steps, and for the first seed after a quarter, too."""
    rate = chosen_rate(arm, folder)
    for budget in (steps // 4, steps) if seed == 0 else (steps,):
        started = time.perf_counter()
        denoiser = trained(arm, rate, seed, budget, folder)
        about = {"arm": arm, "seed": seed, "steps": budget, "rate": rate, "bits": bits(denoiser)}
        about["training seconds"] = round(time.perf_counter() - started)
        tasks = (unconditional, completed, repaired, rewarded) if budget == steps else (unconditional,)
        for task in tasks:
            for row in task(denoiser, arm, n, seed):
                yield {**about, **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(ARMS))
    parser.add_argument("--n", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=Path("runs/long_range"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/long_range.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with options.out.open("a") as file:
        for row in controls(1000) if options.only == list(ARMS) else ():
            print(json.dumps(row), file=file)
        for seed in options.seeds:
            for arm in options.only:
                for row in measured(arm, seed, options.steps, options.n, options.folder):
                    print(json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}),
                          file=file, flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
