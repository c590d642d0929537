"""Each test names a part of TextWorld. If it fails, adapt `eef_textworld/_compat/textworld.py`."""

import inspect

import pytest
from eef_textworld._compat import textworld
from eef_textworld._compat.textworld import GameMaker, GameProgression, Inform7Game, KnowledgeBase
from eef_textworld.games import make_game
from eef_textworld.spec import GameSpec


@pytest.fixture(scope="module")
def game():
    return make_game(GameSpec("custom", "train", 0, rooms=2, objects=2, length=2))


@pytest.fixture
def progression(game):
    return GameProgression(game)


def parameters(function):
    return set(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", textworld.__all__)
def test_has_what_the_compatibility_module_exports(name):
    assert getattr(textworld, name) is not None


def test_knowledge_base_is_loaded_by_the_function_that_is_patched():
    assert {"logic_path", "grammar_path"} <= parameters(KnowledgeBase.load)


def test_game_maker_sets_the_walkthrough_by_the_method_that_is_patched():
    assert list(inspect.signature(GameMaker.set_walkthrough).parameters)[1:] == ["commands"]


def test_translates_actions_to_commands(game, progression):
    actions = progression.valid_actions
    assert len(Inform7Game(game).gen_commands_from_actions(actions)) == len(actions) > 0


@pytest.mark.parametrize(
    "attribute",
    [
        "completed",
        "failed",
        "score",
        "state",
        "quest_progressions",
        "valid_actions",
        "winning_policy",
        "update",
        "copy",
    ],
)
def test_progression_has_the_attribute(progression, attribute):
    assert hasattr(progression, attribute)


def test_progression_has_no_further_attributes_that_a_copy_might_have_to_copy(progression):
    # An update replaces `_valid_actions`, and nothing changes `game`: copies may share these.
    assert set(vars(progression)) == {"game", "state", "quest_progressions", "_valid_actions"}


@pytest.mark.parametrize("attribute", ["event", "triggered"])
def test_winning_events_have_the_attribute(progression, attribute):
    (quest, *_) = progression.quest_progressions
    assert all(hasattr(event, attribute) for event in quest.win_events)


@pytest.mark.parametrize("attribute", ["infos", "walkthrough", "world", "quests", "objective", "max_score", "metadata"])
def test_game_has_the_attribute(game, attribute):
    assert hasattr(game, attribute)


@pytest.mark.parametrize("challenge", ["tw-simple", "tw-cooking", "tw-coin_collector", "tw-treasure_hunter"])
def test_makes_the_challenge_by_the_second_entry_of_its_registration(challenge):
    _, make, _ = textworld.CHALLENGES[challenge]
    assert list(inspect.signature(make).parameters)[:2] == ["settings", "options"]


@pytest.mark.parametrize(
    "setting", ["grammar", "kb", "nb_objects", "nb_parallel_quests", "nb_rooms", "quest_length", "seeds"]
)
def test_game_options_have_the_setting(setting):
    # An assignment to a setting that doesn't exist would have no effect.
    assert setting in dir(textworld.GameOptions())


@pytest.mark.parametrize("setting", ["allowed_variables_numbering", "only_last_action", "theme"])
def test_grammar_options_have_the_setting(setting):
    assert setting in dir(textworld.GameOptions().grammar)


@pytest.mark.parametrize("attribute", ["format_command", "name", "variables"])
def test_actions_have_the_attribute(progression, attribute):
    assert all(hasattr(action, attribute) for action in progression.valid_actions)


@pytest.mark.parametrize("attribute", ["arguments", "name"])
def test_facts_have_the_attribute(progression, attribute):
    assert all(hasattr(fact, attribute) for fact in progression.state.facts)


@pytest.mark.parametrize("attribute", ["desc", "name", "type"])
def test_infos_of_entities_have_the_attribute(game, attribute):
    assert all(hasattr(info, attribute) for info in game.infos.values())
