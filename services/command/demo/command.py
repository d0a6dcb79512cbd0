"""`handschlag demo`: the story against a platform that runs already."""

import sys
from pathlib import Path
from uuid import uuid4

import click
import httpx

from services.command.demo.platform_client import PlatformClient, Unexpected
from services.command.demo.story import Story
from services.command.demo.telling import Teller
from services.command.demo.world import World, provide_world


def play(url: str, world: World, *, broker: str, as_json: bool, patience: float = 60.0, run: str = "") -> bool:
    """Play the story and tell it; whether every step did what it says."""
    teller = Teller(as_json=as_json)
    platform = PlatformClient(url, patience)
    story = Story(platform, world, teller.step, broker, run or uuid4().hex)
    try:
        teller.end(story.play())
    except (Unexpected, httpx.HTTPError) as error:
        teller.failed(str(error))
        return False
    finally:
        platform.close()
    return True


@click.command()
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the platform answers.")
@click.option("--state", default="state", show_default=True, type=click.Path(path_type=Path), help="Its state folder.")
@click.option("--broker", default="", help="RabbitMQ at which the pension insurer has its queue (default: its feed).")
@click.option("--patience", default=60.0, show_default=True, help="Seconds to wait for a part that is away.")
@click.option("--run", default="", help="An id for this run; the same id again continues it.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON lines.")
def demo(*, url: str, state: Path, broker: str, patience: float, run: str, as_json: bool) -> None:
    """Play the demonstration story through the public interfaces. Exit code 0 only if every step did what it says."""
    told = play(url, provide_world(state), broker=broker, as_json=as_json, patience=patience, run=run)
    sys.exit(0 if told else 1)
