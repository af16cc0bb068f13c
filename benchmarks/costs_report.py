"""The page about costs.py's rows: what was measured, the cost models fitted to it, what they predict of other draws."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from costs_cases import DEFAULT_N, DRAWS, FIT, HELD_OUT, SIZES, TOLD, of_row
from costs_elsewhere import gpu_section, workers_section
from costs_flops import flops_section
from costs_model import CostModel, Draw, fit
from costs_tables import short, table

Row = Mapping[str, Any]
CLOSE = 1.25
"""Predicted over measured, or the reverse, that counts as close."""
UNITS = {
    "sequences": "letters",
    "molecules": "atoms",
    "images": "pixels a side",
    "mri": "pixels a side",
    "poisson": "points a side",
}


def page(rows: Sequence[Row], results: Path) -> str:
    """docs/costs.md.

    Args:
        rows: of costs.jsonl.
        results: the folder of the results, where workers.jsonl and costs_gpu.jsonl may be.
    """
    if not rows:
        raise SystemExit("nothing is measured: python -m benchmarks.costs")
    models = fitted(rows)
    compared = list(held_out(rows, models))
    return TEXT.format(
        cores=", ".join(sorted({str(row["cores"]) for row in rows})),
        engines=", ".join(sorted({row["engine"] for row in rows})),
        dates=" to ".join(sorted({row["date"] for row in rows})[:: max(1, len({row["date"] for row in rows}) - 1)]),
        load=f"{median(row['load'] for row in rows):.1f}",
        repeats=max(row["repeats"] for row in rows),
        scatter=f"{median(row['scatter'] for row in rows):.0%}",
        defaults=table(_DEFAULTS, _defaults(rows)),
        n=DEFAULT_N,
        coefficients=table(_COEFFICIENTS, _coefficients(models)),
        example=example(models),
        predicted=table(_PREDICTED, (_compared(*one) for one in compared)),
        summary=summary(compared),
        sizes=table(_SIZES, _growth(rows, models)),
        fixed=", ".join(f"`{model}`" for model in DRAWS if model not in SIZES),
        particles=table(_PARTICLES, _populations(rows, models)),
        told=table(_TOLD, _told(rows)),
        workers=workers_section(results),
        gpu=gpu_section(results / "costs_gpu.jsonl"),
        h100=flops_section(
            results,
            {row["case"]["model"]: (row["nfe"], _each(row)) for row in rows if _is_default(row)},
        ),
    )


def fitted(rows: Sequence[Row]) -> dict[tuple[str, str], CostModel]:
    """(model, series) → the cost model of its draws that are to be fitted, where there are enough."""
    found = {}
    for key in {(row["case"]["model"], row["case"]["series"]): None for row in rows if row["role"] == FIT}:
        some = [row for row in of(rows, *key) if row["role"] == FIT]
        if len(some) > 2:
            found[key] = fit([draw_of(row) for row in some], [row["cpu_seconds"] for row in some])
    return found


def draw_of(row: Row, known: bool = True) -> Draw:
    """What was drawn; without its calls if those are not to be known."""
    return of_row({**row["case"], "role": row["role"]}).draw(row["steps"], row["batch"], row["nfe"] if known else None)


def of(rows: Sequence[Row], model: str, series: str) -> list[Row]:
    """The lines of a model and a series."""
    return [row for row in rows if (row["case"]["model"], row["case"]["series"]) == (model, series)]


def held_out(rows: Sequence[Row], models: Mapping[tuple[str, str], CostModel]) -> Iterator[tuple[Row, float]]:
    """The held-out lines with their predicted CPU seconds."""
    for row in sorted(rows, key=lambda row: list(DRAWS).index(row["case"]["model"])):
        model = models.get((row["case"]["model"], row["case"]["series"]))
        if row["role"] == HELD_OUT and model is not None:
            yield row, model.seconds(draw_of(row, known=False))


def summary(compared: Sequence[tuple[Row, float]]) -> str:
    """How good the predictions are, in a sentence."""
    if not compared:
        return "None is measured yet."
    ratios = [predicted / row["cpu_seconds"] for row, predicted in compared]
    close = sum(1 / CLOSE <= ratio <= CLOSE for ratio in ratios)
    worst = max(ratios, key=lambda ratio: max(ratio, 1 / ratio))
    within = f"{close} of {len(ratios)} predictions are within a factor of {CLOSE}"
    return f"{within}; the median ratio is {median(ratios):.2f}, the farthest {worst:.2f}."


def example(models: Mapping[tuple[str, str], CostModel]) -> str:
    """A prediction beyond what was measured, worked out."""
    model = models.get(("sequences/riboswitch", "draws"))
    if model is None:
        return ""
    n, batch, steps = 200_000, 8, 108
    seconds = model.seconds(Draw(n, n // batch, n, steps))
    said = (
        f"{n:,} sequences of `sequences/riboswitch`, {n // batch:,} blocks of {batch} at its default of {steps} steps,"
    )
    return f"For example, {said}\nare predicted to take {seconds / 3600:.1f} hours of one core."


# Tables -----------------------------------------------------------------------------------------------


_DEFAULTS = (
    "model",
    "NFE",
    "gradients",
    "CPU s a sample",
    "wall s of 16",
    "start, s",
    "kB a sample",
    "kB beside",
    "peak MB",
)


def _defaults(rows: Sequence[Row]) -> Iterator[list[str]]:
    for model in DRAWS:
        draws = of(rows, model, "draws")
        for row in filter(_is_default, draws):
            a_sample, beside = bytes_of(draws)
            yield [
                f"`{model}`",
                f"{row['nfe']:g}",
                f"{row['gradients']:g}",
                short(row["cpu_seconds"] / row["case"]["n"]),
                short(row["seconds"]),
                short(row["start"]),
                short(a_sample / 1000),
                short(beside / 1000),
                "–" if row["peak_mb"] is None else f"{row['peak_mb']}",
            ]


def _is_default(row: Row) -> bool:
    """Whether it is a draw of the command line as it is if nothing is said."""
    return row["case"]["series"] == "draws" and "steps" not in row["case"]


def _each(row: Row) -> float:
    """CPU seconds of a draw by call and by sample that was drawn, also those that only fill up a block."""
    return row["cpu_seconds"] / (row["nfe"] * draw_of(row).drawn)


def bytes_of(rows: Sequence[Row]) -> tuple[float, float]:
    """Bytes a sample, and those of a folder beside them: between the draws of the fewest and the most samples."""
    ends = sorted(rows, key=lambda row: row["case"]["n"])
    few, most = ends[0], ends[-1]
    a_sample = max(0.0, (most["bytes"] - few["bytes"]) / max(1, most["case"]["n"] - few["case"]["n"]))
    return a_sample, few["bytes"] - a_sample * few["case"]["n"]


_COEFFICIENTS = ("model", "start, s", "write, ms", "call, ms", "work, ms", "calls", "fits within")


def _coefficients(models: Mapping[tuple[str, str], CostModel]) -> Iterator[list[str]]:
    for model in DRAWS:
        if (model, "draws") in models:
            yield [f"`{model}`", *_costs(models[model, "draws"])]


def _costs(model: CostModel) -> list[str]:
    thousands = [short(1000 * value) for value in (model.write, model.call, model.work)]
    c0, c1 = model.calls
    calls = " + ".join(text for text in (f"{c0:.2g}" if c0 else "", f"{c1:.3g} · steps" if c1 else "") if text)
    return [short(model.start), *thousands, calls, f"{model.error:.0%}"]


_PREDICTED = ("model", "draw", "predicted, CPU s", "measured, CPU s", "predicted / measured")


def _compared(row: Row, predicted: float) -> list[str]:
    measured = row["cpu_seconds"]
    return [
        f"`{row['case']['model']}`",
        _words(row),
        short(predicted),
        short(measured),
        f"{predicted / measured:.2f}",
    ]


def _words(row: Row) -> str:
    case = row["case"]
    if case["series"] == "size":
        return f"{case['size']} {UNITS[case['model'].split('/')[0]]}, {case['n']} samples, {row['steps']} steps"
    if case["series"] == "particles":
        return f"{case['particles']} particles, {row['steps']} steps"
    default = "" if "steps" in case else " (default)"
    return f"{case['n']} samples, {row['steps']} steps, blocks of {row['batch']}{default}"


_SIZES = ("model", "sizes fitted", "CPU ms a sample and call, by size", "grows with size to the power")


def _growth(rows: Sequence[Row], models: Mapping[tuple[str, str], CostModel]) -> Iterator[list[str]]:
    for model in SIZES:
        found = models.get((model, "size"))
        if found is None or found.exponent is None:
            continue
        sizes, _, n, steps = SIZES[model]
        some = {
            row["case"]["size"]: row
            for row in of(rows, model, "size")
            if (row["case"]["n"], row["case"]["steps"]) == (n, steps)
        }
        each = (f"{size}: {short(1000 * row['cpu_seconds'] / (row['nfe'] * n))}" for size, row in sorted(some.items()))
        words = f"{', '.join(map(str, sizes))} {UNITS[model.split('/')[0]]}"
        yield [f"`{model}`", words, ", ".join(each), f"{found.exponent:.2f}"]


_PARTICLES = ("model", "what is known", "particles", "NFE", "gradients", "CPU s", "peak MB")


def _populations(rows: Sequence[Row], models: Mapping[tuple[str, str], CostModel]) -> Iterator[list[str]]:
    for row in sorted(
        (row for row in rows if row["case"]["series"] == "particles"),
        key=lambda row: (row["case"]["model"], row["case"]["particles"]),
    ):
        yield [
            f"`{row['case']['model']}`",
            _flags(row),
            f"{row['case']['particles']}",
            f"{row['nfe']:g}",
            f"{row['gradients']:g}",
            short(row["cpu_seconds"]),
            "–" if row["peak_mb"] is None else f"{row['peak_mb']}",
        ]


_TOLD = ("model", "what is known", "steps", "NFE", "gradients", "CPU s of 8 samples", "peak MB")


def _told(rows: Sequence[Row]) -> Iterator[list[str]]:
    for row in (row for row in rows if row["role"] == TOLD):
        yield [
            f"`{row['case']['model']}`",
            _flags(row) or "nothing",
            f"{row['steps']}",
            f"{row['nfe']:g}",
            f"{row['gradients']:g}",
            short(row["cpu_seconds"]),
            "–" if row["peak_mb"] is None else f"{row['peak_mb']}",
        ]


def _flags(row: Row) -> str:
    said = row["case"].get("flags", "").replace("{here}/", "")
    return f"`{said}`" if said else ""


TEXT = """\
# What samples cost

