"""Interactive episodes in a terminal: panels and colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from eef_framework.cli.printable import printable
from eef_framework.interfaces import Session
from eef_framework.records import Observation, Task

MOST_ACTIONS = 30
"""Maximum number of actions listed, unless the player asks for all."""


class Leave(Exception):
    """Raised when the player quits."""


class Terminal:
    """Shows an episode and reads the player's input."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.person = sys.stdin.isatty() and self.console.is_terminal

    def say(self, text: str) -> None:
        """Print a line."""
        if text:
            self.console.print(Text(printable(text)), soft_wrap=True)

    def start(self, task: Task, instructions: str) -> None:
        """Show the task and its instructions, and which of it the agent sees."""
        self.say(f"task {task.id}{f' ({task.kind})' if task.kind else ''}")
        self.say(f"For you, not for the agent: {task.instruction}" if task.instruction else "")
        self.say(f"The agent is told: {instructions}" if instructions else "")
        self.say("Type an action or its number; help, undo, quit.")

    def state(self, session: Session) -> None:
        """Show a state: observation, score and actions."""
        self.say("" if self.person else "---")
        text = Text(printable(session.observation.text))
        title = f"after {len(session.steps)} actions, score {session.reward:g}"
        if self.person:
            self.console.print(Panel(text, title=title, title_align="left"))
        else:
            self.say(text.plain)
            self.say(f"[{title}]")
        if session.done:
            how = "The task has ended" if session.steps[-1].terminated else "The step limit is reached"
            self.say(f"{how}: score {session.reward:g}. Type undo or quit.")
        else:
            self.actions(session.observation)

    def actions(self, observation: Observation, everything: bool = False) -> None:
        """List the admissible actions with their numbers, if they are known."""
        listed = observation.actions or ()
        shown = listed if everything else listed[:MOST_ACTIONS]
        for number, action in enumerate(shown, 1):
            self.say(f"{number:3} {action}")
        if len(shown) < len(listed):
            self.say(f"    ... and {len(listed) - len(shown)} more: type actions to list them")
        for form in observation.free:
            self.say(f"    {form.prefix}...{form.suffix}")

    def ask(self) -> str:
        """Return the next line of input.

        Raises:
            EOFError: the input has ended.
        """
        if self.person:
            import readline  # noqa: F401 - gives input() line editing and a history

            return input("> ").strip()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        self.say(f"> {line.strip()}")
        return line.strip()
