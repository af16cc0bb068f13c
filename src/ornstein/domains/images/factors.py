"""What can be known or wanted of a picture."""

from ...composition import Prompt


def label(value: int | None = None, scale: float = 1.0) -> Prompt:
    """Pictures of one class (or, with None, of the class that each sample is given).

    scale: classifier-free guidance; 1 = the class as trained, 2 or 3 = clearer and less varied.
    """
    return Prompt({"label": value}, scale)
