"""What a domain measures of a model once it is trained: between a training and the model's file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import events
from ..denoisers.base import NeuralDenoiser
from ..errors import InputError
from ..files import require
from ..training import checkpoints
from .task import Task


def measure(
    model: NeuralDenoiser,
    this: Task,
    config: Any,
    path: Path,
    say: Callable[[str], None] = lambda text: None,
    callback: Callable[[events.Event], object] = lambda event: None,
) -> None:
    """Has the domain measure a model that is trained; what it finds joins the metadata in the model's file.

    The file is as it was if the domain finds nothing, or cannot measure: InputError then, which says that it is there.

    Args:
        model: as it was loaded of its file.
        this: the domain.
        config: the configuration, a frozen dataclass.
        path: of the model's file, in its run folder.
        say: called with messages for the user.
        callback: called with every event, for progress.
    """
    tensors, meta = checkpoints.load(path, "model")
    try:
        found = events.finished(this.trained(model, config, path.parent, say), callback)
        facts = require({**meta["facts"], **found}, this.facts, f"{this.name}: what was measured of the trained model")
    except InputError as error:
        error.add_note(f"the model is trained, {path}; what follows a training is done again by --resume")
        raise
    if found:
        checkpoints.save(path, "model", tensors, {**meta, "facts": facts})
