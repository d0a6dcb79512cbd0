"""The registers at the front door say of the installation what the command says at a terminal, and no secret."""

import json
from pathlib import Path

from shared.registers import described
from tests.gateway.world import World
from tests.support.clock import FixedClock


def test_the_impact_assessment_says_how_the_installation_is_run(world: World) -> None:
    found = world.ask("auditor", "GET", "/registers/impact?day=2026-03-02").json["content"]
    (description,) = (each["content"] for each in found["sections"] if each["id"] == "description")
    assert description["installation"] == described(world.settings)
    assert description["installation"]["processes"] == "one"


def test_addresses_and_passwords_of_the_installation_stay_out_of_it(tmp_path: Path, clock: FixedClock) -> None:
    elsewhere = World(tmp_path, clock, broker="amqps://handschlag:geheim-4711@vermittler.example/prod")
    told = json.dumps(elsewhere.ask("operator", "GET", "/registers/impact?day=2026-03-02").json)
    assert '"broker": "amqps"' in told
    for secret in ("geheim-4711", "vermittler.example", "handschlag:", str(tmp_path)):
        assert secret not in told


def test_what_no_period_names_is_kept_as_the_rest(world: World) -> None:
    found = world.ask("auditor", "GET", "/registers/processing?day=2026-03-02").json["content"]
    kept = {each["id"]: [line["id"] for line in each["retention"]] for each in found["categories"]}
    assert kept["benefit_data"] == ["benefit_file"]
    assert kept["contact_log"] == ["other"]
    assert all(kept.values())
    assert [line["duty"] for line in found["file_retention"] if line["id"] in ("benefit_file", "other")] == [
        True,
        False,
    ]
