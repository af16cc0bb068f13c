"""A trust report says what was claimed, what holds, and what could be wrong; what does not hold it says first."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import ornstein as on
from folders import origin, run, saved, states
from fuzz import json_mutations, require_clean
from ornstein.cli import main
from ornstein.report.trust import TrustReport, retests
from ornstein.report.trust.page import page, printed
from ornstein.report.trust.statements import COLUMNS, LONGEST, Statement, height
from ornstein.sampling.diagnostics import Exactness
from ornstein.tasks import runs
from ornstein.tasks.figures import Metric
from ornstein.tasks.samples import Samples
from ornstein.tasks.scores import append_metrics
from worlds import rejected

MCMC: dict[str, Any] = {
    "method": "weights", "proposals": 800, "ess": 0.62, "k_hat": 0.31, "uncovered": 0.002, "jumps": 0.44,
    "acceptance": 0.57, "drift": 0.8, "r_hat": 1.013, "log_evidence": -0.105, "error": 0.021, "low": -0.146,
    "high": -0.06, "missing": 0.0078, "tolerance": 0.01, "check": -0.09, "check_error": 0.04, "families": 413.0,
    "sources": 240.0, "gradients": 164200, "values": 800, "budget": "90 s", "concerns": [], "notes": [],
    "divergences": 0, "passed": True,
}  # fmt: skip
PARTICLES = Exactness("particles", 64, (0.9, 0.34), 3, 40, -3.214, 0.101)
DOMAINS = ("energies", "images", "molecules", "mri", "poisson", "sequences", "weather")


def drawn(domain: str = "energies", n: int = 6, **more: Any) -> Samples:
    """Samples as they come, of a model of nobody's."""
    x, condition = states(domain, n)
    settings = {"seed": 4, "first": 0, "exact": "off", "steps": 3}
    return Samples(x, condition, origin(domain), (), 3, 0.1, settings, **more)


def exact(n: int = 240) -> torch.Tensor:
    """Draws from the system gmm-40."""
    from ornstein.domains.energies.data import recorded

    draw = recorded({"system": "gmm-40"}).draw
    assert draw
    return draw(on.Keys.of(0, n))


def of_record(x: torch.Tensor, **changes: Any) -> Samples:
    """Samples of gmm-40 with a record of mcmc, as a manifest has it."""

    class Record:
        def record(self) -> dict[str, Any]:
            return {name: value for name, value in (MCMC | changes).items() if value != "absent"}

    return Samples(x, {}, origin("energies"), settings={"seed": 4, "exact": "mcmc"}, exactness=Record())


def texts(report: TrustReport, section: str) -> str:
    return "\n".join(one.text for one in getattr(report, section))


def assert_trusted(samples: Samples) -> None:
    report = on.trust(samples)
    assert report.trusted, report.verdict


# Every way to draw, every domain ----------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_samples_of_every_domain(domain: str, tmp_path: Path) -> None:
    report = on.trust(saved(tmp_path / "drawn", domain))
    assert report.trusted, report.verdict
    assert report.verdict.startswith("nothing is claimed about exactness")
    assert "All 6 samples are finite" in texts(report, "tested")
    assert "Unchanged since the manifest was written" in texts(report, "tested")
    assert "Steps: the error of taking 3" in texts(report, "could_be_wrong")
    assert "are not at hand" in texts(report, "could_be_wrong")
    for section in ("claimed", "tested", "could_be_wrong"):
        assert all(one.basis for one in getattr(report, section))
    assert "ornstein sample RUN --n 6" in str(report)


def test_samples_of_a_denoiser_of_ones_own() -> None:
    report = on.trust(on.sample(on.oracles.ring(), 120, 4))
    assert report.trusted
    assert "120 samples of a denoiser of your own" in report.made
    assert "Parts of the samples agree" in texts(report, "tested")


def test_particles_say_families_and_evidence() -> None:
    genealogy = torch.tensor([0, 0, 0, 1, 2, 2])
    report = on.trust(drawn("images", exactness=PARTICLES, genealogy=genealogy))
    assert "log evidence -3.214 ± 0.101" in report.verdict
    assert "never fell below 34 %" in texts(report, "claimed")
    assert "stem from 3 first particles, in effect 3" in texts(report, "tested")  # 36 / (9 + 1 + 4) = 2.6
    assert "Worth 3 independent samples" in texts(report, "could_be_wrong")
    assert "Quoted, not measured anew: log evidence, effective sizes" in texts(report, "could_be_wrong")