Written by `benchmarks/costs_report.py`; do not edit. Made by

    make bench-costs

Seconds are CPU seconds of one thread, medians of up to {repeats} draws, between the most and the least of which are
{scatter} by the median, on a machine of {cores} cores (load {load}), {dates}, commit {engines}. Another processor has
other seconds; calls, gradients and bytes are the same.

## Every shipped model at its defaults

`ornstein sample MODEL`, which draws {n} samples (of `weather/qg` 16 members of one forecast, of `poisson/solver` with
`--source 1.0`).

- *NFE*: calls of the network, *gradients*: products with its Jacobian, both of each sample.
- *start*: of a process, before its first draw.
- *kB a sample*: on the disk; *kB beside*: what a folder has however many samples are in it, such as its figures.
- *peak*: the most memory that the process had, with Python and PyTorch.

{defaults}

Samples are drawn in whole blocks (`--batch-size`; 8, of energies 256, if not said), and what only fills up a block is
drawn, too: one sample costs what a block costs. `--exact mcmc` is not measured here; see [Energies](energies.md).

## How it grows with n and steps

    CPU seconds = start + write · n + calls · (call · blocks + work · drawn · (size / unit)^p)

*drawn* are the samples of all blocks, *calls* those of one sample; *start* is that of a draw in a running process. The
coefficients are fitted to five draws of each model, of other numbers, steps and batches, by least squares of relative
errors; none is negative, and one of 0 could not be told from the others.

