"""The interface describes itself, completely and correctly."""

from dataclasses import is_dataclass
from importlib import import_module

import jsonschema
import pytest

from services.gateway.auth import GRANTS
from services.gateway.resources import OPERATIONS


@pytest.fixture
def described(world):
    return world.client.get("/openapi.json").json


def test_the_document_is_openapi_3_1(described):
    definitions = pytest.importorskip("schemathesis.specs.openapi.definitions")
    assert described["openapi"] == "3.1.0"
    jsonschema.Draft202012Validator(definitions.OPENAPI_31).validate(described)


def test_every_route_of_the_interface_is_described(world, described):
    for rule in world.app.url_map.iter_rules():
        path = str(rule).replace("<", "{").replace(">", "}")
        if not path.startswith("/v1/") and path != "/healthz":
            continue
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert method.lower() in described["paths"][path], (method, path)


def test_every_operation_says_who_may_ask_and_how_it_fails(described):
    found = {
        operation["operationId"]: operation
        for methods in described["paths"].values()
        for operation in methods.values()
        if isinstance(operation, dict) and operation.get("security")
    }
    assert found.keys() == OPERATIONS.keys()
    for name, operation in found.items():
        assert operation["x-roles"] == sorted(GRANTS[name])
        assert operation["summary"]
        assert {"default", "401", "403"} <= operation["responses"].keys()
        assert (
            ("Idempotency-Key" in str(operation["parameters"])) == OPERATIONS[name].changes
            if operation.get("parameters")
            else not OPERATIONS[name].changes
        )
    problem = described["components"]["responses"]["DEFAULT_ERROR"]["content"]
    assert list(problem) == ["application/problem+json"]


def test_every_reference_leads_somewhere(described):
    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for inner in node.values():
                yield from references(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from references(inner)

    for reference in set(references(described)):
        place = described
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_names_are_snake_case_and_one_name_means_one_thing(described):
    schemas = described["components"]["schemas"]
    assert not [name for name in schemas if name[-1].isdigit()]
    govstack_module = import_module("services.gateway.resources.govstack")
    theirs = {
        name for each in vars(govstack_module).values() if is_dataclass(each) for name in each.__dataclass_fields__
    }
    for schema in schemas.values():
        assert all(name == name.lower() or name in theirs for name in schema.get("properties", {}))


def test_personal_fields_may_be_told_as_erased(described):
    name = described["components"]["schemas"]["PersonView"]["properties"]["name"]
    assert {"type": "string"} in name["oneOf"]


def test_health_answers_without_a_token(world):
    assert world.client.get("/healthz").json == {"status": "ok"}