def test_mcmc_says_how_much_may_be_missing() -> None:
    report = on.trust(of_record(exact()))
    assert report.verdict == "exact within the errors stated: at most 0.78 % of the mass could be missing (95 %)"
    claims, doubts = texts(report, "claimed"), texts(report, "could_be_wrong")
    for said in ("log Z -0.105 ± 0.021 nats, between -0.146 and -0.060", "62 %", "k̂ 0.31", "1.013", "165,000", "90 s"):
        assert said in claims
    assert doubts.startswith("Up to 0.78 % of the mass could be missing (95 %)")
    assert "by 413 families" in doubts
    assert "units of kT" in doubts
    assert "log Z may be as high as -0.060" in doubts


def test_more_may_be_missing_than_is_tolerated() -> None:
    report = on.trust(of_record(exact(), missing=0.09, families=33.0, uncovered=0.102))
    assert report.verdict.startswith("as far as was searched: up to 9 % of the mass")
    assert "more than the tolerance of 1 %" in report.verdict
    assert "In 10 % of the mass, which the model's draws do not reach" in texts(report, "could_be_wrong")
    nothing = on.trust(of_record(exact(), missing=1.0, families=0.0, check=None, check_error=None))
    assert "Nothing searched for modes" in texts(nothing, "could_be_wrong")


def test_an_old_record_says_that_nothing_bounds_what_is_missing(tmp_path: Path) -> None:
    new = ("uncovered", "low", "high", "missing", "tolerance", "families", "sources", "budget")
    report = on.trust(of_record(exact(), **dict.fromkeys(new, "absent")))
    assert report.trusted
    assert "too old to say how much could be missing" in report.verdict
    assert "no share of the mass is excluded" in texts(report, "could_be_wrong")
    folder = rewritten(saved(tmp_path / "old", "energies"), lambda manifest: manifest.pop("exactness"))
    assert on.trust(folder).verdict.startswith("nothing is claimed")


def test_merged_samples(tmp_path: Path) -> None:
    parts = []
    for k in range(2):
        x = exact(160)[80 * k :][:80]
        settings = {"seed": 0, "first": 80 * k, "steps": 3}
        parts.append(Samples(x, {}, origin("energies"), (), 3, 0.1, settings).save(tmp_path / f"part-{k}"))
    report = on.trust(on.merge(parts).save(tmp_path / "merged"))
    assert report.trusted
    assert "160 samples" in report.made
    assert "Parts of the samples agree" in texts(report, "tested")


# What does not hold -----------------------------------------------------------------------------------


def test_a_record_that_is_not_to_be_trusted_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    concern = "R̂ 1.200 is above 1.010"
    report = on.trust(of_record(exact(), concerns=[concern], passed=False))
    assert report.verdict == f"NOT TO BE TRUSTED: The record itself warns: {concern}"
    assert report.claimed[-1].holds is False
    assert next(iter(report.sections.values()))[0].text.endswith(concern)
    assert page(report).index("NOT TO BE TRUSTED") < page(report).index("<h2>")
    folder = rewritten(
        saved(tmp_path / "x", "energies"), lambda manifest: manifest.update(exactness=MCMC | {"concerns": [concern]})
    )
    assert main_exits(["trust", str(folder)]) == 1
    said = capsys.readouterr().out
    assert said.index("NOT TO BE TRUSTED") < said.index("Claimed")


def test_a_collapsed_population_is_not_trusted() -> None:
    collapsed = replace(PARTICLES, families=2)
    rejected(assert_trusted, drawn(exactness=collapsed, genealogy=torch.tensor([0, 0, 0, 1, 1, 1])))


def test_files_that_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path / "x", "energies")
    with np.load(folder / "samples.npz") as arrays:
        np.savez(folder / "samples.npz", x=arrays["x"] + 1, energy=arrays["energy"])
    assert main_exits(["trust", str(folder)]) == 1
    assert "NOT TO BE TRUSTED: samples.npz: changed since" in capsys.readouterr().out
    (folder / "samples.npz").unlink()
    assert main_exits(["trust", str(folder)]) == 2


def test_scores_that_are_not_measured_again(tmp_path: Path) -> None:
    folder = saved(tmp_path / "x", "energies")
    metrics = runs.evaluate(folder)
    report = on.trust(folder)
    assert report.trusted, report.verdict
    assert "As scores.json says: virial, mean energy, shares of modes" in texts(report, "tested")
    assert "Wasserstein-2" in texts(report, "could_be_wrong")
    better = [replace(one, value=1.02 * one.value) if one.name == "mean energy" else one for one in metrics]
    append_metrics(folder, better)
    assert "scores.json says mean energy" in on.trust(folder).verdict


