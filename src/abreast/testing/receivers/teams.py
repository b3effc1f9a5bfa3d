"""A workflow of Microsoft Teams that posts adaptive cards. It refuses what a workflow refuses, and answers as one does.

https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook and https://adaptivecards.io/explorer/.
Stricter: a key or an element that the version of the card does not have is refused, where Teams leaves it out.
"""

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector

PATH = "/workflows/0123456789abcdef/triggers/manual/paths/invoke"
SIGNATURE = "teamsEmulatorSignature0123456789abcdefghijk"
QUERY = f"?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}"
"""The address of a workflow is its path and this. All of it is a secret."""

MAX_BYTES = 28 * 1024
CARD = "application/vnd.microsoft.card.adaptive"

_ELEMENTS = {
    "RichTextBlock": frozenset({"type", "inlines", "spacing", "separator", "id", "isVisible", "horizontalAlignment"}),
    "TextBlock": frozenset(
        {"type", "text", "wrap", "weight", "size", "color", "fontType", "isSubtle", "maxLines", "spacing", "separator"}
    ),
    "FactSet": frozenset({"type", "facts", "spacing", "separator"}),
}
_RUN = frozenset(
    {"type", "text", "color", "fontType", "highlight", "isSubtle", "italic", "selectAction", "size", "strikethrough",
     "underline", "weight"}
)  # fmt: skip
_CARD = frozenset({"$schema", "type", "version", "body", "actions", "fallbackText", "lang", "speak", "minHeight"})


class TeamsWorkflow:
    """Serve ``app`` with ``ThreadedServer``. ``cards`` are those that were accepted, in order."""

    def __init__(self) -> None:
        self.cards: list[dict[str, Any]] = []
        self.is_on = True
        self.faults = FaultInjector(Starlette(routes=[Route(PATH, self._receive, methods=["POST"])]))
        self.app = self.faults

    async def _receive(self, request: Request) -> Response:
        if request.query_params.get("sig") != SIGNATURE:
            return _error(401, "DirectApiAuthorizationRequired", "The request must be authenticated.")
        if not self.is_on:
            return _error(404, "WorkflowTriggerIsNotEnabled", "Could not execute workflow: it is turned off.")
        content = await request.body()
        if len(content) > MAX_BYTES:
            return _error(413, "RequestEntityTooLarge", "The request entity is too large.")
        try:
            message = json.loads(content)
        except ValueError:
            return _error(400, "InvalidRequestContent", "The request content is not valid JSON.")
        if problem := _problem(message):
            return _error(400, "InvalidCard", problem)
        self.cards.append(message["attachments"][0]["content"])
        return Response(status_code=202)


def _problem(message: Any) -> str:  # noqa: ANN401 (any JSON value)
    """Return what is wrong with a message, "" if nothing is."""
    if not isinstance(message, dict) or message.get("type") != "message":
        return "type is not message"
    attachments = message.get("attachments")
    if not isinstance(attachments, list) or len(attachments) != 1 or attachments[0].get("contentType") != CARD:
        return f"attachments is not one {CARD}"
    card = attachments[0].get("content")
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard" or card.keys() - _CARD:
        return "content is not an AdaptiveCard"
    if card.get("version") not in {"1.0", "1.1", "1.2", "1.3", "1.4", "1.5"} or not card.get("body"):
        return "version or body is missing"
    faults = (*map(_element_problem, card["body"]), *map(_action_problem, card.get("actions", [])))
    return next(filter(None, faults), "")


def _element_problem(element: dict[str, Any]) -> str:
    keys = _ELEMENTS.get(element.get("type", ""))
    if keys is None or element.keys() - keys:
        return f"no such element: {element}"
    for run in element.get("inlines", ()):
        if run.get("type") != "TextRun" or run.keys() - _RUN or not isinstance(run.get("text"), str):
            return f"no such run: {run}"
    return ""


def _action_problem(action: dict[str, Any]) -> str:
    if action.get("type") != "Action.OpenUrl" or action.keys() - {"type", "title", "url", "style", "tooltip", "id"}:
        return f"no such action: {action}"
    return "" if str(action.get("url", "")).startswith(("https://", "http://")) else "url is none"


def _error(status: int, code: str, text: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": text}}, status)
