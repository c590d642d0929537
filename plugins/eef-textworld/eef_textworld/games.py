"""Generates games. Runs in the engine's process.

A hash of a game's facts and solution determines its split. Candidates are drawn from the split's own range of seeds
until one belongs to the split. So no game is in two splits, even if two seeds give the same game.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from numpy.random import RandomState

from eef_framework.errors import EnvironmentFailure
from eef_framework.records import fingerprint
from eef_textworld._compat import textworld
from eef_textworld._compat.textworld import CHALLENGES, Game, GameOptions
from eef_textworld.game_state import GameState
from eef_textworld.patches import apply_patches
from eef_textworld.spec import SEEDS, SPLITS, GameSpec

CANDIDATES: Final = 60
"""Maximum number of seeds that are tried for a game. The probability that none belongs to the split is 3e-11."""
NAMINGS: Final = 8
"""Number of namings that are tried for a seed."""
COOKING_SPLITS: Final = {"train": "train", "dev": "valid", "test": "test"}
"""Names of the splits in TextWorld, where they share no recipe."""


def make_game(spec: GameSpec) -> Game:
    """Generate a game: the first candidate that belongs to the split and is won by its own walkthrough.

    Raises:
        EnvironmentFailure: TextWorld generates no such game.
    """
    problem = "none belongs to the split"
    for number in range(CANDIDATES):
        try:
            game = _accepted(spec, spec.seed + number * len(SPLITS) * SEEDS)
        except Exception as error:
            problem = f"the last one: {type(error).__name__}: {error}"
            continue
        if game is not None:
            game.metadata["goal"] = _goal(game, spec)
            return game
    raise EnvironmentFailure(
        f"none of {CANDIDATES} seeds gives a game of {spec} ({problem})",
        "Choose another size or level: TextWorld refuses this one, or generates too few different games of it.",
    )


def _goal(game: Game, spec: GameSpec) -> str:
    """Return the objective as commands; only the last one in `tw-cooking`, where the agent has to read the recipe."""
    commands = list(game.walkthrough or ())
    return " then ".join(commands if spec.goal == "steps" and spec.challenge != "tw-cooking" else commands[-1:])


def split_of(game: Game) -> str:
    """Return the split that a game belongs to by its content."""
    return SPLITS[int(content_fingerprint(game), 16) % len(SPLITS)]


def content_fingerprint(game: Game) -> str:
    """Return a hash of a game's content: its facts, by the names of objects, and its solution, but not the wording."""
    names = {key: info.name or key for key, info in game.infos.items()}
    facts = sorted(f"{fact.name} {' '.join(names[v.name] for v in fact.arguments)}" for fact in game.world.facts)
    return fingerprint("\n".join([*facts, *(game.walkthrough or ())]))


def is_won_by_its_walkthrough(game: Game) -> bool:
    """Return whether the game's walkthrough wins it, and it isn't over at the start."""
    state = GameState(game)
    if state.over or not game.walkthrough:
        return False
    for command in game.walkthrough:
        if not state.over:
            state.step(command)
    return state.won


def _accepted(spec: GameSpec, seed: int) -> Game | None:
    """Return the game of a seed if it is acceptable. In games of TextWorld's generator, several namings are tried.

    Generating the map and the quest takes most of the time (0.1 s); naming objects takes a tenth of that.
    """
    game = _candidate(spec, seed)
    for naming in range(NAMINGS if spec.challenge == "custom" else 1):
        if naming:
            game = _renamed(game, spec, seed + naming)
        if split_of(game) == spec.split and is_won_by_its_walkthrough(game):
            return game
    return None


def _renamed(game: Game, spec: GameSpec, seed: int) -> Game:
    for quest in game.quests:
        quest.desc = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names to which a number is appended
        grammar = textworld.make_grammar(_options(spec, seed).grammar, rng=RandomState(seed))
        return Game(game.world, grammar, game.quests)


def _candidate(spec: GameSpec, seed: int) -> Game:
    apply_patches()
    textworld.set_global_seed(seed)  # the game must not depend on earlier ones
    options = _options(spec, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names to which a number is appended
        if spec.challenge == "custom":
            return textworld.make_game(options)
        _, make, _ = CHALLENGES[spec.challenge]
        return make(dict(_settings(spec, seed)), options)


def _options(spec: GameSpec, seed: int) -> GameOptions:
    options = GameOptions()
    options.seeds = seed
    options.grammar.only_last_action = spec.goal == "last"
    options.grammar.allowed_variables_numbering = True
    if spec.challenge == "custom":
        options.kb = textworld.default_knowledge_base()
        options.grammar.theme = _plain_theme() if spec.theme == "plain" else spec.theme
        options.nb_rooms, options.nb_objects = spec.rooms, spec.objects
        options.quest_length, options.nb_parallel_quests = spec.length, spec.quests
    return options


def _settings(spec: GameSpec, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a challenge, by TextWorld's names."""
    if spec.challenge == "tw-simple":
        yield from {"rewards": "dense", "goal": "brief" if spec.goal == "last" else "detailed"}.items()
        yield "test", spec.split == "test"
    elif spec.challenge == "tw-cooking":
        yield from {"recipe": 1, "take": 1, "go": 1, "recipe_seed": 0}.items()
        yield "split", COOKING_SPLITS[spec.split]
    else:
        yield "level", spec.level
    yield from spec.options.items()


def _plain_theme() -> str:
    """Return the absolute path of this package's theme, which TextWorld accepts in place of a name."""
    return str(resources.files("eef_textworld") / "grammar" / "plain")