def test_samples_that_are_said_to_be_exact_and_miss_what_is_known() -> None:
    assert_trusted(of_record(exact()))
    rejected(assert_trusted, of_record(3 * exact()))
    wide = on.trust(Samples(3 * exact(), {}, origin("energies")))  # nothing is claimed of these
    assert wide.trusted
    assert "standard errors off" in texts(wide, "tested")


@pytest.mark.parametrize(
    "changes",
    [{"k_hat": 0.9}, {"r_hat": 1.5}, {"drift": -8.0}, {"missing": -0.2}, {"low": 0.3}, {"concerns": ["x"]}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_that_contradicts_itself(changes: dict[str, Any]) -> None:
    assert "The record agrees with itself" in texts(on.trust(of_record(exact())), "tested")
    assert "The record contradicts itself" in on.trust(of_record(exact(), **changes)).verdict
    few = on.trust(of_record(exact(), r_hat=1.5, sources=12.0))  # of which R̂ says nothing
    assert "contradicts" not in few.verdict


def test_more_families_than_the_record_has(tmp_path: Path) -> None:
    genealogy = torch.arange(6)
    assert_trusted(drawn("images", exactness=PARTICLES, genealogy=genealogy))
    few = replace(PARTICLES, families=5)
    assert (
        "more than the 5 that the record has" in on.trust(drawn("images", exactness=few, genealogy=genealogy)).verdict
    )


def test_weights_are_compared(tmp_path: Path) -> None:
    model = run(tmp_path / "run")
    loaded = on.load(model)
    folder = on.sample(loaded, 6, 3).save(tmp_path / "x")
    assert "are those of" in texts(on.trust(folder, model=model), "tested")
    other = run(tmp_path / "other", particles=3000)
    assert "are not those of" in on.trust(folder, model=other).verdict
    assert main_exits(["trust", str(folder), "--model", str(tmp_path / "none")]) == 2


def test_groups_disagree_where_samples_drift() -> None:
    still = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    drifting = still + torch.linspace(0, 2, 400)[:, None]

    def assert_agree(x: torch.Tensor) -> None:
        assert retests.groups_r_hat(x) < 1 + 48 / 400

    assert_agree(still)
    rejected(assert_agree, drifting)
    letters = torch.randint(4, (400, 30), generator=torch.Generator().manual_seed(0))
    assert_agree(letters)
    rejected(assert_agree, torch.where(torch.arange(400)[:, None] < 200, letters, letters % 2))
    labels = {"label": torch.arange(400) // 200}
    told = Samples(drifting, labels)  # half of them are given something else
    assert retests.groups(told, 400, True) is None
    found = retests.groups(Samples(drifting), 400, True)
    assert found
    assert found.holds is False


def test_copies_are_counted() -> None:
    x = exact(12)
    report = on.trust(Samples(torch.cat([x, x[:1], x[:1]]), {}, origin("energies")))
    assert "12 are distinct, and one of them comes 3 times" in texts(report, "tested")
    assert "2 samples repeat others" in texts(report, "could_be_wrong")


def test_errors_know_of_families() -> None:
    """Pairs of equal samples are worth half: the standard error of the mean energy is √2 larger, or somewhat more."""
    x = exact(100).repeat_interleave(2, 0)
    alone = {one.name: one for one in _retest(Samples(x, {}, origin("energies")))}
    paired = {one.name: one for one in _retest(Samples(x, {}, origin("energies"), genealogy=torch.arange(200) // 2))}
    for name in ("virial", "mean energy"):
        one, two = alone[name], paired[name]
        assert one.value == pytest.approx(two.value)
        assert one.error
        assert two.error == pytest.approx(2**0.5 * one.error, rel=0.1)


def _retest(samples: Samples) -> list[Metric]:
    from ornstein.tasks.registry import task

    return task("energies").retest(samples)


def test_data_of_the_users_are_not_opened_by_a_manifest(tmp_path: Path) -> None:
    folder = saved(tmp_path / "x", "images", data="/etc/passwd")
    assert "were not measured anew" in texts(on.trust(folder), "could_be_wrong")


# The page ---------------------------------------------------------------------------------------------


def full(text: str) -> TrustReport:
    """A report with more to say than a page holds."""
    many = [Statement(f"{k} {text}", text, True) for k in range(30)]
    return TrustReport(text, text[:200], text[:200], text, many, [Statement(text, text, False), *many], many)


def printed_lines(report: TrustReport) -> float:
    """Lines of 8.8 points in 178 mm: of the statements, the head and the verdict, and what gaps take of the page."""
    head = [len(report.made), len(report.command) * 1.1, len(report.verdict)]
    said = [height(one) for part in report.sections.values() for one in part]
    return sum(said) + sum(-(-length // COLUMNS) for length in head) + HEADINGS


HEADINGS, PAGE = 13.6, 66.6  # lines: of the title, three headings and the frame of the verdict; and of 269 mm


@pytest.mark.parametrize("report", [full("word " * 400), full("a" * 2000), full("few")], ids=["words", "a word", "few"])
def test_whatever_there_is_to_say_fits_one_page_and_the_terminal(report: TrustReport) -> None:
    assert all(len(one.text) <= LONGEST for part in report.sections.values() for one in part)
    assert "more, for which this page has no room" in page(report)
    assert printed_lines(report) < PAGE
    assert report.sections["Tested, from the files alone"][0].holds is False
    shown = terminal(report, 140)
    assert max(map(len, shown.splitlines())) <= 100


def terminal(report: TrustReport, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(printed(report))
    return capture.get()


def test_a_page_shows_text_of_others_as_it_is(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\x1b[2J[/nope]"

    def change(manifest: dict[str, Any]) -> None:
        manifest["model"]["name"] = manifest["versions"]["ornstein"] = manifest["created"] = evil
        manifest["notes"] = [evil]
        manifest["settings"]["guides"] = [{"factor": evil}, {"scale": evil}]
        manifest["exactness"] = MCMC | {"method": evil, "budget": evil, "notes": [evil], "concerns": [evil]}

    folder = rewritten(saved(tmp_path / "x", "energies"), change)
    append_metrics(folder, [Metric(evil, 1.0, "higher", evil, 2.0, evil)])
    assert main_exits(["trust", str(folder)]) == 1
    html = (folder / "trust.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "\x1b" not in html
    assert "default-src 'none'" in html
    assert "[/nope]" in terminal(on.trust(folder), 100)
    assert "\x1b" not in str(on.trust(folder))


def test_the_command_writes_a_page_with_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = rewritten(saved(tmp_path / "x", "energies"), lambda manifest: manifest.update(exactness=MCMC))
    assert main_exits(["trust", str(folder), "--out", str(tmp_path / "page.html")]) in (0, 1)
    assert not (folder / "trust.html").exists()
    said, html = " ".join(capsys.readouterr().out.split()), (tmp_path / "page.html").read_text()
    for number in ("-0.105 ± 0.021", "0.78 %", "0.31", "1.013", "165,000", "413"):
        assert number in said
        assert number in html
    assert main_exits(["trust", str(tmp_path / "absent")]) == 2
    assert main_exits(["trust", "--help"]) == 0
    assert "what could still be wrong" in " ".join(capsys.readouterr().out.split())


def main_exits(command: list[str]) -> int:
    try:
        return main(command)
    except SystemExit as stop:
        return int(stop.code or 0)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A folder of samples whose manifest was changed."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("exactness", [None, PARTICLES.record(), MCMC], ids=["off", "particles", "mcmc"])
def test_manifests_that_are_almost_right_are_read_or_refused(exactness: Any, tmp_path: Path) -> None:
    require_reported(exactness, tmp_path, 30)


@pytest.mark.slow
@pytest.mark.parametrize("exactness", [None, PARTICLES.record(), MCMC], ids=["off", "particles", "mcmc"])
def test_manifests_that_are_almost_right_are_read_or_refused_at_length(exactness: Any, tmp_path: Path) -> None:
    require_reported(exactness, tmp_path, 1000)


def require_reported(exactness: Any, place: Path, n: int) -> None:
    folder = rewritten(
        saved(place / "x", "energies"),
        lambda manifest: manifest.update(exactness=exactness, family=[0, 0, 1, 2, 2, 2] if exactness else None),
    )
    path = folder / "manifest.json"
    good = json.loads(path.read_text())

    def report(manifest: Any) -> None:
        path.write_text(json.dumps(manifest))
        found = on.trust(folder)
        assert page(found)
        assert terminal(found, 100)
        assert str(found)

    changed: Iterator[Any] = json_mutations(good, n, 5)
    accepted, _ = require_clean(report, changed)
    assert accepted
