import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.interfaces import replay
from eef_framework.records import Observation, Origin, Response, Step, SuccessRule, Task, Trajectory
from eef_framework.rollout.detours import loops, omissions, wasted
from eef_framework.rollout.shorten import Shortened, Shortener
from eef_framework.testing.corridor import BlockingCorridor, Corridor, best_action

RULE = SuccessRule()
WORLD = Corridor(rooms=6, max_steps=40)


def seen(*texts: str) -> Trajectory:
    """Return an episode that shows these texts."""
    first, *others = (Observation(text=text) for text in texts)
    steps = tuple(Step(action=f"a{i}", observation=each) for i, each in enumerate(others))
    return Trajectory(id="t", task=Task(id="t", environment="e"), initial=first, steps=steps, reward=1.0)


def played(task: Task, wandering: list[bool], world: Corridor = WORLD) -> Trajectory:
    """Walk to the door; now and then go the other way, or say something that isn't an action."""
    with world.open(task) as session:
        for wander in wandering:
            if session.done:
                break
            actions = [a for a in session.observation.actions or () if a.startswith("go[east]")] or ["look"]
            session.step(actions[0] if wander else best_action(session.observation.text))
        while not session.done:
            session.step(best_action(session.observation.text))
        return Trajectory(
            id=task.id,
            task=task,
            initial=session.initial,
            steps=tuple(session.steps),
            reward=session.reward,
        )


def shortened(trajectory: Trajectory, end: int | None = None, world: Corridor = WORLD, most: int = 200) -> Shortened:
    return asyncio.run(Shortener(environment=world, rule=RULE, most_replays=most).shorten(trajectory, end))


episodes = st.builds(played, st.sampled_from(WORLD.tasks("train")), st.lists(st.booleans(), max_size=12)).filter(
    RULE.holds
)


def test_a_loop_ends_at_the_last_state_that_looks_the_same() -> None:
    assert loops(seen("a", "b", "a", "c", "a", "d", "e", "d", "f")) == [(0, 4), (5, 7)]
    assert loops(seen("a", "b", "c")) == []
    assert loops(seen("a", "a")) == [(0, 1)]


def test_wasted_actions_are_those_in_loops_and_those_that_were_not_understood() -> None:
    episode = seen("a", "b", "a", "c", "d", "e")
    steps = list(episode.steps)
    steps[3] = steps[3].changed(valid=False)
    steps[4] = steps[4].changed(response=Response(text="?", parsed=False))
    assert wasted(episode.changed(steps=tuple(steps))) == {0, 1, 3, 4}


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=10))
def test_what_is_tried_is_a_range_before_the_end_and_tried_once(texts: list[str]) -> None:
    episode = seen(*texts)
    for end in range(len(episode.steps) + 1):
        tried = list(omissions(episode, end))
        assert len(set(tried)) == len(tried)
        assert all(0 <= first < last <= end for first, last in tried)


@given(episodes)
def test_a_shortened_episode_is_one_that_can_be_played_and_succeeds(episode: Trajectory) -> None:
    found = shortened(episode).trajectory
    with replay(WORLD, found.task, found.initial, found.steps) as session:
        assert session.done
        assert session.steps == list(found.steps)
        assert session.reward == found.reward == 1.0


@given(episodes)
def test_what_is_kept_shows_what_was_recorded(episode: Trajectory) -> None:
    found = shortened(episode)
    assert list(found.kept) == sorted(set(found.kept))
    assert found.trajectory.actions == tuple(episode.actions[i] for i in found.kept)
    assert [s.observation for s in found.trajectory.steps] == [episode.steps[i].observation for i in found.kept]


@given(episodes)
def test_a_second_time_there_is_nothing_to_leave_out(episode: Trajectory) -> None:
    once = shortened(episode).trajectory
    again = shortened(once)
    assert again.trajectory == once
    assert again.replays > 0
    assert not loops(once)


@given(episodes, st.data())
def test_only_actions_before_the_end_are_left_out(episode: Trajectory, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(episode.steps)))
    origin = Origin(trajectory="x", state=end) if end else None
    found = shortened(episode.changed(origin=origin), end)
    rest = range(end, len(episode.steps))
    assert found.kept[len(found.kept) - len(rest) :] == tuple(rest)
    assert found.trajectory.prefix_length == len(found.kept) - len(rest)


def test_replays_are_limited_and_counted() -> None:
    task = next(task for task in WORLD.tasks("train") if task.kind == "short")
    episode = played(task, [True] * 12)
    found = shortened(episode, most=1)
    assert found.replays == 1
    assert 0 < found.steps <= len(episode.steps)
    assert shortened(episode, most=200).steps > found.steps


def test_an_environment_that_fails_leaves_the_episode_as_it_is() -> None:
    episode = played(WORLD.tasks("train")[0], [True, False])
    broken = Corridor(rooms=6, max_steps=40, fault="raise")
    found = shortened(episode, world=broken)
    assert found.trajectory == episode
    assert "RuntimeError" in found.error


def test_an_environment_that_shows_something_else_every_time_loses_no_action() -> None:
    diverging = Corridor(rooms=6, max_steps=40, fault="diverge", fault_step=1)
    episode = played(diverging.tasks("train")[0], [True, False], diverging)
    assert shortened(episode, world=diverging).trajectory == episode


def test_a_blocking_environment_is_replayed_in_threads() -> None:
    world = BlockingCorridor(rooms=6, max_steps=40)
    episode = played(world.tasks("train")[0], [True, True, False], world)
    assert shortened(episode, world=world).kept == shortened(episode.changed(), world=world).kept


@pytest.mark.parametrize(("dropped", "after"), [(0, 0), (1, 0), (3, 1)])
def test_fewer_observations_are_dropped_from_the_prompts_of_a_shorter_episode(dropped: int, after: int) -> None:
    task = next(task for task in WORLD.tasks("train") if task.kind == "short")
    episode = played(task, [])
    with WORLD.open(task) as session:
        looped = [session.step("go[east]"), session.step("go[west]")]
    steps = [*looped, *episode.steps]
    steps[-1] = steps[-1].changed(response=Response(text="x", dropped=dropped))
    found = shortened(episode.changed(steps=tuple(steps)))
    assert found.kept == tuple(range(2, len(steps)))
    response = found.trajectory.steps[-1].response
    assert response is not None
    assert response.dropped == after
