"""How a measured number is written: with its standard error, if that is known, beside its yardstick."""

from ornstein.tasks.figures import Metric


def test_a_metric_is_written_with_its_errors() -> None:
    bare = Metric("R@10", 0.25, "higher", "Found.")
    assert (bare.measured, bare.yardstick) == ("0.25", "")
    known = Metric("R@10", 0.24609, "higher", "Found.", 0.41861, "real pictures", 0.02518, 0.0534)
    assert (known.measured, known.yardstick) == ("0.2461 ± 0.025", "0.4186 ± 0.053 (real pictures)")
