"""The gate: what was promised still holds.

Generated files are those of the code; every sample of every event version still loads; what a service hears fits what
the other one tells; every call that is granted exists; and what has been published (events, messages, samples on the
main branch) has not changed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import yaml

from contracts.generate import FOLDER, GENERATED, earlier_version, generated, messages, methods, samples
from services import SERVICES
from shared.errors import HandschlagError
from shared.schema import parse_event

PUBLISHED = ("contracts/events", "contracts/messages", "contracts/samples")
MAIN = ("origin/main", "main")


def findings(folder: Path = FOLDER) -> list[str]:
    """Every broken promise in one line; none: the gate is open."""
    return [
        *_not_generated(folder),
        *_samples(folder),
        *_heard_but_not_told(),
        *_granted_but_not_offered(folder),
        *_published_but_changed(folder),
    ]


def _not_generated(folder: Path) -> Iterator[str]:
    wanted = generated()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            yield f"contracts/{name} is not what the code says; run make contracts"
    for kind in GENERATED:
        for path in (folder / kind).glob("*"):
            name = f"{kind}/{path.name}"
            if name not in wanted and not earlier_version(name):
                yield f"contracts/{kind}/{path.name} belongs to nothing; run make contracts"


def _samples(folder: Path) -> Iterator[str]:
    for name in samples():
        if not (folder / name).exists():
            yield f"contracts/{name} is missing; run make contracts"
    for path in sorted((folder / "samples").glob("*.json")):
        event, _, version = path.stem.rpartition(".v")
        try:
            parse_event(event, int(version), json.loads(path.read_text("utf-8")))
        except (HandschlagError, KeyError, ValueError) as error:
            yield f"contracts/samples/{path.name} no longer loads ({type(error).__name__}); add an upcaster"


def _heard_but_not_told() -> Iterator[str]:
    told = {name: cls for service in SERVICES for name, cls in messages(service).items()}
    for service in SERVICES:
        for name, handler in import_module(f"services.{service}.inbound").HANDLERS.items():
            offered = {field.name: field.type for field in fields(told[name])} if name in told else {}
            for field in fields(handler.cls):
                if field.name not in offered:
                    yield f"{service} reads {field.name} of {name}, which nobody tells"


def _granted_but_not_offered(folder: Path) -> Iterator[str]:
    offered = {service: {name for name, _, _ in methods(service)} for service in SERVICES}
    granted = yaml.safe_load((folder / "calls.yaml").read_text("utf-8"))
    for caller, callees in granted.items():
        for callee, names in callees.items():
            for name in names:
                if name not in offered.get(callee, set()):
                    yield f"calls.yaml grants {caller} the call {callee}.{name}, which nobody offers"
    used = {(callee, name) for callees in granted.values() for callee, names in callees.items() for name in names}
    for service, names in offered.items():
        for name in sorted(names):
            if (service, name) not in used:
                yield f"{service}.{name} is offered and granted to nobody"


def _published_but_changed(folder: Path) -> Iterator[str]:
    root = folder.parent
    for branch in MAIN:
        listed = _git(root, "ls-tree", "-r", "--name-only", branch, "--", *PUBLISHED)
        if listed is None:
            continue
        for name in listed.splitlines():
            path = root / name
            if not path.exists():
                yield f"{name} was published and is gone"
            elif path.read_text("utf-8") != _git(root, "show", f"{branch}:{name}"):
                yield f"{name} was published and has changed; make a new version instead"
        return


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S607 - the user's git
    return done.stdout.decode() if done.returncode == 0 else None


def main() -> int:
    found = findings()
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
