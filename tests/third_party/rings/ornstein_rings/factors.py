"""What can be wanted of a point."""

from ornstein import Energy


def upwards(weight: float = 1.0) -> Energy:
    """Pushes points up: g = exp(weight · y)."""
    return Energy(lambda x: -x[:, 1], weight)
