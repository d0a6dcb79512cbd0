"""How the story is told: on a terminal in German, or as JSON lines."""

import json

from rich.console import Console

from services.command.demo.story import Step


class Teller:
    """Tells each step as it is done, and at the end whether all of them did what they say."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True)
        self._number = 0

    def step(self, step: Step) -> None:
        self._number += 1
        if self._as_json:
            told = {"step": self._number, "title": step.title, "lines": step.lines, "ms": step.milliseconds}
            self._console.print_json(json.dumps(told, ensure_ascii=False), indent=None)
            return
        self._console.print(f"[bold]{self._number:2}. {step.title}[/]  [dim]{step.milliseconds} ms[/]")
        for line in step.lines:
            self._console.print(f"      {line}", markup=False)

    def end(self, steps: list[Step]) -> None:
        total = sum(step.milliseconds for step in steps)
        if self._as_json:
            self._console.print_json(json.dumps({"steps": len(steps), "ms": total, "ok": True}), indent=None)
        else:
            self._console.print(f"[green]Alle {len(steps)} Schritte haben getan, was sie sagen[/] ({total} ms).")

    def failed(self, reason: str) -> None:
        if self._as_json:
            self._console.print_json(json.dumps({"ok": False, "reason": reason}), indent=None)
        else:
            self._console.print(f"[red]Die Geschichte endete vor dem Ziel:[/] {reason}", markup=True)
