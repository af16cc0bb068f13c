"""Old names work for one version, and say what the new ones are."""

from pathlib import Path
from typing import Any

import pytest
import torch

import ornstein as on
from ornstein.cli import main
from ornstein.deprecation import members, renamed
from ornstein.domains.images.task import ImagesRequest
from ornstein.tasks.registry import domains, task


def test_every_old_public_name_is_the_new_thing() -> None:
    package: Any = on
    for old, new in on._RENAMED.items():
        with pytest.warns(DeprecationWarning, match=rf"{old} is now ornstein\.{new}; the old name will go in 0\.3"):
            assert getattr(package, old) is getattr(package, new)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (on.images, "Ink", "Brightness"),
        (on.molecules, "apart", "clash_penalty"),
        (on.molecules, "bound", "docking_energy"),
        (on.operators, "Subset", "Mask"),
        (on.operators, "Relative", "Centered"),
    ],
)
def test_old_names_of_modules(module: Any, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
        assert getattr(module, old) is getattr(module, new)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_old_keywords() -> None:
    made: Any = on.HMC
    with pytest.warns(DeprecationWarning, match=r"HMC\(leaps=\) is now HMC\(num_steps=\)"):
        assert made(leaps=7) == on.HMC(num_steps=7)
    with pytest.warns(DeprecationWarning, match="step_size"):
        assert made(step=0.2, goal=0.9) == on.HMC(step_size=0.2, target_accept=0.9)
    with pytest.raises(TypeError):
        made(hops=7)


def test_old_keywords_of_sample() -> None:
    world = on.oracles.ring()
    seen, draw = [], getattr(on, "sample")  # noqa: B009, its type knows no old names
    with pytest.warns(DeprecationWarning, match="is now"):
        drawn = draw(world, 2, 3, film=True, watch=seen.append)
    assert len(drawn.trajectory) == 4
    assert len(seen) >= 3
    with pytest.warns(DeprecationWarning, match=r"Samples\.film is now Samples\.trajectory"):
        assert drawn.film is drawn.trajectory


def test_old_members() -> None:
    space: Any = on.Euclidean((2,))
    with pytest.warns(DeprecationWarning, match=r"Space\.certain is now Space\.point_mass"):
        belief = space.certain(torch.ones(3, 2))
    assert belief.mean.equal(space.point_mass(torch.ones(3, 2)).mean)
    density: Any = on.Density
    with pytest.warns(DeprecationWarning, match="of_energy"):
        assert isinstance(density.of(lambda x: x.sum(-1), space), on.Density)


def forgotten(**new: str) -> Any:
    """A broken twin of `renamed`: it drops what it is given by its old name."""

    def decorate(function: Any) -> Any:
        return lambda **options: function(**{name: value for name, value in options.items() if name not in new})

    return decorate


def test_a_value_arrives_by_its_old_name() -> None:
    def arrives(decorator: Any) -> None:
        @decorator(old="new")
        def function(new: int = 0) -> int:
            return new

        with pytest.warns(DeprecationWarning, match="is now"):
            assert function(old=3) == 3

    arrives(renamed)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        arrives(forgotten)


def test_a_member_that_is_gone_is_an_error() -> None:
    @members(old="new")
    class Thing:
        pass

    thing: Any = Thing()
    with pytest.warns(DeprecationWarning, match="is now"), pytest.raises(AttributeError, match="new"):
        _ = thing.old


def test_old_flags_and_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    command = ["sample", "images/digits", "--n", "2", "--steps", "2", "--film", "--out", str(folder)]
    assert main(command) == 0
    assert (folder / "trajectory.gif").exists()
    assert main(["sample", "images/digits", "--n", "1", "--ink=2"]) == 2
    assert main(["score", str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr().err
    for line in ("--film is now --trajectory", "--ink is now --brightness", "score is now evaluate"):
        assert line in said
    assert "--brightness is 2.0" in said


def test_every_new_flag_is_one() -> None:
    for domain in domains():
        this = task(domain)
        for flag in this.renamed_flags.values():
            assert flag.removeprefix("--").replace("-", "_") in vars(this.request_type())


def test_requests_by_their_old_fields() -> None:
    made: Any = ImagesRequest
    with pytest.warns(DeprecationWarning, match=r"ImagesRequest\(ink=\)"):
        assert made(ink=0.4) == ImagesRequest(brightness=0.4)
