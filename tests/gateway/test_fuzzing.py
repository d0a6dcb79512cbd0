"""Whatever is sent, the interface answers as it describes itself and never with an error of its own."""

import uuid

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.resources import OPERATIONS
from tests.gateway.test_resources import role_for
from tests.gateway.world import World

PROMISES = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
SOME = settings(
    max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_holds_what_it_describes(world: World, name: str):
    schema = schemathesis.openapi.from_wsgi("/openapi.json", world.app)
    operation = schema.find_operation_by_id(name)
    headers = {"Authorization": f"Bearer {world.token(role_for(name))}"}

    @SOME
    @given(case=operation.as_strategy())
    def holds(case):
        once = {"Idempotency-Key": str(uuid.uuid4()), "If-Match": '"3"'}
        case.validate_response(case.call(headers=headers | once), checks=PROMISES)

    holds()
