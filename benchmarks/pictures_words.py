"""What prompts are worth: how few calls do, what guidance buys, and whether two prompts are better composed or joined.

    python -m benchmarks.pictures_words --part calls guidance two --n 300

prints a JSON line a measurement and writes results/pictures_words.jsonl. All pictures are in OpenMoji's style, which
the judge (images/openmoji-judge) has never seen. R@k: the share whose caption is among the k that fit best, of all.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ornstein as on
from ornstein.domains.images import data
from ornstein.domains.images.factors import prompts
from ornstein.domains.images.metrics import judge_of
from ornstein.domains.images.vision import captions
from ornstein.domains.images.vision.examples import TWO
from ornstein.domains.images.vision.judges import Judge, frechet, within_first
from ornstein.domains.images.vision.prompts import Phrase

MODEL = "images/openmoji"
RESULTS = Path(__file__).parent / "results" / "pictures_words.jsonl"
FIRST = 100  # captions among which both parts of a picture must be


class Real:
    """OpenMoji's pictures, all captions and what the judge makes of them."""

    def __init__(self) -> None:
        train, held_out = data.load("openmoji", 32)
        assert isinstance(train, data.Captioned)
        assert isinstance(held_out, data.Captioned)
        (learned, self.learned), (unseen, self.unseen) = train.shown(), held_out.shown()
        self.x, self.names = torch.cat([learned, unseen]), [*self.learned, *self.unseen]
        self.known = sorted({*self.names, *(part for pair in TWO for part in pair)})
        self.directions = captions.whole(captions.encoded(self.known))
        judge = judge_of("openmoji")
        assert judge is not None
        self.judge: Judge = judge

    def ranks(self, x: Tensor, said: Sequence[str]) -> Tensor:
        return self.judge.ranks(x, self.directions, torch.tensor([self.known.index(text) for text in said]))

    def measures(self, x: Tensor, said: Sequence[str]) -> dict[str, float]:
        """R@1, R@10 and the Fréchet distance to all real pictures."""
        ranks = self.ranks(x, said)
        distance = frechet(self.judge.see(x)[0], self.judge.see(self.x)[0])
        return {"r@1": within_first(ranks, 1), "r@10": within_first(ranks, 10), "frechet": distance}


def drawn(
    model: on.Denoiser, asked: Sequence[Sequence[Phrase]], scale: float, steps: int, eta: float = 1.0
) -> on.Samples:
    guide, condition = prompts(asked, [0] * len(asked), scale)
    return on.sample(model & guide, len(asked), steps, eta=eta, condition=condition, batch_size=100)


def spread(names: Sequence[str], n: int) -> list[str]:
    return [names[k * len(names) // n] for k in range(n)]


def calls(model: on.Denoiser, real: Real, n: int) -> Iterator[dict[str, Any]]:
    """The flow without guidance, so that a step is a call."""
    said = spread(real.learned, n)
    for steps in (5, 10, 20, 50, 100):
        samples = drawn(model, [[Phrase(text)] for text in said], 1.0, steps, eta=0.0)
        yield {"part": "calls", "n": n, "steps": steps, "calls": steps, **real.measures(samples.x, said)}


def guidance(model: on.Denoiser, real: Real, n: int) -> Iterator[dict[str, Any]]:
    """On captions that were learned and on those of things never shown; real pictures of the style beside them."""
    for which, names in (("learned", real.learned), ("unseen", real.unseen)):
        said = spread(names, min(n, len(names)))
        shown = torch.stack([real.x[real.names.index(text)] for text in said])
        yield {"part": "guidance", "captions": which, "n": len(said), "scale": "real", **real.measures(shown, said)}
        for scale in (1.0, 2.0, 3.0, 5.0):
            samples = drawn(model, [[Phrase(text)] for text in said], scale, 20)
            row = {"part": "guidance", "captions": which, "n": len(said), "scale": scale, "calls": samples.nfe}
            yield {**row, **real.measures(samples.x, said)}


def two(model: on.Denoiser, real: Real, n: int, scale: float = 3.0) -> Iterator[dict[str, Any]]:
    """Two things in a picture: said in one prompt, or as the product of two."""
    pairs = [pair for pair in TWO for _ in range(max(1, n // len(TWO)))]
    ways = {
        "joined": [[Phrase(f"{a} and {b}")] for a, b in pairs],
        "composed": [[Phrase(a), Phrase(b)] for a, b in pairs],
        "the first alone": [[Phrase(a)] for a, _ in pairs],
    }
    for way, asked in ways.items():
        x = drawn(model, asked, scale, 20).x
        ranks = torch.stack([real.ranks(x, [pair[k] for pair in pairs]) for k in (0, 1)])
        both = float((ranks < FIRST).all(0).double().mean())
        each = [within_first(own, FIRST) for own in ranks]
        yield {"part": "two", "way": way, "n": len(pairs), f"both@{FIRST}": both, f"each@{FIRST}": each,
               "median rank of the worse": float(ranks.max(0).values.double().median())}  # fmt: skip


PARTS = {"calls": calls, "guidance": guidance, "two": two}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    model, real = on.load(args.model), Real()
    for part in args.part:
        for row in PARTS[part](model, real, args.n):
            print(json.dumps(row), flush=True)
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
