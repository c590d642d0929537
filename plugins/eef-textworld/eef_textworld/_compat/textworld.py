"""Everything that is used of TextWorld; most of it is internal. Importing this module takes a second."""

from __future__ import annotations

import copy

import textworld
from textworld import Game, GameMaker, GameOptions
from textworld.challenges import CHALLENGES
from textworld.generator import make_game, make_grammar
from textworld.generator.data import LOGIC_DATA_PATH, TEXT_GRAMMARS_PATH, KnowledgeBase
from textworld.generator.game import GameProgression
from textworld.generator.inform7 import Inform7Game
from textworld.logic import Action, Proposition

__all__ = [
    "CHALLENGES",
    "Action",
    "Game",
    "GameMaker",
    "GameOptions",
    "GameProgression",
    "Inform7Game",
    "KnowledgeBase",
    "Proposition",
    "copy_progression",
    "default_knowledge_base",
    "make_game",
    "make_grammar",
    "set_global_seed",
]


def copy_progression(progression: GameProgression) -> GameProgression:
    """Copy a progression as its own `copy` does, but without listing all admissible actions again."""
    twin = copy.copy(progression)
    twin.state = progression.state.copy()
    twin.quest_progressions = [quest.copy() for quest in progression.quest_progressions]
    return twin


def default_knowledge_base() -> KnowledgeBase:
    """Return TextWorld's own knowledge base.

    Without explicit paths, TextWorld would prefer a folder `textworld_data` in the working directory.
    """
    return KnowledgeBase.load(logic_path=LOGIC_DATA_PATH, grammar_path=TEXT_GRAMMARS_PATH)


def set_global_seed(seed: int) -> None:
    """Seed TextWorld's global random number generator."""
    textworld.g_rng.set_seed(seed)
