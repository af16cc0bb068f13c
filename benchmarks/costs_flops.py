"""The arithmetic of one call of each shipped network, counted by PyTorch, and what a GPU would make of it.

    .venv/bin/python -m benchmarks.costs_flops

Writes benchmarks/results/costs_flops.jsonl; `python -m benchmarks.costs` does so, too. Multiplications and additions
of matrix products and convolutions are counted, which are two operations each; what is done number by number is not.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]

from costs_cases import DRAWS, FIT, Case  # noqa: E402
from costs_tables import lines_of, short, table  # noqa: E402

Row = Mapping[str, Any]
FILE = ROOT / "benchmarks" / "results" / "costs_flops.jsonl"
PEAK = 67e12
"""Operations a second in float32 of one H100 SXM by its data sheet; an H200, the same chip with more memory, has as
many. (H100 NVL: 60e12; in bfloat16 on tensor cores 989e12, which no shipped model was drawn with.)"""
DRAWN = "images/digits"
"""The model that is shipped as it was drawn on an H200; see costs_gpu.jsonl."""


def write() -> None:
    """Counts all of them and writes the file."""
    FILE.write_text("".join(json.dumps(row) + "\n" for row in counted()))


def counted() -> Iterator[dict[str, Any]]:
    """A line a model: operations of a sample and call."""
    from benchmarks.costs import command
    from torch.utils.flop_counter import FlopCounterMode

    with TemporaryDirectory() as here:
        for model, (batch, steps, flags) in DRAWS.items():
            draw = command(Case(model, "draws", FIT, batch, steps, batch, flags=flags), Path(here))
            with FlopCounterMode(display=False) as counter:
                row = draw()
            yield {"model": model, "flops": counter.get_total_flops() / (row["nfe"] * batch)}


# The page ---------------------------------------------------------------------------------------------


def gpu_share(flops: Mapping[str, float], drawn: Sequence[Row]) -> float | None:
    """What share of the peak the draw on a GPU reached; None where it is not known.

    Args:
        flops: model → operations of a sample and call.
        drawn: rows of costs_gpu.jsonl.
    """
    for row in drawn:
        if row["what"].startswith(f"{DRAWN}:") and DRAWN in flops:
            return flops[DRAWN] * row["count"] * row["calls"] / row["seconds"] / PEAK
    return None


def flops_section(results: Path, defaults: Mapping[str, tuple[float, float]]) -> str:
    """Operations of each model, and samples a second of an H100 that are expected of them.

    Args:
        results: the folder of the results.
        defaults: model → calls of a sample of its default draw, and CPU seconds of that by call and sample drawn.
    """
    flops = {row["model"]: row["flops"] for row in lines_of(results / "costs_flops.jsonl") if row["model"] in defaults}
    share = gpu_share(flops, lines_of(results / "costs_gpu.jsonl"))
    if share is None:
        return table((), ())
    lines, reached = [], []
    for model, each in flops.items():
        calls, seconds = defaults[model]
        reached.append(each / seconds / 1e9)
        expected = f"{float(f'{share * PEAK / (each * calls):.2g}'):,.0f}"
        lines.append([f"`{model}`", short(each / 1e6), short(reached[-1]), short(each * calls / 1e9), expected])
    return TEXT.format(
        share=f"{share:.0%}", peak=f"{PEAK / 1e12:.0f}", drawn=DRAWN, lines=table(_HEAD, lines),
        least=short(min(reached)), middle=short(median(reached)), most=short(max(reached)),
    )  # fmt: skip


_HEAD = (
    "model",
    "MFLOP a sample and call",
    "GFLOP/s of one CPU thread",
    "GFLOP a sample",
    "one H100, samples a second",
)

TEXT = """\
Nothing was measured on an H100. What one is expected to do follows from the operations of a call, which are counted
exactly (matrix products and convolutions), and from one draw on an H200, the same chip with more memory: that of
`{drawn}` reached {share} of the {peak} TFLOP/s which the maker states for float32. The last column is that share of the
peak over the operations of a sample at its default steps: of full batches, without the start, writing, gradients of
measurements and anything in chemistry. How far such a figure may be wrong is seen on the CPU, where the share differs
between these networks, too: their default draws reach from {least} to {most} GFLOP/s, {middle} in the middle. Small
draws and small networks, such as those of energies, are bound by the launches of kernels, and are slower.

{lines}"""

if __name__ == "__main__":
    write()
