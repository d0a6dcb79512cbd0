import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import telemetry
from shared.errors import Refused


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    path = tmp_path / "spans.jsonl"
    telemetry.set_up("test", spans=path)
    return path


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    telemetry.set_up("test")
    return lambda: capsys.readouterr().err


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_only_listed_attributes_get_into_a_span(spans: Path) -> None:
    with telemetry.span("give consent", callee="consent", person_name="Erika Mustermann"):
        pass
    [span] = read(spans)
    assert span["attributes"] == {"callee": "consent"}


def test_a_trace_goes_on_where_it_was_left(spans: Path) -> None:
    with telemetry.span("outer"):
        carried = telemetry.current_traceparent()
    with telemetry.continue_trace(carried, "inner"):
        pass
    outer, inner = read(spans)
    assert inner["trace_id"] == outer["trace_id"]
    assert inner["parent_id"] == outer["span_id"]
    assert telemetry.current_traceparent() == ""


@pytest.mark.parametrize("nonsense", ["", "nonsense", "00-zz-yy-01"])
def test_a_broken_trace_context_does_no_harm(spans: Path, nonsense: str) -> None:
    with telemetry.continue_trace(nonsense, "inner"):
        assert telemetry.current_trace_id()


def test_a_failure_is_marked_by_its_code_and_never_by_its_text(spans: Path) -> None:
    with pytest.raises(Refused), telemetry.span("give consent"):
        raise Refused("consent.already_given", "Erika Mustermann")
    with pytest.raises(ValueError, match="Erika"), telemetry.span("read"):
        raise ValueError("Erika Mustermann")
    assert [span["reason"] for span in read(spans)] == ["consent.already_given", "ValueError"]
    assert "Erika" not in spans.read_text()


def test_only_listed_keys_get_into_a_log_line(lines: Callable[[], str]) -> None:
    telemetry.logger("outbox").warning("relayed", count=3, person="Erika Mustermann")
    written = lines()
    line = json.loads(written)
    assert line["count"] == 3
    assert line["logger"] == "outbox"
    assert "person" not in line


def test_an_exception_is_logged_by_type_and_place(lines: Callable[[], str]) -> None:
    try:
        int("Erika Mustermann")
    except ValueError as error:
        telemetry.logger("rpc").error("a method failed", **telemetry.describe(error))
    written = lines()
    line = json.loads(written)
    assert line["error"] == "ValueError"
    assert line["place"].startswith("test_telemetry.py:")
    assert "Erika" not in written


def test_libraries_log_their_template_without_what_was_filled_in(lines: Callable[[], str]) -> None:
    try:
        int("Erika Mustermann")
    except ValueError:
        logging.getLogger("kombu").exception("cannot decode %r", "Erika Mustermann")
    written = lines()
    line = json.loads(written)
    assert line["event"] == "cannot decode %r"
    assert line["error"] == "ValueError"
    assert "Erika" not in written
