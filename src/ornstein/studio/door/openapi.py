"""The HTTP interface as an OpenAPI 3.1 document, whose requests are made of the command line's table of flags."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ...tasks.registry import broken, domains, names, task
from ..uploads.references import WEIGHTS
from .forms import field, offered

if TYPE_CHECKING:
    from ...tasks.task import Task

_JSON = "application/json"
_SCALARS: Mapping[str, Any] = {"integer": {"type": "integer"}, "number": {"type": "number"}, "text": {"type": "string"}}
_REFERENCE = {"type": "string", "pattern": "^(file|data|runs):", "description": "file:ID, data:NAME or runs:NAME"}


def document(models: Sequence[str] | None = None) -> dict[str, Any]:
    """The document.

    Args:
        models: the names of shipped models; all if not given.
    """
    known = names(f"models/*/{WEIGHTS}") if models is None else models
    usable = [domain for domain in domains() if domain not in broken()]
    requests = {f"Samples_{domain}": _request(task(domain), known) for domain in usable}
    anyof = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in requests]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ornstein's studio",
            "version": version("ornstein"),
            "description": "Samples from diffusion models, drawn on this machine.",
        },
        "paths": _paths(),
        "components": {
            "schemas": {"Samples": anyof, **requests, **_SCHEMAS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _request(this: "Task", models: Sequence[str]) -> dict[str, Any]:
    """What may be asked of a domain's models."""
    mine = [name for name in models if name.partition("/")[0] == this.name]
    shipped = [{"type": "string", "enum": mine}] if mine else []
    own = {"type": "string", "pattern": "^(runs|file):", "description": f"a model of {this.name} of your own"}
    properties = {flag.path[-1]: _property(field(flag, this)) for flag in offered(this)}
    return {
        "type": "object",
        "description": this.summary,
        "required": ["model"],
        "properties": {"model": {"anyOf": [*shipped, own]}, **properties},
        "additionalProperties": False,
    }


def _property(one: Mapping[str, Any]) -> dict[str, Any]:
    """A field of a form as a schema; null is not said."""
    kind = one["kind"]
    if kind == "switch":
        item: dict[str, Any] = {"type": "boolean"}
    elif kind == "choice":
        item = {"enum": list(one["choices"])}
    elif kind == "file":
        item = _REFERENCE
    elif kind == "number-or-file":
        item = {"anyOf": [{"type": "number"}, _REFERENCE]}
    else:
        item = dict(_SCALARS[kind])
    if kind == "text" and "INT" in one["metavar"]:
        item = {"type": ["string", "integer"]}
    if one["many"] or one["count"]:
        sizes = {"minItems": one["count"], "maxItems": one["count"]} if one["count"] else {}
        item = {"anyOf": [{"type": "array", "items": item, **sizes}, item]}
    default = {} if one["default"] in (None, [], "") else {"default": one["default"]}
    return {"anyOf": [item, {"type": "null"}], "description": f"{one['option']}: {one['text']}", **default}


# Answers ----------------------------------------------------------------------------------------------


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


_TEXT, _WHOLE, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_MAYBE_TEXT, _MAYBE_NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
_SCHEMAS: Mapping[str, Any] = {
    "Error": _object("error flag", error=_TEXT, flag=_MAYBE_TEXT),
    "File": _object("file name size sha256", file=_TEXT, name=_TEXT, size=_WHOLE, sha256=_TEXT),
    "Begun": _object("id state url", id=_TEXT, state=_TEXT, place={"type": ["integer", "null"]}, url=_TEXT),
    "Status": _object(
        "id state",
        id=_TEXT,
        state={"enum": ["queued", "running", "done", "failed", "cancelled"]},
        place={"type": ["integer", "null"]},
        done=_NUMBER,
        total=_NUMBER,
        stage=_TEXT,
        seconds_left=_MAYBE_NUMBER,
        error=_MAYBE_TEXT,
        asked={"type": "object"},
        result={"type": ["object", "null"]},
    ),
    "Object": {"type": "object"},
}


def _parameter(name: str, where: str, text: str, required: bool = True, schema: Any = None) -> dict[str, Any]:
    found = {"name": name, "in": where, "required": required, "schema": schema or _TEXT}
    return found | ({"description": text} if text else {})


_SAMPLE = [_parameter("id", "path", "of the samples")]


def _paths() -> dict[str, Any]:
    """Every address, and what is done there."""
    return {**_of_requests(), **_of_samples(), **_of_results()}


