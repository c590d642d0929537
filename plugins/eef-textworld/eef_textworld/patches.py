"""Patches of TextWorld that make generating games faster, and possible without a compiler.

They are applied in the engine's process only. The games are the same: a test compares them with those of an unpatched
TextWorld.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from eef_textworld._compat.textworld import Action, GameMaker, GameProgression, Inform7Game, KnowledgeBase


def apply_patches() -> None:
    """Patch TextWorld, unless that was done before.

    A knowledge base is read once per process instead of once per game (0.3 s each). Walkthroughs are tested on the
    game's logic instead of on a compiled game (0.6 s each, and an Inform 7 compiler for this platform).
    """
    if not hasattr(KnowledgeBase.load, "cache_clear"):
        KnowledgeBase.load = staticmethod(functools.cache(KnowledgeBase.load))
        GameMaker.set_walkthrough = _set_walkthrough


def _set_walkthrough(maker: GameMaker, commands: Sequence[str]) -> None:
    """Assign to every winning event the actions of the walkthrough that trigger it."""
    game = maker.build()
    words = Inform7Game(game).gen_commands_from_actions
    progression = GameProgression(game)
    waiting = [event for quest in progression.quest_progressions for event in quest.win_events]
    actions: list[Action] = []
    found = []
    for number, command in enumerate(commands, 1):
        admissible = progression.valid_actions
        action = dict(zip(words(admissible), admissible, strict=True)).get(command)
        if action is not None:
            progression.update(action)
        # For an inadmissible command (a second `open fridge`), TextWorld records the previous action again.
        actions.append(action or actions[-1])
        for each in [event for event in waiting if event.triggered]:
            found.append((each.event, list(actions), list(commands[:number])))
            waiting.remove(each)
    for event, its_actions, its_commands in found:
        event.actions, event.commands = its_actions, its_commands
