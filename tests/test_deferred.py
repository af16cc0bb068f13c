"""Packages that are imported on first use: not before, and missed at once where they are not installed."""

import subprocess
import sys

import pytest

from ornstein.deferred import deferred


def test_a_package_is_imported_when_it_is_used_and_not_before() -> None:
    program = """
import sys
from ornstein.deferred import deferred
rules = deferred("json.tool", "wsgiref.util")
print("json.tool" in sys.modules, "wsgiref.util" in sys.modules)
print(rules.main.__name__, "json.tool" in sys.modules, "wsgiref.util" in sys.modules)"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False", "main", "True", "True"]


def test_a_package_that_is_not_installed_is_missed_at_once() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'absent'") as error:
        deferred("absent.part")
    assert error.value.name == "absent"


def test_an_attribute_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="json"):
        _ = deferred("json").absent
