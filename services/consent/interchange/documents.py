"""Files in, FHIR resources out: JSON and XML to one form, held against the table of elements.

XML is read without document types, and so without entities; JSON without keys that stand twice. What the standard does
not know is no FHIR. The form is that of FHIR JSON; an error names a place in the file and never what stands there.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn
from xml.etree import ElementTree as ET
from xml.parsers import expat

from services.consent.interchange.tables import tables
from shared.domain import Json
from shared.errors import Invalid

NAMESPACE = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
CONSENT, BUNDLE = "Consent", "Bundle"
LARGEST = 16 * 1024 * 1024
DEEPEST = 64


@dataclass(frozen=True)
class Found:
    """A resource of a file: its place, what kind it says it is, and for a consent its content.

    `source` is the text as it came; of one inside a Bundle, written again.
    """

    place: str
    kind: str
    content: Json | None
    source: str = ""


def resources(data: bytes) -> list[Found]:
    """The resources of a file: one, or those of a Bundle. Raises `Invalid` (`import.…`) with what is wrong."""
    if len(data) > LARGEST:
        _refuse("import.too_large", "the file is larger than 16 MiB", "split it")
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    of_xml = text.startswith(b"<")
    found = list(_of_xml(data) if of_xml else _of_json(data))
    alone = len(found) == 1 and found[0].place == found[0].kind
    return [replace(each, source=_source(each.content, data if alone else b"", of_xml=of_xml)) for each in found]


def _source(content: Json | None, data: bytes, *, of_xml: bool) -> str:
    if content is None:
        return ""
    if data:
        with suppress(UnicodeDecodeError):
            return data.decode("utf-8-sig")
    return to_xml(content).decode() if of_xml else json.dumps(content, ensure_ascii=False)


def _of_json(data: bytes) -> Iterator[Found]:
    root = _json(data)
    kind = _kind(root, "")
    if kind != BUNDLE:
        yield _found(root, kind, kind)
        return
    entries = root.get("entry", [])
    if not isinstance(entries, list):
        _no_fhir("Bundle.entry", "is no list")
    for number, entry in enumerate(entries):
        place = f"Bundle.entry[{number}].resource"
        inner = entry.get("resource") if isinstance(entry, dict) else None
        yield _found(inner, _kind(inner, place), place)


def _found(content: Any, kind: str, place: str) -> Found:
    if kind != CONSENT:
        return Found(place, kind, None)
    _check({name: each for name, each in content.items() if name != "resourceType"}, CONSENT, CONSENT, 0)
    return Found(place, kind, content)


def _kind(content: Any, place: str) -> str:
    kind = content.get("resourceType") if isinstance(content, dict) else None
    if not isinstance(kind, str) or not kind.isalpha():
        _no_fhir(place or "the file", "names no resourceType")
    return kind


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        _refuse("import.not_readable", f"byte {error.start} is not UTF-8", "save the file in UTF-8")
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        _refuse("import.not_readable", f"neither JSON nor XML; {place}", "correct the file at this place")
    except RecursionError:
        _refuse("import.not_readable", "nested too deeply", f"nest at most {DEEPEST} levels")


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        named = twice if twice.isalnum() else "a field"
        _refuse("import.contradiction", f"{named} stands twice in one object", "leave one of the two")
    return found


def _constant(_name: str) -> NoReturn:
    _refuse("import.not_readable", "NaN and Infinity are no JSON", "correct the number")


def _check(content: Json, kind: str, path: str, level: int) -> None:
    """Whether only elements of the standard stand here, each in its form."""
    if level > DEEPEST:
        _no_fhir(path, "is nested too deeply")
    known = tables().types[kind]
    for name, inner in content.items():
        if kind == "Extension" and name == "url" and isinstance(inner, str):
            continue
        if name == "id" and isinstance(inner, str):
            continue
        if name not in known:
            _no_fhir(path, "holds an element that the standard does not know")
        _check_element(inner, known[name], f"{path}.{name}", level + 1)


def _check_element(inner: Any, kind: str, path: str, level: int) -> None:
    many = kind.endswith("*")
    kind = kind.removesuffix("*")
    if kind == "unread":
        return
    if many and not (isinstance(inner, list) and inner):
        _no_fhir(path, "is no list")
    for number, each in enumerate(inner if many else [inner]):
        place = f"{path}[{number}]" if many else path
        if kind in tables().types:
            if not isinstance(each, dict) or not each:
                _no_fhir(place, "is no object")
            _check(each, kind, place, level)
        elif not isinstance(each, _PRIMITIVES.get(kind, str)) or (each is True and kind == "integer"):
            _no_fhir(place, f"is no {kind}")


_PRIMITIVES: Mapping[str, type] = {"boolean": bool, "integer": int}


# --- XML ----------------------------------------------------------------------------------------------------------


@dataclass
class _Node:
    name: str
    attributes: dict[str, str]
    line: int
    nodes: list["_Node"] = field(default_factory=list)


def _of_xml(data: bytes) -> Iterator[Found]:
    root = _nodes(data)
    if root.name != BUNDLE:
        yield _xml_found(root, root.name)
        return
    entries = [node for node in root.nodes if node.name == "entry"]
    for number, entry in enumerate(entries):
        held = [inner for node in entry.nodes if node.name == "resource" for inner in node.nodes]
        place = f"Bundle.entry[{number}].resource"
        if len(held) != 1:
            _no_fhir(place, "holds no single resource")
        yield _xml_found(held[0], place)


def _xml_found(node: _Node, place: str) -> Found:
    if node.name != CONSENT:
        return Found(place, node.name if node.name.isalpha() else "unknown", None)
    content = {"resourceType": CONSENT, **_content(node, CONSENT, CONSENT)}
    return _found(content, CONSENT, place)


def _content(node: _Node, kind: str, path: str) -> Json:
    """The element in FHIR JSON (hl7.org/fhir/R4/json.html), its members in the order of the standard."""
    known = tables().types[kind]
    found: Json = {name: text for name, text in node.attributes.items() if name == "id" or kind == "Extension"}
    for inner in node.nodes:
        if inner.name not in known:
            _no_fhir(f"{path} (line {inner.line})", "holds an element that the standard does not know")
        wanted = known[inner.name]
        if wanted == "Narrative":
            continue
        made = _value(inner, wanted.removesuffix("*"), f"{path}.{inner.name}")
        if wanted.endswith("*"):
            found.setdefault(inner.name, []).append(made)
        elif inner.name in found:
            detail = f"{path}.{inner.name} (line {inner.line}) stands twice"
            _refuse("import.contradiction", detail, "leave one of the two")
        else:
            found[inner.name] = made
    return found


def _value(node: _Node, kind: str, path: str) -> Any:
    if kind in tables().types:
        return _content(node, kind, path)
    if kind == "unread":
        return [{"resourceType": inner.name} for inner in node.nodes]
    if node.nodes or "value" not in node.attributes:
        _no_fhir(f"{path} (line {node.line})", "has no value, or more than a value")
    text = node.attributes["value"]
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "integer" and text.lstrip("-").isdecimal():
        return int(text)
    return text


def _nodes(data: bytes) -> _Node:
    """The elements of an XML document. A document type ends the reading: there are no entities to be resolved."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    top = _Node("", {}, 0)
    stack = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEEPEST:
            _refuse("import.not_readable", "nested too deeply", f"nest at most {DEEPEST} levels")
        space, _, local = name.rpartition(" ")
        if space not in (NAMESPACE, XHTML):
            _no_fhir(f"line {parser.CurrentLineNumber}", f"is not in the namespace {NAMESPACE}")
        node = _Node(local, attributes, parser.CurrentLineNumber)
        stack[-1].nodes.append(node)
        stack.append(node)

    def end(_name: str) -> None:
        stack.pop()

    def document_type(*_: Any) -> NoReturn:
        _refuse("import.document_type", "the XML declares a document type", "send FHIR XML without a DOCTYPE")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(data, True)  # noqa: FBT003 - the last piece
    except expat.ExpatError as error:
        place = f"line {error.lineno}, column {error.offset + 1}"
        _refuse("import.not_readable", f"no well-formed XML; {place}", "correct the file at this place")
    return top.nodes[0]


