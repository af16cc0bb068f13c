"""What made samples, in the words of the command line: no Python, and a command that makes them again."""

import shlex
from pathlib import Path

from ornstein import cli
from ornstein.commands.asks import checked
from ornstein.commands.flags import parse
from ornstein.commands.sampling import sampling
from ornstein.config import SampleConfig
from ornstein.domains.images.task import ImagesRequest
from ornstein.report import walls
from ornstein.report.settings import in_words, phrase

SETTINGS = {
    "seed": 3,
    "first": 0,
    "exact": "particles",
    "steps": 6,
    "trajectory": True,
    "kernels": ["Predictor(eta=0.0, order=3, correct=True)", "Particles(temper=0.0, quiet=False)"],
    "times": [1.0, 0.5, 0.0],
    "guides": [{"prompt": {"label": "each sample's own"}, "scale": 2.0}],
    "prompt": ["a cat TO a dog", "x"],
    "negative": "",
    "label": None,
    "guidance": 2.5,
    "interval": (0.2, 0.8),
    "held_atoms": 3,
}


def test_the_command_makes_the_samples_again() -> None:
    rows = dict(in_words("images/openmoji", 4, SETTINGS, ImagesRequest()))
    program, *words = shlex.split(rows.pop("command"))
    assert program == "ornstein"
    places, named = parse("sample", sampling(ImagesRequest), words[1:])
    assert places == ["images/openmoji"]
    expected = ImagesRequest(prompt=("a cat TO a dog", "x"), guidance=2.5, interval=(0.2, 0.8))
    assert checked(named["asked"], ImagesRequest) == expected
    assert named["how"] == SampleConfig(n=4, seed=3, exact="particles", steps=6, trajectory=True)
    assert rows == {
        "kernels": "Predictor: eta 0.0, order 3, correct; Particles: temper 0.0",
        "guides": "prompt label each sample's own, scale 2",
        "held atoms": "3",
    }


def test_no_python_is_left() -> None:
    for value in (None, True, [1, 2.5], {"a": None, "b": [{"c": 1}]}, "Unmask(order='entropy', bound=0.5)"):
        said = phrase(value)
        assert not set("[]{}'=()") & set(said), said
        assert "None" not in said


def test_pictures_are_large_where_they_are_few() -> None:
    import torch

    for n, height in ((1, 128), (16, 112), (100, 45)):
        figure = walls.wall(torch.zeros(n, 1, 8, 8), walls.columns_of(n), "")
        assert figure.width is not None
        columns = walls.columns_of(n)
        assert height <= figure.width / columns <= height + 10


def test_the_film_of_a_folder_is_in_its_report(tmp_path: Path) -> None:
    folder = str(tmp_path / "drawn")
    assert cli.main(["sample", "images/digits", "--n", "2", "--steps", "2", "--trajectory", "--out", folder]) == 0
    assert cli.main(["show", folder]) == 0
    page = (tmp_path / "drawn" / "report.html").read_text()
    assert "data:image/gif;base64," in page
    assert "trajectory.gif" in page
    assert "Predictor(" not in page
