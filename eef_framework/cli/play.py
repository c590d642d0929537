"""`eef play`: a person plays a task in the terminal."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import PluginList, selected
from eef_framework.cli.terminal import Leave, Terminal
from eef_framework.config.yaml_source import parse_value
from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName, boundary
from eef_framework.interfaces import Environment, Session, replay
from eef_framework.plugins import load_plugins
from eef_framework.records import Ending, Task, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.runs import JsonlFile

PERSON = "person"
"""The name of the expert who plays."""

HELP = """\
A line is an action: its number in the list, or its words. These are commands, with or without the slash:
  /undo   take the last action back        /actions   list all actions
  /help   show this                        /quit      leave; with --save, keep what was played"""


def play(
    env: Annotated[str, typer.Argument(metavar="ENV", help="The environment (`shop`, `my_module:MyClass`).")],
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="ID", help="The task; by default the split's first that isn't in --save's file."
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="SPLIT", help="Where the task is from.")] = "train",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting of the environment. Repeatable."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FILE", help="Append the episode as a demonstration (.jsonl) for collect.trajectories."
        ),
    ] = None,
    plugins: PluginList = None,
) -> None:
    """Play a task: see what an agent sees, do what it can do, and keep the episode as a demonstration."""
    registry = load_plugins(selected(plugins))
    spec = {"name": env, **dict(map(_setting, settings or ()))}
    with registry.build("environment", spec) as environment:
        # Opened before the game, not after it: a file that can't be written to costs no episode.
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
    """An episode that a person plays."""

    def __init__(self, environment: Environment, task: Task, terminal: Terminal) -> None:
        self.environment, self.task, self.terminal = environment, task, terminal
        with self._boundary("opening it"):
            self.session: Session = environment.open(task)
        self.began = time.monotonic()

    def play(self) -> Trajectory:
        """Read lines until the person leaves, and return the episode; without steps if it is abandoned."""
        show = self.terminal
        show.start(self.task, self.environment.instructions)
        show.state(self.session)
        try:
            while True:
                self._line(show.ask())
        except Leave:
            return self._episode(kept=True)
        except (EOFError, KeyboardInterrupt):
            # An episode that is over is whole, however its player left.
            kept = self.session.done
            # A console that was interrupted while printing may not show later output.
            Terminal().say("" if kept else "Left in the middle: nothing was saved.")
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
            self.terminal.say("The episode is over: undo or quit.")
            return
        with self._boundary(f"taking {action!r}"):
            step = self.session.step(action)
        if not step.valid:
            self.terminal.say(f"{action!r} isn't understood here.")
        self.terminal.state(self.session)

    def _undo(self) -> None:
        if not self.session.steps:
            self.terminal.say("There is nothing to take back.")
            return
        # A fork of the state before: replayed now, so that no session is kept open for every action taken.
        before = replay(self.environment, self.task, self.session.initial, self.session.steps[:-1])
        self.session.close()
        self.session = before
        self.terminal.state(self.session)

    def _list(self) -> None:
        self.terminal.actions(self.session.observation, everything=True)

    def _boundary(self, doing: str) -> AbstractContextManager[None]:
        who = f"environment {self.environment.component_name()!r}"
        return boundary(EnvironmentFailure, who, f"{doing} in {self.task.id!r}")

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
                f"split {split!r} has no task that isn't saved already", "Name another --split or --save."
            )
        return task
    task = next((task for task in tasks if task.id == wanted), None)
    if task is None:
        known = [task.id for task in tasks[:20]]
        raise UnknownName.of(f"task of split {split!r}", wanted, known, "Give a task's id to --task, or no --task.")
    if expert_id(PERSON, task) in saved:
        raise ConfigError(
            f"the file of --save has an episode of {wanted!r} already", "One a task: name another --task or --save."
        )
    return task


def _setting(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r} has no `=`", "Write --set key=value.")
    return key.strip(), parse_value(value, f"--set {text}")
