"""`eef play`: play a task in the terminal."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import PluginList, assignment, selected
from eef_framework.cli.terminal import Leave, Terminal
from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName, boundary
from eef_framework.interfaces import Environment, Session, replay
from eef_framework.plugins import load_plugins
from eef_framework.records import Ending, Task, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.runs import JsonlFile

PERSON = "person"
"""Name of the expert in saved episodes."""

HELP = """\
Type an action or its number in the list. Commands, with or without the slash:
  /undo   undo the last action             /actions   list all actions
  /help   show this help                   /quit      quit; with --save, save the episode"""


def play(
    env: Annotated[str, typer.Argument(metavar="ENV", help="The environment (`shop`, `my_module:MyClass`).")],
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="ID", help="The task. Default: the first of the split that isn't in the file of --save."
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="SPLIT", help="Split of the task.")] = "train",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting of the environment. Repeatable."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Append the episode to this file of demonstrations (.jsonl), for collect.trajectories.",
        ),
    ] = None,
    plugins: PluginList = None,
) -> None:
    """Play a task yourself, with the agent's observations and actions. You can save the episode as a demonstration."""
    registry = load_plugins(selected(plugins))
    spec = {"name": env, **dict(map(assignment, settings or ()))}
    with registry.build("environment", spec) as environment:
        # Opened before the game: if the file can't be written to, no episode is lost.
        with JsonlFile(save, Trajectory) if save is not None else nullcontext() as rows:
            chosen = _task(environment, split, task, {row.id for row in rows.rows} if rows else set())
            game = _Game(environment, chosen, Terminal())
            try:
                episode = game.play()
            finally:
                game.session.close()
            if rows is None or not episode.steps:
                return
            rows.append(episode)
        game.terminal.say(f"{save}: {episode.id} added ({len(episode.steps)} actions, {episode.ending})")


class _Game:
    """An interactive episode."""

    def __init__(self, environment: Environment, task: Task, terminal: Terminal) -> None:
        self.environment, self.task, self.terminal = environment, task, terminal
        with self._boundary("opening"):
            self.session: Session = environment.open(task)
        self.began = time.monotonic()

    def play(self) -> Trajectory:
        """Read lines until the player quits, and return the episode; without steps if it is abandoned."""
        show = self.terminal
        show.start(self.task, self.environment.instructions)
        show.state(self.session)
        try:
            while True:
                self._line(show.ask())
        except Leave:
            return self._episode(kept=True)
        except (EOFError, KeyboardInterrupt):
            # An episode that has ended is complete, however the player left.
            kept = self.session.done
            # A console that was interrupted while printing may not show later output.
            Terminal().say("" if kept else "The episode isn't complete: nothing was saved.")
            return self._episode(kept)

    def _line(self, line: str) -> None:
        seen = self.session.observation
        listed = seen.actions or ()
        word = line.removeprefix("/")
        commands = {"undo": self._undo, "actions": self._list, "help": self._help, "quit": _leave}
        if word in commands and line not in listed:
            commands[word]()
        elif line.isdecimal() and line not in listed and 1 <= int(line) <= len(listed):
            self._act(listed[int(line) - 1])
        elif line.isdecimal() and not seen.admits(line):
            self.terminal.say(f"There is no action {line}.")
        elif line:
            self._act(line)

    def _act(self, action: str) -> None:
        if self.session.done:
            self.terminal.say("The episode has ended: undo or quit.")
            return
        with self._boundary(f"taking {action!r}"):
            step = self.session.step(action)
        if not step.valid:
            self.terminal.say(f"{action!r} isn't a valid action here.")
        self.terminal.state(self.session)

    def _undo(self) -> None:
        if not self.session.steps:
            self.terminal.say("There is nothing to undo.")
            return
        # The previous state is replayed, so that no session has to be kept open for every action.
        before = replay(self.environment, self.task, self.session.initial, self.session.steps[:-1])
        self.session.close()
        self.session = before
        self.terminal.state(self.session)

    def _list(self) -> None:
        self.terminal.actions(self.session.observation, everything=True)

    def _boundary(self, doing: str) -> AbstractContextManager[None]:
        return boundary(EnvironmentFailure, self.environment, f"{doing} in {self.task.id!r}")

    def _help(self) -> None:
        self.terminal.say(HELP)

    def _episode(self, kept: bool) -> Trajectory:
        session = self.session
        ending: Ending = "gave-up"
        if session.done:
            ending = "terminated" if session.steps[-1].terminated else "truncated"
        return Trajectory(
            id=expert_id(PERSON, self.task),
            task=self.task,
            actor=f"expert/{PERSON}",
            initial=session.initial,
            steps=tuple(session.steps) if kept else (),
            reward=session.reward,
            ending=ending,
            seconds=round(time.monotonic() - self.began, 3),
        )


def _leave() -> None:
    raise Leave


def _task(environment: Environment, split: str, wanted: str | None, saved: set[str]) -> Task:
    tasks = environment.tasks(split)
    if wanted is None:
        task = next((task for task in tasks if expert_id(PERSON, task) not in saved), None)
        if task is None:
            raise ConfigError(
                f"all tasks of split {split!r} are in the file of --save",
                "Choose another --split or --save.",
                code="no-task-left",
                split=split,
            )
        return task
    task = next((task for task in tasks if task.id == wanted), None)
    if task is None:
        known = [task.id for task in tasks[:20]]
        fix = "Give the id of a task to --task, or omit it."
        raise UnknownName.of("task", wanted, known, fix, where=f"in split {split!r}")
    if expert_id(PERSON, task) in saved:
        raise ConfigError(
            f"the file of --save has an episode of task {wanted!r} already",
            "A file has one demonstration per task: choose another --task or --save.",
            code="task-already-saved",
            task=wanted,
        )
    return task
