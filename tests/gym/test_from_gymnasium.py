import asyncio
import math
from typing import Any, ClassVar

import gymnasium
import pytest
from gymnasium import spaces

from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName
from eef_framework.gym import GymnasiumEnvironment
from eef_framework.interfaces import Session
from eef_framework.pipeline import run
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Task
from eef_framework.rollout import ScriptedExpert, demonstrations
from eef_framework.testing.conformance import check_environment, check_expert
from eef_framework.testing.small_run import small_config

HOLES = ((1, 1), (1, 3), (2, 3), (3, 0))


class Lake(GymnasiumEnvironment):
    """Three lines make it an environment of ours."""

    id: str = "FrozenLake-v1"
    actions: tuple[str, ...] = ("go[west]", "go[south]", "go[east]", "go[north]")

    def observe(self, observation: Any, info: Any) -> str:
        return f"row {observation // 4} column {observation % 4}"


class Skater(ScriptedExpert):
    """Goes round the holes, and south-east without looking now and then."""

    name: ClassVar[str] = "skater"

    def script(self, session, draw):
        way = {(0, 0): "south", (1, 0): "south", (2, 0): "east", (2, 1): "south", (3, 1): "east", (3, 2): "east"}
        while True:
            row, column = (int(word) for word in session.observation.text.split()[1::2])
            calm = draw.random() < 0.85
            yield f"go[{way.get((row, column), 'east') if calm else draw.choice(('south', 'east'))}]"


class Counter(gymnasium.Env):
    """Counts the steps. `reward` is what it pays, `ends` after how many steps it ends, `mask` the actions it allows."""

    observation_space = spaces.Discrete(100)
    action_space = spaces.Discrete(2, start=1)

    def __init__(self, reward: float = 1.0, ends: int = 3, mask: bool = False, space: Any = None) -> None:
        self.pays, self.ends, self.mask, self.made = reward, ends, mask, 0
        self.action_space = {"box": spaces.Box(-1, 1, (2,)), "text": spaces.Text(5)}.get(space, self.action_space)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.made = 0
        return 0, {"action_mask": [1, 0]} if self.mask else {}

    def step(self, action):
        assert action in self.action_space
        self.made += 1
        return self.made, self.pays, self.made >= self.ends, False, {}


@pytest.fixture(autouse=True)
def counter():
    """`Counter-v0` of Gymnasium."""
    gymnasium.register("Counter-v0", entry_point=Counter, disable_env_checker=True)
    yield
    del gymnasium.registry["Counter-v0"]


def played(environment: GymnasiumEnvironment, *actions: str) -> Session:
    session = environment.open(environment.tasks("train")[0])
    for action in actions:
        session.step(action)
    return session


