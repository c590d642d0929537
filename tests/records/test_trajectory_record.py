import pytest
from hypothesis import given

from eef_framework.records import Cost, FreeText, Observation, Origin, Response, Step, SuccessRule, Task, Trajectory
from eef_framework.testing.strategies import trajectories


def trajectory(steps: int = 2, **fields) -> Trajectory:
    taken = tuple(Step(action=f"a{i}", observation=Observation(text=f"room {i + 1}")) for i in range(steps))
    task = Task(id="t", environment="corridor")
    return Trajectory(id="x", task=task, actor="agent", initial=Observation(text="room 0"), steps=taken, **fields)


def test_states_are_counted_by_the_actions_before_them():
    assert [trajectory().observation(state).text for state in range(3)] == ["room 0", "room 1", "room 2"]
    assert trajectory().actions == ("a0", "a1")


@pytest.mark.parametrize("state", [-1, 3])
def test_a_state_that_does_not_exist_is_an_error(state):
    with pytest.raises(IndexError, match="'x'"):  # plain Python: it says which trajectory
        trajectory().observation(state)


@given(trajectories())
def test_the_actors_own_steps_begin_where_the_replayed_ones_end(drawn):
    assert drawn.prefix_length == (drawn.origin.state if drawn.origin else 0)
    assert 0 <= drawn.prefix_length <= len(drawn.steps)
    assert len(drawn.own_steps) == len(drawn.steps) - drawn.prefix_length


def test_equal_actions_in_one_task_lead_to_one_state():
    one, other = trajectory(3), trajectory(1, reward=1.0)
    assert one.state_id(1) == other.state_id(1) == ("t", ("a0",))
    assert one.state_id(0) == ("t", ())


def test_a_step_without_a_turn_counts_as_parsed():
    step = trajectory().steps[0]
    turn = step.changed(response=Response(text="?", parsed=False))
    assert (step.parsed, turn.parsed) == (True, False)


def test_an_episode_from_the_start_is_the_actors_own():
    assert trajectory().prefix_length == 0
    assert trajectory(origin=Origin(trajectory="y", state=1)).prefix_length == 1


@pytest.mark.parametrize(
    ("threshold", "reward", "ending", "success"),
    [
        (1.0, 1.0, "terminated", True),
        (1.0, 0.99, "terminated", False),
        (1.0, 0.1 + 0.2 + 0.7, "terminated", True),  # 0.9999999999999999
        (0.7, 0.7, "truncated", True),
        (0.0, 0.0, "terminated", True),
        (0.0, 1.0, "error", False),
    ],
)
def test_success_is_the_rewards_affair_unless_the_episode_broke(threshold, reward, ending, success):
    assert SuccessRule(threshold=threshold).holds(trajectory(reward=reward, ending=ending)) is success


@pytest.mark.parametrize(
    ("action", "matches"),
    [
        ("search[red shoes]", True),
        ("search[]", False),
        ("search[  ]", False),
        ("search[", False),
        ("search]", False),
        ("find[red shoes]", False),
        ("search[red shoes] now", False),
    ],
)
def test_free_text_needs_its_prefix_its_suffix_and_something_between(action, matches):
    assert FreeText(prefix="search[", suffix="]").matches(action) is matches


def test_prefix_and_suffix_do_not_share_letters():
    assert not FreeText(prefix="say ab", suffix="bc").matches("say abc")


def test_an_observation_without_a_list_admits_anything():
    assert Observation(text="").admits("anything")


def test_an_observation_with_a_list_admits_what_is_on_it_and_free_text():
    seen = Observation(text="", actions=("go",), free=(FreeText(prefix="say ", suffix=""),))
    assert seen.admits("go")
    assert seen.admits("say hello")
    assert not seen.admits("stop")
    assert not Observation(text="", actions=()).admits("go")


def test_costs_add_up_field_by_field():
    total = sum([Cost(episodes=1, seconds=0.5), Cost(episodes=2, steps=7)], Cost())
    assert total == Cost(episodes=3, steps=7, seconds=0.5)
