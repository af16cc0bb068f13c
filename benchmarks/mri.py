"""Brains from undersampled k-space of simulated coils, in every way: one table. Retrospective; not for clinical use.

    .bench-env/bin/python -m benchmarks.mri --data FOLDER --model mri/brain [--each 19] [--only TEXT] [--report]

Subjects that nothing was trained or tuned on (pycortex S1, six of ANTs), R = 4 and 8, true coil maps and ESPIRiT's:

    zero-filled, L1-wavelet, TV        see mri_peers.py; --tune prints the grid that λ was chosen from
    ours                               mean of the posterior's samples, its coverage and χ²; any run folder is a --model
    azula's MMPS, deepinv's DiffPIR    with the same prior, see mri_ours.py

and what becomes of brains of monkeys and of CT, which the prior does not know (--roles strange). With --calibrate
intervals are widened on validation subjects and judged on test subjects, the raw coverage beside it. See mri_data.py
for the data, which --data names.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from benchmarks import mri_data as data
from benchmarks import mri_ours as guided
from benchmarks import mri_peers as peers
from benchmarks.mri_cases import Row, accuracy, store, stored, table

from ornstein import calibration
from ornstein.denoisers.base import Denoiser
from ornstein.domains.mri import metrics
from ornstein.domains.mri.results.held_out import Verdict
from ornstein.tasks import runs

Drawn = Callable[[data.Measured], guided.Posterior]
LEVEL = 0.9
TUNED_ON = (("t1-coronal", 0), ("colin", 85))


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    if options.report:
        print(table(stored()))
    elif options.tune:
        tune(options)
    elif options.calibrate:
        calibrate(options)
    else:
        rows: list[Row] = []
        for row in made(options):
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
            if not options.quick:
                store([row])
        print(table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[], help="folder with subjects; several times")
    parser.add_argument("--model", default="mri/brain", help="a run folder or a shipped model")
    parser.add_argument("--each", type=int, default=8, help="posterior samples of a slice; 19 have intervals of 90 %%")
    parser.add_argument("--steps", type=int, default=16, help="of a sampler")
    parser.add_argument("--roles", nargs="*", default=["test"], choices=list(data.ROLES))
    parser.add_argument("--subjects", nargs="*", help="these alone")
    parser.add_argument("--most", type=int, help="slices of a subject")
    parser.add_argument("--acceleration", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--maps", nargs="*", default=["true", "ESPIRiT"], choices=["true", "ESPIRiT"])
    parser.add_argument("--only", default="", help="methods with this in their names; stored rows of others stay")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="print λ's grid on validation slices")
    parser.add_argument("--calibrate", action="store_true", help="widen intervals on validation subjects")
    parser.add_argument("--quick", action="store_true", help="one slice a subject; writes no file")
    parser.add_argument("--report", action="store_true", help="print the table of what is stored")
    options = parser.parse_args()
    if options.quick:
        options.most = 1
    return options


# The rows ---------------------------------------------------------------------------------------------


def made(options: argparse.Namespace) -> Iterator[Row]:
    """Each method on each subject; what needs files or a model that are not there is left out by name."""
    drawing = samplers(options)
    for role in options.roles:
        for slices in subjects(role, options):
            for acceleration in options.acceleration:
                for kind in options.maps:
                    seen = [data.measured(one, acceleration, kind) for one in slices]
                    for name, method in peers.METHODS.items():
                        if options.only in name and role != "strange":
                            yield of_peer(role, seen, name, method)
                    for name, draw in drawing.items():
                        yield of_samples(role, seen, name, draw)


def subjects(role: str, options: argparse.Namespace) -> Iterator[list[data.Slice]]:
    """The slices of each subject of a role."""
    try:
        for name, slices in groupby(data.ROLES[role](options.data), lambda one: one.subject):
            if not options.subjects or name in options.subjects:
                every = list(slices)
                yield every[len(every) // 2 :][:1] if options.most == 1 else every[: options.most]
    except data.Missing as error:
        print(f"left out: {error}", file=sys.stderr)


def samplers(options: argparse.Namespace) -> dict[str, Drawn]:
    """The ways to draw that were asked for, if there is a model."""
    effort = guided.Effort(options.each, options.steps)
    with_model: dict[str, Callable[[Denoiser, data.Measured, guided.Effort], guided.Posterior]] = {
        "ours": guided.ours,
        "azula's MMPS": partial(guided.others, guided.azula),
        "deepinv's DiffPIR": partial(guided.others, guided.diffpir),
    }
    wanted = {name: draw for name, draw in with_model.items() if options.only in name}
    if not wanted:
        return {}
    try:
        model = runs.load(options.model)
    except Exception as error:
        print(f"left out: {', '.join(wanted)}: {error}", file=sys.stderr)
        return {}
    return {name: lambda seen, draw=draw: draw(model, seen, effort) for name, draw in wanted.items()}


def of_peer(role: str, seen: list[data.Measured], name: str, method: peers.Method) -> Row:
    begun, weight = time.process_time(), peers.TUNED.get(name, {}).get(seen[0].acceleration, 0.0)
    found = np.stack([method(one, weight).abs().numpy() for one in seen])
    seconds = (time.process_time() - begun) / len(seen)
    return _row(role, seen, name, found, seconds, note=f"λ = {weight:g}" if weight else "")


def of_samples(role: str, seen: list[data.Measured], name: str, draw: Drawn) -> Row:
    drawn = [draw(one) for one in seen]
    members = np.stack([one.members for one in drawn])
    truth, mask = np.stack([one.of.magnitude for one in seen]), np.stack([one.of.brain for one in seen])
    inside = metrics.masked(truth.astype(np.float64), mask)
    held = calibration.Ranks.of(inside, members).coverage().near(LEVEL)
    verdict = Verdict.of([one.agreement for one in drawn if one.agreement]) if drawn[0].agreement else None
    return _row(
        role,
        seen,
        name,
        np.stack([one.mean for one in drawn]),
        sum(one.seconds for one in drawn) / len(drawn),
        coverage=held.value,
        level=held.reference,
        spread=calibration.spread_skill(inside, members).ratio.value,
        consistency=verdict and verdict.consistency,
        held_out=verdict and verdict.held_out,
        flagged=verdict and ("yes" if verdict.distrust else "no"),
        note=f"{members.shape[1]} samples",
    )


def _row(role: str, seen: list[data.Measured], name: str, found: np.ndarray, seconds: float, **said: object) -> Row:
    slices = [one.of for one in seen]
    about = (role, slices[0].subject, len(slices), seen[0].acceleration, name, seen[0].kind)
    return Row(*about, **accuracy(slices, found), seconds=seconds, **said)  # type: ignore[arg-type]


# λ, and the width of intervals ------------------------------------------------------------------------


def tune(options: argparse.Namespace) -> None:
    """Prints the mean PSNR of two validation slices by λ."""
    chosen = [one for one in data.validation(options.data) if (one.subject, one.number) in TUNED_ON]
    print("| R | method | " + " | ".join(f"{weight:g}" for weight in peers.GRID) + " |")
    print("|" + "---|" * (2 + len(peers.GRID)))
    for acceleration in options.acceleration:
        seen = [data.measured(one, acceleration) for one in chosen]
        for name, method in peers.METHODS.items():
            if name != "zero-filled" and options.only in name:
                cells = [f"{_mean_psnr(seen, method, weight):.2f}" for weight in peers.GRID]
                print(f"| {acceleration} | {name} | " + " | ".join(cells) + " |", flush=True)


def _mean_psnr(seen: Iterable[data.Measured], method: peers.Method, weight: float) -> float:
    found = [metrics.psnr(one.of.magnitude[None], method(one, weight).abs().numpy()[None])[0] for one in seen]
    return float(np.mean(found))


def calibrate(options: argparse.Namespace) -> None:
    """Prints coverage of the brain's voxels of test subjects: raw, and widened on validation subjects."""
    draw = samplers(options)["ours"]
    print("| R | widened by | level | raw | widened | parameter |\n|---|---|---|---|---|---|")
    for acceleration in options.acceleration:
        fit, judged = (_ensemble(role, acceleration, draw, options) for role in ("validation", "test"))
        for method in (calibration.Widening(), calibration.Conformal()):
            made = calibration.recalibrate(*fit, method, held_out=judged, levels=[_level(options.each)])
            before, after = made.before, made.after
            told = ", ".join(f"{name} {value[1]:.3g}" for name, value in made.fitted.parameters.items())
            cells = (f"{before.levels[0]:.1%}", *(f"{x.values[0]:.1%} ± {x.errors[0]:.1%}" for x in (before, after)))
            print(f"| {acceleration} | {made.method} | " + " | ".join(cells) + f" | {told} |", flush=True)


def _level(each: int) -> float:
    """The level nearest to 90 % that so many samples have."""
    return min((1 - 2 * k / (each + 1) for k in range(1, each // 2 + 1)), key=lambda level: abs(level - LEVEL))


def _ensemble(role: str, acceleration: int, draw: Drawn, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Truths, known in the brain alone, and members of all slices of a role, in units of the model's state."""
    truths, members = [], []
    for slices in subjects(role, options):
        for one in slices:
            found = draw(data.measured(one, acceleration, options.maps[0]))
            truths.append(np.where(one.brain, one.magnitude / found.scale, np.nan))
            members.append(found.members / found.scale)
    return np.stack(truths), np.stack(members)


if __name__ == "__main__":
    main()
