"""The interface under `/v1` over HTTP, described as OpenAPI 3.1 by flask-smorest.

Reading is not left to it: bodies and queries go through `services.gateway.reading` and `shared.schema`, as messages
of the other door do.
"""

from collections.abc import Callable
from dataclasses import fields
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode

import marshmallow as ma
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, request
from flask_smorest import Api, Blueprint
from marshmallow import fields as ma_fields
from webargs.flaskparser import FlaskParser

from services.gateway import problems
from services.gateway.auth import GRANTS, Tokens
from services.gateway.front_door import FrontDoor, Outcome, seen_version
from services.gateway.operations import Operation, Resource
from services.gateway.problems import Fault
from services.gateway.reading import read_json, read_query
from services.gateway.resources import RESOURCES
from shared.canonical import canonical
from shared.domain import Json
from shared.schema import dump, schema_of

VERSION = "1.0.0"
JSON = "application/json"
ABOUT = """\
Data about one person passes between agencies only where the law or the person allows it, and everybody entitled can
check that later.

Everything under `/v1` needs an access token, which names one role in one agency and at most one partner; `x-roles`
says who may ask for what. Errors are problem documents (RFC 9457) with stable types. Every change takes an
`Idempotency-Key`, and programs must send one: the same request again is answered again and carried out once. An
`ETag` is the version of what was read; changes by PUT need it in `If-Match`. Lists go on with `after`, from `next`.
Personal fields of a person whose data was erased read `{"$erased": true}`.
"""


class _Documented(FlaskParser):
    """Arguments are documented by flask-smorest and read by `shared.schema`, the same for HTTP and AMQP."""

    def use_args(self, argmap: Any, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        del argmap, args, kwargs
        return lambda function: function


class _Blueprint(Blueprint):
    ARGUMENTS_PARSER = _Documented()


class Health(ma.Schema):
    status = ma_fields.String(required=True)


class ProblemPlace(ma.Schema):
    """One faulty field."""

    pointer = ma_fields.String(metadata={"description": "JSON Pointer (RFC 6901)"})
    detail = ma_fields.String()
    remedy = ma_fields.String()


class ProblemDocument(ma.Schema):
    """RFC 9457. `type` resolves to a page that explains it; `code` is the same in short."""

    type = ma_fields.String(required=True)
    title = ma_fields.String(required=True)
    status = ma_fields.Integer(required=True)
    detail = ma_fields.String(required=True)
    code = ma_fields.String(required=True)
    trace_id = ma_fields.String(required=True)
    remedy = ma_fields.String()
    errors = ma_fields.List(ma_fields.Nested(ProblemPlace))


class _Api(Api):
    ERROR_SCHEMA = ProblemDocument
    DEFAULT_RESPONSE_CONTENT_TYPE: str = "application/json"

    def _register_responses(self) -> None:
        usual = self.DEFAULT_RESPONSE_CONTENT_TYPE
        self.DEFAULT_RESPONSE_CONTENT_TYPE = problems.CONTENT_TYPE
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = usual

    def _register_error_handlers(self) -> None:
        """Errors are dealt with by the application, for all its pages alike."""


def add_api(app: Flask, front: FrontDoor, tokens: Tokens) -> None:
    """Add every operation, health, and the document that describes them at `/openapi.json`."""
    plugin = MarshmallowPlugin()
    api = _Api(app, spec_kwargs={"marshmallow_plugin": plugin, "info": {"description": ABOUT}})
    plugin.converter.add_attribute_function(_personal_property)
    bearer = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "From the sign-in service (OpenID Connect): programs by client credentials, people by code.",
    }
    api.spec.components.security_scheme("bearer", bearer)
    api.register_blueprint(_health())
    for resource in RESOURCES:
        api.register_blueprint(_blueprint(resource, front, tokens))


def _blueprint(resource: Resource, front: FrontDoor, tokens: Tokens) -> Any:
    made = _Blueprint(resource.tag, __name__, url_prefix="/v1", description=resource.description)
    for operation in resource.operations:
        view = _documented(made, operation, _view(operation, front, tokens))
        endpoint = operation.name.replace(".", "-")
        made.add_url_rule(operation.path, endpoint, view, methods=[operation.method])
    return made


def _view(operation: Operation, front: FrontDoor, tokens: Tokens) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        asker = tokens.asker(request.headers.get("Authorization"))
        asker.require(operation.name)
        sent = {**_sent(operation), **path}
        key = request.headers.get("Idempotency-Key")
        version = seen_version(request.headers.get("If-Match")) if operation.guarded else None
        return _answered(operation, front.handle(operation, asker, sent, key=key, seen_version=version))

    view.__doc__ = operation.run.__doc__
    view.__name__ = operation.name.replace(".", "_")
    return view


