"""`handschlag witness`: a witness of audit logs, on a machine of its own, with its own key and its own memory.

For the data-protection officer, a supervisory authority or a partner. It needs nothing of the platform it watches:
no database server, no broker, no settings; the log comes to it (c2sp.org/tlog-witness).
Exit codes: 0 ok, 1 a log contradicted itself, 2 wrong use.
"""

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.clock import SystemClock, timestamp
from shared.errors import Invalid, NotFound
from shared.files import write_once
from shared.notes import COSIGNATURE, VerifierKey, claimed_checkpoint
from shared.witness import Witness, WitnessStore

KEY_FILE = "witness.json"
FINDING = 1

_WORDS = {
    "watches": ("Zeuge {name} auf {listen}, {count} Protokolle", "witness {name} at {listen}, {count} logs"),
    "seen": ("{origin}: {size} Einträge, zuletzt mitgezeichnet {at}", "{origin}: {size} entries, last cosigned {at}"),
    "nothing": ("noch nichts mitgezeichnet", "nothing cosigned yet"),
    "two_trees": (
        "{origin}: ZWEI BÄUME mit {size} Einträgen, beide vom Protokoll signiert ({at})",
        "{origin}: TWO TREES of {size} entries, both signed by the log ({at})",
    ),
    "not_continued": (
        "{origin}: ein signierter Stand mit {size} Einträgen setzt den mitgezeichneten nicht nachweislich fort ({at})",
        "{origin}: a signed head of {size} entries was not shown to continue the one cosigned ({at})",
    ),
    "evidence": ("Belege mit --json", "the evidence: --json"),
}


@click.group()
def witness() -> None:
    """Zeuge für Protokolle: merkt sich den neuesten Logstand und zeichnet nur mit, was ihn fortsetzt."""


_store = click.option(
    "--store",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Ordner des Zeugen: sein Schlüssel und was er mitgezeichnet hat.",
)
_lang = click.option("--lang", type=click.Choice(["de", "en"]), default="de", help="Sprache der Ausgabe.")


@witness.command()
@_store
@click.option("--name", help="Name des neuen Zeugen, eine Adresse ohne Schema: zeuge.datenschutz.example")
def key(*, store: Path, name: str | None) -> None:
    """Schlüssel und Gedächtnis anlegen, wenn es sie noch nicht gibt; den Prüfschlüssel ausgeben."""
    if name is not None:
        provide_witness(store, name)
    known, signer = identity(store)
    if name not in (None, known):
        raise Invalid("witness.other_name", f"in this folder lives {known}", "a folder has one witness")
    click.echo(str(VerifierKey(known, signer.public_key().public_bytes_raw(), COSIGNATURE)))


@witness.command()
@_store
@click.option("--listen", required=True, metavar="HOST:PORT", help="Wo der Zeuge antwortet: POST /add-checkpoint")
@click.option(
    "--log",
    "logs",
    required=True,
    multiple=True,
    metavar="KEY",
    help="Prüfschlüssel eines Protokolls, dessen Name seine Herkunft ist: der Text oder eine Datei mit einem je Zeile.",
)
@_lang
def run(*, store: Path, listen: str, logs: tuple[str, ...], lang: str) -> None:
    """Antworten, bis der Prozess beendet wird. Andere Protokolle als die genannten werden nicht mitgezeichnet."""
    name, signer = identity(store)
    watched = list(_log_keys(logs))
    made = Witness(name, signer, WitnessStore(store), SystemClock(), watched)
    count = len({each.name for each in watched})
    click.echo(_say("watches", lang, name=name, listen=listen, count=count), err=True)
    serve(made, listen)


@witness.command()
@_store
@click.option("--json", "as_json", is_flag=True, help="Ein JSON-Objekt, mit den signierten Logständen als Belegen.")
@_lang
def show(*, store: Path, as_json: bool, lang: str) -> None:
    """Was mitgezeichnet wurde, und welches Protokoll sich widersprochen hat (dann Ergebnis 1)."""
    memory = WitnessStore(store)
    seen, against = memory.seen(), memory.contradictions()
    if as_json:
        document: dict[str, Any] = {
            "seen": {
                origin: {"size": each.size, "at": _moment(each.at), "checkpoint": each.note}
                for origin, each in seen.items()
            },
            "contradictions": [
                {"origin": each.origin, "at": _moment(each.at), "cosigned": each.cosigned, "shown": each.shown}
                for each in against
            ],
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for origin, each in seen.items():
            click.echo(_say("seen", lang, origin=origin, size=each.size, at=_moment(each.at)))
        if not seen:
            click.echo(_say("nothing", lang))
        for found in against:
            shown, cosigned = claimed_checkpoint(found.shown), claimed_checkpoint(found.cosigned)
            word = "two_trees" if shown.size == cosigned.size else "not_continued"
            click.echo(_say(word, lang, origin=found.origin, size=shown.size, at=_moment(found.at)))
        if against:
            click.echo(_say("evidence", lang))
    sys.exit(FINDING if against else 0)


def provide_witness(store: Path, name: str) -> None:
    """A key and an empty memory in this folder, unless a witness lives there already."""
    if not (store / KEY_FILE).exists():
        VerifierKey(name, bytes(32), COSIGNATURE)
        WitnessStore.make(store)
        secret = Ed25519PrivateKey.generate().private_bytes_raw().hex()
        write_once(store / KEY_FILE, lambda: json.dumps({"name": name, "private_key": secret}))


def identity(store: Path) -> tuple[str, Ed25519PrivateKey]:
    """Name and signing key of the witness in this folder; raises `NotFound` when there is none."""
    try:
        known = json.loads((store / KEY_FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise NotFound("witness.no_key", "no witness lives in this folder", "handschlag witness key --name …") from None
    return known["name"], Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["private_key"]))


def serve(made: Witness, listen: str) -> None:
    """One process with a few threads; turns are taken in the store."""
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    from shared.witness.serving import witness_app

    class Server(BaseApplication):
        def load_config(self) -> None:
            settings = {"bind": listen, "workers": 1, "worker_class": "gthread", "threads": 8, "loglevel": "warning"}
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return witness_app(made, lambda status, code: click.echo(f"{status} {code}", err=True))

    Server().run()


def _log_keys(given: Iterable[str]) -> Iterable[VerifierKey]:
    for each in given:
        lines = Path(each).read_text("utf-8").splitlines() if Path(each).is_file() else [each]
        yield from (VerifierKey.parse(line.strip()) for line in lines if line.strip())


def _moment(at: int) -> str:
    return timestamp(datetime.fromtimestamp(at, UTC))


def _say(word: str, lang: str, **values: object) -> str:
    return _WORDS[word][lang == "en"].format(**values)