def to_xml(resource: Json) -> bytes:
    """A Consent, or a Bundle of them, as FHIR XML. The inverse of reading, but for narratives."""
    ET.register_namespace("", NAMESPACE)
    if resource["resourceType"] == CONSENT:
        return _serialised(_element(CONSENT, resource, CONSENT))
    root = ET.Element(f"{{{NAMESPACE}}}{BUNDLE}")
    ET.SubElement(root, f"{{{NAMESPACE}}}type", value=resource["type"])
    for entry in resource.get("entry", []):
        place = ET.SubElement(root, f"{{{NAMESPACE}}}entry")
        ET.SubElement(place, f"{{{NAMESPACE}}}fullUrl", value=entry["fullUrl"])
        held = ET.SubElement(place, f"{{{NAMESPACE}}}resource")
        held.append(_element(CONSENT, entry["resource"], CONSENT))
    return _serialised(root)


def _serialised(root: ET.Element) -> bytes:
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _element(name: str, content: Json, kind: str) -> ET.Element:
    made = ET.Element(f"{{{NAMESPACE}}}{name}")
    known = tables().types[kind]
    for attribute in ("url", "id"):
        if attribute in content and attribute not in known:
            made.set(attribute, content[attribute])
    for member, wanted in known.items():
        inner = content.get(member)
        if inner is None or wanted in ("unread", "Narrative"):
            continue
        for each in inner if wanted.endswith("*") else [inner]:
            if wanted.removesuffix("*") in tables().types:
                made.append(_element(member, each, wanted.removesuffix("*")))
            else:
                text = str(each).lower() if isinstance(each, bool) else str(each)
                ET.SubElement(made, f"{{{NAMESPACE}}}{member}", value=text)
    return made


def _no_fhir(place: str, what: str) -> NoReturn:
    _refuse("import.not_fhir", f"{place} {what}", "send FHIR R4 (hl7.org/fhir/R4/consent.html)")


def _refuse(code: str, detail: str, remedy: str) -> NoReturn:
    raise Invalid(code, detail, remedy) from None
