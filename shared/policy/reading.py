"""Law files are read with their line numbers, so that every flaw can be shown where it stands.

A subset of YAML: maps with distinct text keys, lists, text, whole numbers, dates, `true` and `false`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Flaw(NamedTuple):
    """One fault of a law file: where it stands, what is wrong, what would be right."""

    file: str
    line: int
    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.detail}. {self.remedy}"


class LawError(Exception):
    """A law that cannot be used. `flaws` name file, line and remedy; the first one also stands on the error."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("\n".join(str(flaw) for flaw in self.flaws))
        first = self.flaws[0]
        self.file, self.line, self.detail, self.remedy = first


@dataclass(frozen=True)
class Document:
    """The content of one file and the line on which each part of it begins."""

    file: str
    data: Any
    lines: Mapping[Path, int] = field(default_factory=dict)

    def flaw(self, path: Path, detail: str, remedy: str) -> Flaw:
        while path and path not in self.lines:
            path = path[:-1]
        return Flaw(self.file, self.lines.get(path, 1), detail, remedy)


def read(text: str, file: str, *, marks: bool = True) -> Document:
    """The document in a YAML (or JSON) text; raises LawError for anything outside the subset.

    Without `marks` no line numbers are kept, which is quicker for large case files.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise LawError([Flaw(file, line, f"not YAML: {error.problem}", "Check indentation and quotes.")]) from error
    except yaml.YAMLError as error:
        raise LawError([Flaw(file, 1, f"not YAML: {error}", "Save the file as UTF-8 text.")]) from error
    if node is None:
        return Document(file, None)
    flaws: list[Flaw] = []
    lines: dict[Path, int] = {}
    data = _value(node, (), file, lines if marks else None, flaws)
    if flaws:
        raise LawError(flaws)
    return Document(file, data, lines)


def _value(node: yaml.Node, path: Path, file: str, lines: dict[Path, int] | None, flaws: list[Flaw]) -> Any:
    if lines is not None:
        lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                flaws.append(Flaw(file, line, "a key is not plain text", "Write the entries out."))
                continue
            if key in result:
                flaws.append(Flaw(file, line, f"the key '{key}' stands twice", "Keep one of the two."))
                continue
            result[key] = _value(value_node, (*path, key), file, lines, flaws)
            if lines is not None:
                lines[(*path, key)] = line
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), file, lines, flaws) for index, item in enumerate(node.value)]
    return _scalar(node, file, flaws)


def _scalar(node: yaml.Node, file: str, flaws: list[Flaw]) -> Any:
    line = node.start_mark.line + 1
    match node.tag.rpartition(":")[2]:
        case "str":
            return str(node.value)
        case "null":
            return None
        case "bool":
            if node.value not in ("true", "false"):
                flaws.append(Flaw(file, line, f"'{node.value}' is read as a truth value", "Write true or false."))
            return node.value == "true"
        case "int" if str(node.value).lstrip("-").isdigit():
            return int(node.value)
        case "timestamp":
            try:
                return date.fromisoformat(str(node.value))
            except ValueError:
                flaws.append(Flaw(file, line, f"'{node.value}' is not a day", "Write a day as 2026-07-01."))
                return None
        case _:
            flaws.append(Flaw(file, line, f"'{node.value}' is not a value used here", "Put it in quotation marks."))
            return None