def _sent(operation: Operation) -> Json:
    if not operation.changes:
        return read_query(operation.asked, operation.path_fields, list(request.args.items(multi=True)))
    if request.args:
        faults = [(f"/{name}", "unknown parameter", "remove it") for name in request.args]
        raise Fault(422, "request.invalid", "a change takes no query", "send the fields in the body", faults)
    content = request.get_data(cache=False)
    if not content and not operation.other_fields:
        return {}
    if content and not request.is_json:
        raise Fault(415, "request.not_json", "the body is not JSON", "send Content-Type: application/json")
    sent = read_json(content)
    if not isinstance(sent, dict):
        remedy = "send an object"
        raise Fault(422, "request.invalid", "expected a JSON object", remedy, [("", "expected an object", remedy)])
    taken = [(f"/{name}", "this is part of the path", "remove it") for name in operation.path_fields if name in sent]
    if taken:
        raise Fault(422, "request.invalid", "the request has faulty fields", "", taken)
    return sent


def _answered(operation: Operation, outcome: Outcome) -> Response:
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    if outcome.location:
        headers["Location"] = f"/v1{outcome.location}"
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
    if outcome.etag:
        headers["ETag"] = f'"{outcome.etag}"'
        if not operation.changes and request.if_none_match.contains_weak(outcome.etag):
            return Response(status=304, headers=headers)
    after = getattr(outcome.view, "next", None)
    if after is not None and not operation.changes:
        query = {**request.args, "after": str(after)}
        headers["Link"] = f'<{request.path}?{urlencode(query)}>; rel="next"'
    if operation.forms:
        headers["Vary"] = "Accept"
        media = request.accept_mimetypes.best_match([JSON, *operation.forms], JSON)
        if media != JSON:
            return Response(operation.forms[media](outcome.view), outcome.status, headers, content_type=media)
    return Response(canonical(dump(outcome.view)), outcome.status, headers, content_type=JSON)


def _documented(blueprint: Any, operation: Operation, view: Callable[..., Response]) -> Callable[..., Response]:
    described = blueprint.response(operation.status, schema_of(operation.answer))(view)
    if operation.other_fields:
        schema = schema_of(operation.asked)(exclude=operation.path_fields)
        location = "json" if operation.changes else "query"
        described = blueprint.arguments(schema, location=location)(described)
    headers = _header_parameters(operation)
    if headers:
        described = blueprint.arguments(ma.Schema.from_dict(dict(headers)), location="headers")(described)
    described = blueprint.doc(
        operationId=operation.name,
        security=[{"bearer": []}],
        **{"x-roles": sorted(GRANTS[operation.name])},
    )(described)
    for status in (401, 403, 422) + ((409,) if operation.changes else ()) + ((412, 428) if operation.guarded else ()):
        described = blueprint.alt_response(status, HTTPStatus(status).name)(described)
    if _versioned(operation):
        described = blueprint.alt_response(304, description="What is known already still stands.")(described)
    return cast("Callable[..., Response]", described)


def _versioned(operation: Operation) -> bool:
    return not operation.changes and "version" in {field.name for field in fields(operation.answer)}


def _header_parameters(operation: Operation) -> dict[str, ma_fields.String]:
    known: dict[str, ma_fields.String] = {}
    if operation.changes:
        about = "A value that is new for each command; programs must send it."
        metadata = {"description": about, "pattern": "^[!-~]{1,255}$"}
        known["idempotency_key"] = ma_fields.String(data_key="Idempotency-Key", metadata=metadata)
    if operation.guarded:
        about = "The ETag that was read."
        known["if_match"] = ma_fields.String(data_key="If-Match", required=True, metadata={"description": about})
    if _versioned(operation):
        about = "An ETag that is known already."
        known["if_none_match"] = ma_fields.String(data_key="If-None-Match", metadata={"description": about})
    return known


def _personal_property(_converter: Any, field: Any, **_: Any) -> Json:
    """A personal field is its own type, or the mark that it was erased."""
    inner = getattr(field, "inner", None)
    if inner is None or isinstance(field, ma_fields.List):
        return {}
    erased = {"type": "object", "properties": {"$erased": {"const": True}}, "required": ["$erased"]}
    return {"oneOf": [_converter.field2property(inner), erased], "description": "Personal; may have been erased."}


def _health() -> Any:
    made = _Blueprint("health", __name__, description="Without a token.")

    @made.route("/healthz")
    @made.response(200, Health)
    def healthz() -> Response:
        """Whether this process answers."""
        return Response(canonical({"status": "ok"}), content_type="application/json")

    return made