def _of_requests() -> dict[str, Any]:
    """What can be asked for, and the files that a request names."""
    model = _parameter("model", "query", "the model's name")
    return {
        "/v1/login": {"post": _operation("log_in", "Give the token; a cookie remembers it", body="Object", to="")},
        "/v1/models": {"get": _operation("models", "Models that can be asked for samples")},
        "/v1/form": {"get": _operation("form", "What can be asked of a model", [model])},
        "/v1/data": {"get": _operation("data", "Files of the server that fields may be given, as data:NAME")},
        "/v1/files": {
            "post": _operation(
                "upload",
                "Send a file, as the raw body",
                [
                    _parameter("name", "query", "of the file"),
                    model,
                    _parameter("field", "query", 'of the request that it is for; "model" for weights'),
                    _parameter("with", "query", "file:ID of what it belongs to", required=False),
                ],
                body="raw",
                to="File",
                code="201",
            )
        },
        "/v1/files/{id}": {
            "delete": _operation("remove", "Remove what was sent", [_parameter("id", "path", "")], to="")
        },
        "/v1/backdrop": {"post": _operation("backdrop", "What lies under the pointer", body="Object")},
        "/v1/hand": {"post": _operation("hand", "A file made with the pointer", body="Object", to="File", code="201")},
    }


def _of_samples() -> dict[str, Any]:
    """Drawing, and watching it."""
    return {
        "/v1/samples": {
            "post": _operation("draw", "Draw samples", body="Samples", to="Begun", code="202"),
            "get": _operation(
                "samples",
                "What is being drawn, and earlier results",
                [
                    _parameter("limit", "query", "results at most", required=False, schema=_WHOLE),
                    _parameter("before", "query", "the id after which to go on", required=False),
                ],
            ),
        },
        "/v1/samples/{id}": {
            "get": _operation("sample", "How far they are, and the result", _SAMPLE, to="Status"),
            "delete": _operation("cancel", "Cancel", _SAMPLE, to="Status"),
        },
        "/v1/samples/{id}/events": {
            "get": _operation("events", "Server-sent events, to the end", _SAMPLE, to="stream")
        },
        "/v1/events": {
            "get": _operation(
                "all_events",
                "Server-sent events of several, each with the id of its job",
                [_parameter("job", "query", "ids, each as a parameter of its own")],
                to="stream",
            )
        },
        "/v1/samples/{id}/resume": {
            "post": _operation("resume", "Draw the rest of what was cut off", _SAMPLE, to="Begun", code="202")
        },
    }


def _of_results() -> dict[str, Any]:
    """What can be known of samples that are there, and their files."""
    return {
        "/v1/samples/{id}/evaluation": {"post": _operation("evaluate", "Score them as their field does", _SAMPLE)},
        "/v1/samples/{id}/trust": {"post": _operation("trust", "What holds when it is tested anew", _SAMPLE)},
        "/v1/samples/{id}/files/{path}": {
            "get": _operation("file", "A file", [*_SAMPLE, _parameter("path", "path", "its name")], to="file")
        },
        "/v1/samples/{id}/archive.zip": {"get": _operation("archive", "All files", _SAMPLE, to="file")},
        "/v1/samples/{id}/figures/{k}": {
            "get": _operation("figure", "A figure", [*_SAMPLE, _parameter("k", "path", "its number")], to="file")
        },
    }


_BODIES: Mapping[str, Any] = {
    "raw": {"application/octet-stream": {}},
    "stream": {"text/event-stream": {"schema": _TEXT}},
    "file": {"application/octet-stream": {}},
}


def _operation(
    name: str,
    summary: str,
    parameters: Sequence[Mapping[str, Any]] = (),
    body: str = "",
    to: str = "Object",
    code: str = "200",
) -> dict[str, Any]:
    """One operation; `body` and `to` name schemas, or "raw", "stream" and "file"; without `to` nothing is answered."""
    done = {"description": "done", "content": _content(to)} if to else {"description": "done"}
    wrong = {"description": "refused; `error` says why, `flag` which one", "content": _content("Error")}
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {code if to else "204": done, "default": wrong},
    }
    found |= {"parameters": list(parameters)} if parameters else {}
    return found | ({"requestBody": {"required": True, "content": _content(body)}} if body else {})


def _content(name: str) -> dict[str, Any]:
    return _BODIES.get(name) or {_JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
