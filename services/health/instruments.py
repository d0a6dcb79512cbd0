"""The instruments that this installation knows, read from `contracts/instruments/`: keys, ranges, scoring."""

from functools import cache
from pathlib import Path

import yaml

from services.health.domain.assessment import Instrument
from shared.errors import Invalid
from shared.schema import parse

INSTRUMENTS = Path(__file__).resolve().parents[2] / "contracts" / "instruments"


@cache
def instruments() -> dict[tuple[str, str], Instrument]:
    """All instruments by key and version."""
    texts = [found.read_text("utf-8") for found in sorted(INSTRUMENTS.glob("*.yaml"))]
    known = [parse(Instrument, yaml.safe_load(text)["instrument"]) for text in texts]
    return {(instrument.key, instrument.version): instrument for instrument in known}


def instrument(key: str, version: str) -> Instrument:
    """The instrument, or `Invalid` that names those there are: a result without its version says nothing."""
    found = instruments().get((key, version))
    if found is None:
        known = ", ".join(f"{key} {version}" for key, version in sorted(instruments()))
        fault = ("/instrument", "no such instrument in this version", f"choose one of: {known}")
        raise Invalid("assessment.instrument_unknown", fault[1], fault[2], [fault])
    return found
