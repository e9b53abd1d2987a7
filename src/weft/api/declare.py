"""What a route says of itself: the right it needs, and its page in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from weft.core.json import Json
from weft.services.caller import Right

RIGHT = "x-weft-right"
"""Key of the OpenAPI operation that names the right."""

TYPES: Mapping[str, Json] = {
    "text": {"type": "string"},
    "flag": {"type": "boolean"},
    "number": {"type": "integer"},
    "seconds": {"type": "number"},
}

PAGING = (
    ("_limit", "number", "How many to return; 0 returns none, with the count."),
    ("_offset", "number", "How many to skip."),
)
FORMAT = (("_format", "text", "Name of another set of attributes."),)

ERROR: Json = {
    "error": {
        "code": 404,
        "message": "there is no pipeline run 7",
        "type": "record_not_found",
        "hint": None,
        "exception": "there is no pipeline run 7",
    },
    "status": 404,
}

Param = tuple[str, str, str]
"""Name, type (a key of `TYPES`), meaning."""


def offer(
    right: Right,
    summary: str,
    *,
    tag: str,
    example: Json,
    query: Sequence[Param] = (),
    headers: Sequence[Param] = (),
    body: Json = None,
    answer: type[Response] = JSONResponse,
) -> dict[str, Any]:
    """Return what a route's decorator takes: the right, tags, parameters, examples.

    `answer` tells only the media type of a good answer.
    """
    extra: dict[str, Json] = {
        RIGHT: right.value,
        "parameters": [
            *(_parameter(param, "query") for param in query),
            *(_parameter(param, "header") for param in headers),
        ],
    }
    if body is not None:
        content = {"schema": {"type": "object"}, "example": body}
        extra["requestBody"] = {"content": {"application/json": content}}
    return {
        "summary": summary,
        "tags": [tag],
        "openapi_extra": extra,
        "response_class": answer,
        "responses": {
            200: {
                "description": "Done.",
                "content": {str(answer.media_type): {"example": example}},
            },
            "default": {
                "description": "Refused: `type` is stable, `hint` says what to do next.",
                "content": {"application/json": {"example": ERROR}},
            },
        },
    }


def _parameter(param: Param, place: str) -> dict[str, Json]:
    name, kind, meaning = param
    return {"name": name, "in": place, "description": meaning, "schema": TYPES[kind]}