{coefficients}

{example}

## Predicted and measured

None of these draws was fitted, and their calls are predicted from the steps, too. {summary}

{predicted}

A masked model of sequences reveals several letters a call, so that it may need fewer calls than steps: at its default
the prediction, of a call a step, is above what is measured.

## How it grows with size

Networks of the same configuration with random weights, of samples of other sizes: what a model of that size costs. A
shipped model draws the size that it was trained on, but for `molecules/qm9`, which draws up to 29 atoms (`--atoms`),
and `mri/brain`, which draws slices of the scan's size. The power is *p* above; it holds between the sizes measured.

{sizes}

The others have one size and are not varied here: {fixed}.

## How it grows with particles

`--exact particles`, four samples of a population. All particles go through the network; where weights would fall apart,
calls are added.

{particles}

## What being told something costs

Eight samples, told something and not. A measurement takes gradients of the network at every step, as many as the solves
of its linear equations need.

{told}

## How it falls with workers

`--on dask`, wall seconds, from `benchmarks/workers.py`: of the drawing, once the workers stand, and of the whole
command. There cannot be more speed than cores.

{workers}

## On a GPU

Everything that was measured on a GPU is in this table, from single runs during the development. No figure above is of a
GPU. The trainings were bound by the launches of kernels, not by arithmetic, so that nothing is derived from them.

{gpu}

{h100}
"""
