"""How a ring is judged: by its radius."""

from torch import Tensor

from ornstein.tasks.figures import Metric


def judged(x: Tensor, radius: float) -> list[Metric]:
    """The mean distance from the origin beside that of the data, and the height of the points' mean."""
    return [
        Metric("radius", x.norm(dim=1).mean().item(), "closer", "mean distance from the origin", radius),
        Metric("height", x[:, 1].mean().item(), "closer", "mean of y", 0.0),
    ]