@pytest.mark.slow
@pytest.mark.parametrize("slippery", [True, False])
def test_three_lines_over_frozen_lake_keep_the_contract(slippery):
    check_environment(Lake(kwargs={"is_slippery": slippery}), processes=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CliffWalking-v1", "Taxi-v4", "Blackjack-v1"])
def test_a_discrete_environment_needs_no_subclass_unless_its_observation_is_made_of_several_things(name):
    environment = GymnasiumEnvironment(id=name)
    if name == "Blackjack-v1":
        with pytest.raises(ConfigError) as caught:
            environment.open(environment.tasks("train")[0])
        assert (caught.value.code, caught.value.details["type"]) == ("observation-without-words", "tuple")
    else:
        check_environment(environment, tasks=2)


@pytest.mark.parametrize(
    ("method", "returned"),
    [("observe", 5), ("observe", None), ("admissible", 5), ("admissible", [1, 2])],
)
def test_a_method_that_returns_something_else_is_named(method, returned):
    odd = type("Odd", (GymnasiumEnvironment,), {method: lambda self, *given: returned})(id="Counter-v0")
    with pytest.raises(EnvironmentFailure) as caught:
        odd.open(odd.tasks("train")[0])
    assert (caught.value.code, caught.value.details["method"]) == ("wrong-return-type", method)
    assert f"Odd.{method}()" in caught.value.message


def test_the_same_seed_slips_the_same_way_and_another_one_another_way():
    lake = Lake()

    def way(task: Task) -> list[str]:
        with lake.open(task) as session:
            while not session.done:
                session.step("go[east]" if len(session.steps) % 2 else "go[south]")
            return [step.observation.text for step in session.steps]

    tasks = lake.tasks("train")[:8]
    assert [way(task) for task in tasks] == [way(task) for task in tasks]
    assert len({tuple(way(task)) for task in tasks}) > 1


def test_a_fork_goes_on_by_itself():
    with played(Lake(), "go[south]", "go[south]") as session, session.fork() as fork:
        fork.step("go[east]")
        assert len(session.steps) == 2
        assert session.step("go[east]").observation == fork.observation


def test_splits_are_disjoint_ranges_of_seeds():
    lake = Lake(train=3, dev=2, test=2)
    seeds = {split: [task.info["seed"] for task in lake.tasks(split)] for split in ("train", "dev", "test")}
    assert seeds == {"train": [0, 1, 2], "dev": [1_000_000, 1_000_001], "test": [2_000_000, 2_000_001]}


def test_a_task_of_other_settings_is_refused():
    task = Lake().tasks("train")[0]
    with pytest.raises(EnvironmentFailure) as caught:
        Lake(kwargs={"map_name": "8x8"}).open(task)
    assert caught.value.code == "foreign-task"


def test_gymnasiums_own_limit_truncates():
    assert gymnasium.spec("FrozenLake-v1").max_episode_steps == 100
    session = played(Lake(kwargs={"is_slippery": False}), *["go[west]"] * 100)
    assert [step.truncated for step in session.steps] == [False] * 99 + [True]
    assert not session.steps[-1].terminated


def test_the_end_of_the_world_and_the_limit_are_told_apart():
    ended = played(GymnasiumEnvironment(id="Counter-v0"), "1", "1", "2").steps[-1]
    assert (ended.terminated, ended.truncated) == (True, False)
    cut = played(GymnasiumEnvironment(id="Counter-v0", max_steps=2), "1", "1").steps[-1]
    assert (cut.terminated, cut.truncated) == (False, True)
    both = played(GymnasiumEnvironment(id="Counter-v0", max_steps=3), "1", "1", "1").steps[-1]
    assert (both.terminated, both.truncated) == (True, False)


def test_nonsense_counts_as_a_step_but_never_reaches_the_world():
    session = played(GymnasiumEnvironment(id="Counter-v0", max_steps=3), "3", "one")
    assert [step.valid for step in session.steps] == [False, False]
    assert session.env.unwrapped.made == 0
    assert session.step("").truncated


@pytest.mark.parametrize(("rule", "reward"), [("sum", 1.5), ("last", 0.5)])
def test_the_reward_is_the_sum_or_the_last_one(rule, reward):
    environment = GymnasiumEnvironment(id="Counter-v0", kwargs={"reward": 0.5}, reward=rule)
    assert played(environment, "1", "1", "1").reward == reward


def test_a_reward_that_is_not_a_number_is_a_failure_of_the_environment():
    with pytest.raises(EnvironmentFailure) as caught:
        played(GymnasiumEnvironment(id="Counter-v0", kwargs={"reward": math.nan}), "1")
    assert (caught.value.code, caught.value.details["action"]) == ("bad-reward", "1")


def test_actions_that_the_mask_rules_out_are_not_listed():
    assert played(GymnasiumEnvironment(id="Counter-v0", kwargs={"mask": True})).observation.actions == ("1",)
    assert played(GymnasiumEnvironment(id="Counter-v0")).observation.actions == ("1", "2")


def test_a_mapping_gives_words_to_any_kind_of_action():
    environment = GymnasiumEnvironment(
        id="Counter-v0", kwargs={"space": "box"}, actions={"left": [-1.0, 0.0], "right": [1.0, 0.0]}
    )
    assert [step.valid for step in played(environment, "left", "right", "up").steps] == [True, True, False]


def test_text_actions_are_what_the_agent_writes():
    session = played(GymnasiumEnvironment(id="Counter-v0", kwargs={"space": "text"}), "hello", "too long")
    assert [step.valid for step in session.steps] == [True, False]
    assert session.initial.actions is None


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"id": "FrozenLak-v1"}, "unknown-gymnasium-id"),
        ({"id": "no_such_module:Lake-v1"}, "unknown-gymnasium-id"),
        ({"id": "FrozenLake-v1", "kwargs": {"depth": 3}}, "gymnasium-make"),
        ({"id": "FrozenLake-v1", "actions": ["a", "b"]}, "wrong-number-of-words"),
        ({"id": "FrozenLake-v1", "actions": ["a", "b", "c", "c"]}, "wrong-number-of-words"),
        ({"id": "Counter-v0", "kwargs": {"space": "box"}}, "actions-without-words"),
    ],
)
def test_wrong_settings_are_found_before_anything_starts(settings, code):
    environment = GymnasiumEnvironment(**settings)
    with pytest.raises(ConfigError) as caught:
        environment.preflight() if code == "unknown-gymnasium-id" else environment.tasks("train")
    assert caught.value.code == code
    with pytest.raises(ConfigError):
        environment.tasks("train")


def test_the_longest_episode_is_the_settings_the_registrys_or_100():
    lake = GymnasiumEnvironment(id="FrozenLake-v1")
    lake.preflight()
    assert (lake.longest_episode, GymnasiumEnvironment(id="FrozenLake-v1", max_steps=7).longest_episode) == (100, 7)
    assert GymnasiumEnvironment(id="CliffWalking-v1").longest_episode == 100
    assert GymnasiumEnvironment(id="Taxi-v4").longest_episode == gymnasium.spec("Taxi-v4").max_episode_steps


def test_an_unknown_split_is_refused():
    with pytest.raises(UnknownName, match="'train'") as caught:
        Lake().tasks("trian")
    assert caught.value.details["given"] == "trian"


def test_it_is_registered():
    found = load_plugins([], {}).build("environment", {"name": "gymnasium", "id": "FrozenLake-v1"})
    assert isinstance(found, GymnasiumEnvironment)


def test_a_closed_session_closes_its_world():
    session = played(Lake())
    closed = []
    session.env.close = lambda: closed.append(True)
    session.close()
    session.close()
    assert closed == [True]


def test_an_expert_demonstrates_on_it():
    lake = Lake(kwargs={"is_slippery": False})
    check_expert(Skater(), lake)

    async def collected():
        return [each async for each in demonstrations(Skater(), lake, lake.tasks("train")[:40], 0)]

    rewards = [each.reward for each in asyncio.run(collected())]
    assert set(rewards) == {0.0, 1.0}


def test_frozen_lake_goes_through_the_whole_pipeline(tmp_path):
    lake = Lake(kwargs={"is_slippery": False}, max_steps=15)
    attributor = "eef_attribution.interval:IntervalAttributor"
    config = small_config(20, 10, environment=lake, expert=Skater(), attributor=attributor)
    metrics = run(config, Registry(), tmp_path / "run")
    success = {row.label: row.evaluation.success.mean for row in metrics.rows}
    assert list(success) == ["expert", "sft", "eef 1"]
    assert success["eef 1"] > 0
    assert (tmp_path / "run" / "report.html").is_file()
