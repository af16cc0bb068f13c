"""What made samples as a program: the same request and settings as the command, for the examples of every domain."""

import shlex
from pathlib import Path
from typing import Any

import pytest

import ornstein as on
from ornstein.commands.asks import checked
from ornstein.commands.flags import parse
from ornstein.commands.sampling import sampling
from ornstein.config import SampleConfig, to_dict
from ornstein.domains.images.requests import ImagesRequest
from ornstein.report.settings import in_python, in_words
from ornstein.tasks.registry import broken, domains, task

EXAMPLES = sorted(
    {
        (domain, example)
        for domain in domains()
        if domain not in broken()
        for example in task(domain).examples
        if example.startswith("sample ")
    }
)


def run(program: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a program asks `load` and `draw` for, and where it saves, without anything being drawn."""
    asked: dict[str, Any] = {}

    class Saved:
        def save(self, folder: str) -> None:
            asked["folder"] = folder

    def draw(model: object, request: object, **options: Any) -> Saved:
        asked.update(request=request, options=options)
        return Saved()

    with monkeypatch.context() as patch:
        patch.setattr(on, "load", lambda *words: asked.update(load=words), raising=False)
        patch.setattr(on, "draw", draw, raising=False)
        exec(compile(program, "program", "exec"), {})
    return asked


@pytest.mark.parametrize(("domain", "example"), EXAMPLES)
def test_the_program_and_the_command_ask_for_the_same(
    domain: str, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model, *words = shlex.split(example)
    request_type = task(domain).request_type
    _, named = parse("sample", sampling(request_type), [model, *words])
    request, how = checked(named.get("asked", request_type()), request_type), named.get("how", SampleConfig())
    settings = {**to_dict(request), **to_dict(how)}
    n = settings.pop("n", None)
    asked = run(in_python(model, n, settings, request_type(), "out"), monkeypatch)
    assert asked["request"] == request
    assert asked["load"][0] == model
    assert asked["folder"] == "out"
    assert SampleConfig(**asked["options"]) == SampleConfig(**{**vars(how), "device": "auto"})
    command = dict(in_words(model, n, settings, request_type()))["command"]
    _, again = parse("sample", sampling(request_type), shlex.split(command)[2:])
    assert checked(again.get("asked", request_type()), request_type) == request
    assert again.get("how", SampleConfig()) == how


def test_texts_and_paths_are_literals(monkeypatch: pytest.MonkeyPatch) -> None:
    words = 'a "cat"\n\\ TO a dög'
    settings = {"prompt": [words], "reference": "my pictures/ö '1'.png", "seed": 3, "device": "cuda"}
    asked = run(in_python("runs/it's mine", 2, settings, ImagesRequest(), 'o"ut'), monkeypatch)
    assert asked["request"] == ImagesRequest(prompt=(words,), reference=Path("my pictures/ö '1'.png"))
    assert asked["load"] == ("runs/it's mine", "cuda")
    assert asked["options"] == {"n": 2, "seed": 3}
    assert asked["folder"] == 'o"ut'
