"""`ornstein train weather` is of the user's own files: no recipe of a world is taken for them."""

import pytest

from ornstein.tasks import runs


def test_files_of_ones_own_are_learned_by_no_recipe_of_a_world() -> None:
    """It was the recipe of the mast, by which all times from 2017-02-01 on were kept for tests."""
    found = runs.recipe("weather", None)
    said = (found.forecast, found.truth, found.test_from, found.validation_from, found.mirror, found.steps)
    assert said == ("", "", "", "", "", ())
    assert found == runs.recipe("weather", "default")
    assert (found.cycles, found.judged, found.network.patch) == ("auto", 40, 1)
    assert (found.train.minutes, found.train.batch_size) == (30, 16)


def test_the_recipe_called_default_is_taken_else_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "DEFAULT", "rain")
    assert runs.recipe("weather", None) == runs.recipe("weather", "rain")
    monkeypatch.setattr(runs, "DEFAULT", "none")
    assert runs.recipe("weather", None) == runs.recipe("weather", "default")


def test_recipes_of_worlds_say_which_files() -> None:
    for name in ("qg", "rain", "mast"):
        found = runs.recipe("weather", name)
        assert (found.forecast.split(".")[0], found.truth.split(".")[0]) == ("forecast", "truth")
