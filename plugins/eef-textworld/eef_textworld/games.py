"""Games: what determines one, and how TextWorld makes it. Runs in the engine's process; imports TextWorld when called.

A game belongs to the split that its content falls into: the fingerprint of its facts and its solution, modulo the
number of splits. Candidates are drawn from the split's own range of seeds until one fits, so that no game is in two
splits, even where two seeds lead to the same game.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from eef_framework.errors import EnvironmentFailure
from eef_framework.records import fingerprint
from eef_textworld.quicken import quicken

if TYPE_CHECKING:
    from textworld import Game, GameOptions

Challenge = Literal["custom", "tw-simple", "tw-cooking", "tw-coin_collector", "tw-treasure_hunter"]
Goal = Literal["last", "steps"]
Theme = Literal["plain", "house", "basic"]

SPLITS: Final = ("train", "dev", "test")
SEEDS: Final = 1_000_000
"""How many seeds a split has for the first candidates of its games."""
CANDIDATES: Final = 60
"""How many seeds are tried for a game: that none of so many falls into the split has a chance of 3e-11."""
NAMINGS: Final = 8
"""How often things are named for a seed."""
COOKING_SPLITS: Final = {"train": "train", "dev": "valid", "test": "test"}
"""TextWorld's names of the splits that share no recipe."""


@dataclass(frozen=True)
class GameSpec:
    """What determines a game, together with the version of TextWorld.

    Attributes:
        challenge: `custom` for TextWorld's generator, else one of TextWorld's challenges.
        split: the game's content falls into this split.
        seed: of the first candidate.
        rooms: number of rooms (`custom`).
        objects: number of objects, containers and supporters (`custom`).
        length: number of actions of the quest (`custom`).
        quests: number of quests that don't depend on one another (`custom`).
        level: of `tw-coin_collector` (1 to 300, up to 100 rooms) and `tw-treasure_hunter` (1 to 30).
        options: settings of `tw-simple` and `tw-cooking`, as TextWorld calls them.
        goal: whether the objective names the last action or all.
        theme: where names come from (not in `tw-simple` and `tw-cooking`, which have their own).
    """

    challenge: Challenge
    split: str
    seed: int
    rooms: int = 1
    objects: int = 1
    length: int = 1
    quests: int = 1
    level: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    goal: Goal = "last"
    theme: Theme = "plain"

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """Read a spec from a task's `info`, which may have other keys, too.

        Raises:
            TypeError: a key is missing.
        """
        return cls(**{name: info[name] for name in cls.__dataclass_fields__ if name in info})

    @property
    def info(self) -> dict[str, Any]:
        """The spec as plain data."""
        return asdict(self)


def make_game(spec: GameSpec) -> Game:
    """Make a game: the first candidate of the spec that falls into its split and that its own walkthrough wins.

    Raises:
        EnvironmentFailure: TextWorld makes no such game.
    """
    problem = "none falls into the split"
    for number in range(CANDIDATES):
        try:
            game = _fitting(spec, spec.seed + number * len(SPLITS) * SEEDS)
        except Exception as error:
            problem = f"the last one: {type(error).__name__}: {error}"
            continue
        if game is not None:
            game.metadata["goal"] = _goal(game, spec)
            return game
    raise EnvironmentFailure(
        f"none of {CANDIDATES} seeds leads to a game of {spec} ({problem})",
        "Choose another size or level: TextWorld refuses this one, or makes too few different games of it.",
    )


def _goal(game: Game, spec: GameSpec) -> str:
    """Return the objective as commands. A recipe has to be read, whatever is asked for."""
    commands = list(game.walkthrough or ())
    return " then ".join(commands if spec.goal == "steps" and spec.challenge != "tw-cooking" else commands[-1:])


def split_of(game: Game) -> str:
    """Return the split that a game's content falls into."""
    return SPLITS[int(content_fingerprint(game), 16) % len(SPLITS)]


def content_fingerprint(game: Game) -> str:
    """Return a hash of what a game is: its facts, by the names of things, and its solution. Wording doesn't count."""
    names = {key: info.name or key for key, info in game.infos.items()}
    facts = sorted(f"{fact.name} {' '.join(names[v.name] for v in fact.arguments)}" for fact in game.world.facts)
    return fingerprint("\n".join([*facts, *(game.walkthrough or ())]))


def is_won_by_its_walkthrough(game: Game) -> bool:
    """Return whether the game can be won, and isn't from the start."""
    from eef_textworld.play import Play

    play = Play(game)
    if play.over or not game.walkthrough:
        return False
    for command in game.walkthrough:
        if not play.over:
            play.take(command)
    return play.won


def _fitting(spec: GameSpec, seed: int) -> Game | None:
    """Return the game of a seed if it fits; of TextWorld's generator's, also one with other names for things.

    Most of a game's time goes into its map and quest (0.1 s); naming things takes a tenth of it.
    """
    game = _candidate(spec, seed)
    for names in range(NAMINGS if spec.challenge == "custom" else 1):
        if names:
            game = _renamed(game, spec, seed + names)
        if split_of(game) == spec.split and is_won_by_its_walkthrough(game):
            return game
    return None


def _renamed(game: Game, spec: GameSpec, seed: int) -> Game:
    from numpy.random import RandomState
    from textworld import Game
    from textworld.generator import make_grammar

    for quest in game.quests:
        quest.desc = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that get a number
        return Game(game.world, make_grammar(_options(spec, seed).grammar, rng=RandomState(seed)), game.quests)


def _candidate(spec: GameSpec, seed: int) -> Game:
    import textworld
    from textworld.challenges import CHALLENGES

    quicken()
    textworld.g_rng.set_seed(seed)  # so that nothing depends on the games made before
    options = _options(spec, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that get a number
        if spec.challenge == "custom":
            return textworld.generator.make_game(options)
        _, make, _ = CHALLENGES[spec.challenge]
        return make(dict(_settings(spec, seed)), options)


def _options(spec: GameSpec, seed: int) -> GameOptions:
    from textworld import GameOptions
    from textworld.generator.data import LOGIC_DATA_PATH, TEXT_GRAMMARS_PATH, KnowledgeBase

    options = GameOptions()
    options.seeds = seed
    options.grammar.only_last_action = spec.goal == "last"
    options.grammar.allowed_variables_numbering = True
    if spec.challenge == "custom":
        # The paths are named, because TextWorld prefers a folder `textworld_data` of the current one.
        options.kb = KnowledgeBase.load(logic_path=LOGIC_DATA_PATH, grammar_path=TEXT_GRAMMARS_PATH)
        options.grammar.theme = _plain_theme() if spec.theme == "plain" else spec.theme
        options.nb_rooms, options.nb_objects = spec.rooms, spec.objects
        options.quest_length, options.nb_parallel_quests = spec.length, spec.quests
    return options


def _settings(spec: GameSpec, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield what a challenge's `make` is given."""
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
    """Return the theme of this package, as a path: TextWorld joins it to its own folder, which a whole path ignores."""
    return str(resources.files("eef_textworld") / "grammar" / "plain")
