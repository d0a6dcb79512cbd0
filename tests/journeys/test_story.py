"""The main job, from the consent to the acknowledged retraction, as a newcomer sees it."""

import json

from tests.support.platform import Platform


def test_the_story_does_what_it_says(platform: Platform) -> None:
    told = platform.demo()
    assert told.returncode == 0, told.stdout + told.stderr
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert lines[-1]["ok"]
    assert lines[-1]["steps"] == len(lines) - 1 == 10


def test_the_story_may_be_told_again_on_the_same_platform(platform: Platform) -> None:
    assert platform.demo().returncode == 0
    assert platform.demo("--run", "the-same-run").returncode == 0
