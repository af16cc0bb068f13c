"""What the command of samples asks for, read again as the command line reads it."""

import shlex
from typing import Any

import ornstein as on
from ornstein.commands.asks import checked
from ornstein.commands.flags import parse
from ornstein.commands.sampling import sampling
from ornstein.config import SampleConfig
from ornstein.report.settings import in_words
from ornstein.tasks.registry import task


def asked_again(model: str, samples: on.Samples) -> tuple[Any, SampleConfig]:
    """The request and how samples are drawn, of the command that their settings say."""
    request_type = task(model.partition("/")[0]).request_type
    command = dict(in_words(model, len(samples), samples.settings, request_type()))["command"]
    _, named = parse("sample", sampling(request_type), shlex.split(command)[2:])
    return checked(named.get("asked", request_type()), request_type), named.get("how", SampleConfig())
