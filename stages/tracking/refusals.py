"""What a server that knows its users refuses: who asks, and which right is missing on what."""

import os
import re
from pathlib import PurePosixPath

USER = "MLFLOW_TRACKING_USERNAME"
WHO = f"{USER} and MLFLOW_TRACKING_PASSWORD"
ASKS_WHO, FORBIDS = 401, 403  # status of HTTP
CREATES = re.compile("(experiments|registered-models)/create")
DELETES = re.compile("/delete|DELETE ")
READS = re.compile("/(search|get|get-by-name|list)[ ?]|GET ")


def find_status(error: Exception) -> int | None:
    """Status with which a server has refused, if it has: MLflow and requests raise their own."""
    response = getattr(error, "response", None)  # of requests
    if response is not None:
        return int(response.status_code)
    ask = getattr(error, "get_http_status_code", None)  # of MLflow
    return int(ask()) if ask else None


def explain_refusal(error: Exception, place: str) -> str | None:
    """Say what a server misses, and what to do, if that is what an error is about.

    Args:
        error: of MLflow or of requests.
        place: experiment or registered model that was worked on, with its kind.
    """
    status, user = find_status(error), os.environ.get(USER)
    if status == ASKS_WHO and user:
        return f"it does not know {user} with this password (401): correct {WHO}"
    if status == ASKS_WHO:
        return f"it wants to know who asks (401): set {WHO}"
    if status == FORBIDS:
        right = name_right(error, place)
        return f"{user or 'you'} may not do this (403): ask its administrator for {right}"
    return None


def name_right(error: Exception, place: str) -> str:
    """The right that is missing, by what was asked for."""
    asked = _describe_request(error)
    if CREATES.search(asked):
        return f"USE on the workspace, to make {place}, or to make it for you"
    right = "EDIT"
    if DELETES.search(asked):
        right = "MANAGE"
    elif READS.search(asked):
        right = "READ"
    return f"{right} on {place}"


def _describe_request(error: Exception) -> str:
    """Method, where it is known, and address of what was asked."""
    request = getattr(error, "request", None)
    if request is not None:
        return f"{request.method} {PurePosixPath(request.path_url)}"
    return str(error)
