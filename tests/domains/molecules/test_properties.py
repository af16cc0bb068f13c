"""Properties of molecules: regressors see no turn, halves share nothing, guides compose, judges are honest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError
from ornstein.cli import main
from ornstein.config import update
from ornstein.denoisers.regressors import Regressor
from ornstein.domains.molecules import data, factors, metrics
from ornstein.domains.molecules.task import Molecules, MoleculesConfig, MoleculesRequest
from ornstein.guidance.classifiers import NoisyClassifierGuidance
from ornstein.keys import Keys
from ornstein.networks import MolecularConfig, MolecularRegressor
from ornstein.spaces import TimePath
from ornstein.tasks import requests, runs
from ornstein.tasks.strength import ValueFunction
from worlds import rejected

SMALL = {
    "network": {"width": 16, "layers": 2, "heads": 2, "pairs": 8, "vectors": 4, "radial": 8},
    "train": {"steps": 2, "batch_size": 4, "validate_every": 100, "plan": []},
}
MASK = torch.arange(9) < torch.tensor([9, 5, 7])[:, None]
T = torch.tensor([0.1, 0.5, 0.9])


# The network ------------------------------------------------------------------------------------------


def network() -> MolecularRegressor:
    torch.manual_seed(0)
    made = MolecularRegressor(MolecularConfig(width=32, layers=3, heads=4, pairs=16, vectors=8), 5, 3)
    with torch.no_grad():
        for parameter in made.parameters():  # what starts at zero must not stay there
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def state() -> dict[str, Tensor]:
    keys = Keys.of(3, 3)
    cloud = keys.fold("x").normal(9, 3).float() * MASK[..., None]
    return {"positions": cloud, "atoms": keys.fold("a").uniform(9).mul(5).long() * MASK}


def seen(x: dict[str, Tensor], mask: Tensor = MASK, t: Tensor = T) -> Tensor:
    with torch.no_grad():
        return network()(x, t, {"mask": mask})


def assert_unchanged(by: Tensor, shift: float = 0.0) -> None:
    moved = {**state(), "positions": (state()["positions"] @ by.T + shift) * MASK[..., None]}
    assert (seen(moved) - seen(state())).abs().max() < 1e-5


def test_turned_mirrored_and_shifted_molecules_have_the_same_properties() -> None:
    turn = torch.linalg.qr(Keys.of(0, 1).normal(3, 3)[0])[0].float()
    for orthogonal in (turn, -turn):  # one of them is a mirror
        assert_unchanged(orthogonal)
    assert_unchanged(torch.eye(3), 2.0)
    rejected(assert_unchanged, torch.diag(torch.tensor([1.0, 1.2, 1.0])))


def test_order_and_padding_change_nothing() -> None:
    order = torch.tensor([3, 0, 2, 1, 4, 5, 8, 7, 6])
    whole = torch.ones_like(MASK)
    exchanged = {name: part[:, order] for name, part in state().items()}
    assert torch.allclose(seen(exchanged, whole), seen(state(), whole), atol=1e-5)
    alone = {name: part[1:2, :5] for name, part in state().items()}
    assert torch.allclose(seen(alone, MASK[1:2, :5], T[1:2]), seen(state())[1:2], atol=1e-5)


def test_codes_are_their_atoms_and_teach() -> None:
    code = torch.nn.functional.one_hot(state()["atoms"], 5).float() * MASK[..., None]
    assert torch.allclose(seen({**state(), "atoms": code}), seen(state()), atol=1e-5)
    code.requires_grad_()
    (slope,) = torch.autograd.grad(network()({**state(), "atoms": code}, T, {"mask": MASK})[:, 0].sum(), code)
    assert slope[MASK].abs().max() > 0
    assert (slope[~MASK] == 0).all()


# Training ---------------------------------------------------------------------------------------------


def test_halves_are_disjoint_and_have_the_facts_of_the_whole() -> None:
    whole, _ = data.load("qm9-sample")
    first, second = (data.half(whole, which) for which in ("first", "second"))
    assert (len(first), len(second)) == (1000, 1000)
    assert first.metadata == second.metadata == whole.metadata
    both = torch.cat([half.condition["properties"] for half in (first, second)])
    assert torch.equal(both, whole.condition["properties"])
    assert data.half(whole, "") is whole


def trained(folder: Path, predict: str = "noisy") -> Path:
    config = update(MoleculesConfig("qm9-sample"), {**SMALL, "predict": predict, "half": "second"}, "test")
    return runs.train("molecules", f"small-{predict}", config, folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("regressor") / "run")


@pytest.fixture(scope="module")
def regressor(run: Path) -> Regressor:
    return on.load_regressor(run)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = update(MoleculesConfig("qm9-sample"), SMALL, "test")
    return on.load(runs.train("molecules", "small", config, tmp_path_factory.mktemp("model") / "run"))


def test_nothing_can_be_drawn_from_a_regressor(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.name == "regressor.safetensors"
    for place in (str(run.parent), "molecules/qm9-judge"):
        assert main(["sample", place]) == 2
        assert "a regressor, which predicts and draws nothing" in capsys.readouterr().err
    assert main(["sample", str(run)]) == 2
    assert "a regressor checkpoint, expected a model checkpoint" in capsys.readouterr().err
    with pytest.raises(InputError, match="no file, run folder or shipped regressor"):
        on.load_regressor("molecules/qm9-juge")


def test_regressors_are_shipped_apart() -> None:
    assert {"molecules/qm9-judge", "molecules/qm9-regressor"} <= set(on.shipped("regressor"))
    assert not set(on.shipped()) & set(on.shipped("regressor"))
    for folder in on.shipped("regressor").values():
        assert {path.name for path in folder.iterdir()} == {
            "regressor.safetensors", "config.toml", "scores.json", "card.md",
        }  # fmt: skip
        assert (folder / "regressor.safetensors").stat().st_size < 4e6


def test_data_without_properties_have_nothing_to_predict(tmp_path: Path) -> None:
    (tmp_path / "two.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n2\n\nH 0 0 0\nF 0 0 0.92\n")
    with pytest.raises(InputError, match="has no properties to predict"):
        Molecules().data(update(MoleculesConfig(str(tmp_path / "two.xyz")), {"predict": "clean"}, "test"))


def test_the_recipe_knows_the_times_of_the_model_that_it_guides() -> None:
    guide, guided = (runs.recipe("molecules", name) for name in ("qm9-regressor", "qm9"))
    assert guide.element_power == guided.element_power
    assert guide.train.apart == guided.train.apart > 0


# Guidance ---------------------------------------------------------------------------------------------


def test_it_sees_molecules_at_the_times_of_the_models_path(model: Any, regressor: Regressor) -> None:
    """Whatever path it was trained on: elements are masked for long, and positions tell it the noise."""
    x, condition = data.load("qm9-sample")[0].batch(torch.arange(6))
    moved = model.along(TimePath.of(positions=lambda u: u**2, atoms=lambda u: 1 - (1 - u) ** 8))
    space = moved.space.with_mask(condition["mask"])
    x_t = space.noise(x, 0.6, Keys.of(0, 6))
    factor: Any = factors.property_regressor({"gap": 6.5}, by=regressor).bound(moved)
    value, _ = factor.update(moved(x_t, 0.6, {"mask": condition["mask"]}), x_t, 0.6, space)
    y = factors.targets({"gap": 6.5}, model.origin.metadata)[None]
    expected = regressor(x_t, space.own_times(0.6), {"mask": condition["mask"]}).log_prob(y)
    torch.testing.assert_close(value.float(), expected, atol=1e-4, rtol=1e-4)
    clock = regressor(x_t, 0.6, {"mask": condition["mask"]}).log_prob(y)
    assert (clock - expected).abs().max() > 2e-3  # of a regressor that sees the clock of the sampler


def test_the_factor_is_the_regressors_likelihood(model: Any, regressor: Regressor) -> None:
    metadata = model.origin.metadata
    factor: Any = factors.property_regressor({"gap": 6.5, "mu": 2.0}, 2.0, regressor).bound(model)
    x, condition = data.load("qm9-sample")[0].batch(torch.arange(6))
    seen = regressor(x, 0.0, {"mask": condition["mask"]})
    y = data.standardised(torch.tensor([[torch.nan, 6.5, torch.nan, torch.nan, 2.0, torch.nan]]), metadata)
    certain = model.space.with_mask(condition["mask"]).point_mass(x)
    assert torch.allclose(factor.log_expect(certain), 2 * seen.log_prob(y).to(certain["positions"].mean), atol=1e-4)


def test_it_composes_and_is_weighed(model: Any, regressor: Regressor) -> None:
    guided = model & factors.property_regressor({"gap": 6.5}, by=regressor) & factors.hydrogen_bond()
    condition = {"mask": torch.arange(29) < torch.tensor([[9], [9], [29], [12]])}
    drawn = on.sample(guided, 4, 3, eta=1.0, condition=condition)
    assert drawn.x["positions"].isfinite().all()
    expected = {"factor": "ClassifierGuidance", "of": "Agreement", "weight": 1.0, "trust": factors.TRUST}
    assert drawn.settings["guides"][0] == expected
    weighed = on.sample(guided, 4, 3, exact="particles", particles=8, condition=condition)
    assert weighed.exactness is not None
    assert 0 < weighed.exactness.ess[-1] <= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"elements": [1, 6]}, "was trained with elements"),
        ({"std": 1.0}, "was trained with std"),
        ({"length": 9}, "was trained with length"),
    ],
)
def test_a_guide_for_another_model_is_refused(model: Any, regressor: Regressor, change: Any, said: str) -> None:
    other = model.having(origin=replace(model.origin, metadata={**model.origin.metadata, **change}))
    with pytest.raises(InputError, match=said):
        _ = other & factors.property_regressor({"gap": 6.5}, by=regressor)


def test_what_a_guide_does_not_know_is_refused(model: Any, regressor: Regressor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="property 'colour': this model knows alpha, gap"):
        factors.property_regressor({"colour": 1.0}, by=regressor)
    with pytest.raises(InputError, match="was trained on clean molecules, expected noisy ones"):
        factors.property_value("gap", on.load_regressor(trained(tmp_path / "clean", "clean")))
    with pytest.raises(InputError, match="--guide-by are about properties"):
        MoleculesRequest(guide_by="regressor")


def test_a_knob_is_the_regressors_mean(model: Any, regressor: Regressor) -> None:
    knob = factors.property_value("alpha", regressor).make(model)
    assert isinstance(knob, ValueFunction)
    x, condition = data.load("qm9-sample")[0].batch(torch.arange(6))
    code = model.space.with_mask(condition["mask"]).point_mass(x).mean
    expected = regressor(x, 0.0, {"mask": condition["mask"]}).mean
    assert torch.allclose(knob(code), data.in_units(expected, model.origin.metadata)[:, 0], atol=1e-2)


def foreseen_and_expected(model: Any, foreseen: ValueFunction, t: float = 0.6) -> tuple[Tensor, Tensor]:
    """A count of noisy molecules, and the mean of the belief about it."""
    x, condition = data.load("qm9-sample")[0].batch(torch.arange(6))
    space = model.space.with_mask(condition["mask"])
    x_t = space.noise(x, t, Keys.of(0, 6))
    with torch.no_grad():
        belief = model(x_t, t, {"mask": condition["mask"]})
    return foreseen.of(space.point_mass(x_t).mean, t), belief.mean["atoms"][..., 2].sum(-1)


def assert_foreseen(model: Any, foreseen: ValueFunction) -> None:
    torch.testing.assert_close(*foreseen_and_expected(model, foreseen), atol=1e-4, rtol=1e-4, check_dtype=False)


def test_counted_atoms_are_those_that_the_model_expects(model: Any) -> None:
    nitrogen = factors.element_count("N").make(model)
    assert_foreseen(model, nitrogen)
    rejected(assert_foreseen, model, factors.element_count(8).make(model))
    x, condition = data.load("qm9-sample")[0].batch(torch.arange(6))
    assert isinstance(x, dict)
    code = model.space.with_mask(condition["mask"]).point_mass(x).mean
    assert torch.allclose(nitrogen(code), ((x["atoms"] == 2) & condition["mask"]).sum(1).to(code["atoms"]))
    with pytest.raises(InputError, match="counted: the model does not know S, only H, C, N, O"):
        factors.element_count(16).make(model)


def test_the_flag_asks_the_shipped_regressor() -> None:
    """The facts of the shipped model are those that its regressor was trained with."""
    model: Any = on.load("molecules/qm9")
    metadata = model.origin.metadata
    (prompt,) = Molecules().request(MoleculesRequest(properties=("gap=6.5",)), range(2), metadata).guides
    (factor,) = (
        Molecules().request(MoleculesRequest(properties=("gap=6.5",), guide_by="regressor"), range(2), metadata).guides
    )
    assert "prompt" in (model & prompt).provenance[0]
    assert isinstance((model & factor).factors[0], NoisyClassifierGuidance)


# Judging ----------------------------------------------------------------------------------------------


def test_errors_are_means_of_what_is_known() -> None:
    found = torch.tensor([[1.0, 5.0], [3.0, 7.0]])
    assert metrics.absolute_errors(found, torch.tensor([[2.0, torch.nan]])).tolist()[0] == 1.0
    assert metrics.absolute_errors(found, torch.tensor([[1.0, torch.nan], [1.0, 4.0]])).tolist() == [1.0, 3.0]


def test_the_best_guess_by_size_is_the_mean_of_that_size() -> None:
    values = torch.tensor([[1.0], [3.0], [10.0]])
    assert metrics.by_size(values, torch.tensor([4, 4, 9])).tolist() == [[2.0], [2.0], [10.0]]


def assert_judged(found: list[Any], times_better: float = 1.5) -> None:
    """The judge is well below what the number of atoms says, for every property."""
    truth = metrics.true_properties(found, list(data.PROPERTIES))
    alone = metrics.absolute_errors(metrics.by_size(truth, torch.tensor([len(m) for m in found])), truth)
    errors = metrics.absolute_errors(metrics.read_off(metrics.judge_of_qm9(), found), truth)
    assert (times_better * errors < alone).all()


def test_the_judge_knows_molecules_that_it_has_not_seen() -> None:
    found = list(data.reference("qm9")[:300])
    assert_judged(found)
    exchanged = zip(found, found[1:] + found[:1], strict=True)
    rejected(assert_judged, [replace(one, properties=other.properties) for one, other in exchanged])


def test_the_judge_and_the_guide_share_no_molecule() -> None:
    both = [on.load_regressor(f"molecules/qm9-{kind}").origin for kind in ("judge", "regressor")]
    halves = {origin.config["half"] for origin in both if origin is not None}
    assert halves == {"first", "second"}


def test_samples_are_scored_by_what_was_asked_of_them() -> None:
    found = list(data.reference("qm9")[:100])
    near, far = (_errors_from({"gap": value}, [found])[0] for value in (6.8, 12.0))
    assert near.name == "gap, mean absolute error (meV)"
    assert near.value < far.value
    assert near.reference == pytest.approx(1000 * float(metrics.own_errors()[1]))
    assert _errors_from({}, [found]) == []
    values = metrics.read_off(metrics.judge_of_qm9(), found)[:, [1]]
    assert near.value == pytest.approx(1000 * float(metrics.absolute_errors(values, torch.tensor([[6.8]]))), rel=1e-5)
    both = _errors_from({"gap": 6.8, "mu": 2.0}, [found[:30], found[30:]])
    assert both[0].value == pytest.approx(near.value, rel=1e-5)
    assert both[0].meaning == near.meaning


def _errors_from(wanted: dict[str, float], parts: list[Any]) -> list[Any]:
    tally = metrics.Wanted(wanted)
    for part in parts:
        tally.add(part)
    return tally.metrics()


@pytest.mark.slow
def test_the_guide_moves_what_the_judge_sees() -> None:
    """Molecules asked for a small and a large gap differ by more than two electronvolts, by either way of asking."""
    model = on.load("molecules/qm9")
    for way in ("prompt", "regressor"):
        low, high = (
            requests.draw(model, MoleculesRequest(18, (f"gap={gap}",), guide_by=way), 16, steps=30)  # pyright: ignore[reportArgumentType]
            for gap in (5.0, 9.0)
        )
        assert _gap(high) - _gap(low) > 1.5
        rejected(_differ, low, low)


def _gap(drawn: Any) -> float:
    found = data.molecules(drawn.x, drawn.condition["mask"], drawn.origin.metadata)
    return float(metrics.read_off(metrics.judge_of_qm9(), found)[:, 1].mean())


def _differ(low: Any, high: Any) -> None:
    assert _gap(high) - _gap(low) > 1.5
