"""The worked cases of contracts/law, read once."""

from shared.policy.cases import read_cases
from shared.policy.request import LAW

FILES = sorted((LAW / "cases").glob("*.yaml"))
CASES = [case for file in FILES for case in read_cases(file.read_text(encoding="utf-8"), file.name)]
