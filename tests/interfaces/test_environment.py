import math

import pytest

from eef_framework.errors import ConfigError, EnvironmentFailure, ReplayDivergence
from eef_framework.interfaces import Environment, Session, replay
from eef_framework.records import FreeText, Observation, Step, Task
from eef_framework.testing.corridor import Corridor, CorridorSession, best_action


def opened(environment: Environment, *actions: str, kind: str = "detour") -> CorridorSession:
    task = next(task for task in environment.tasks("train") if task.kind == kind)
    session = environment.open(task)
    for action in actions:
        session.step(action)
    return session


def solve(session: Session) -> None:
    while not session.done:
        session.step(best_action(session.observation.text))


def test_a_step_is_kept_and_its_observation_is_the_latest():
    session = opened(Corridor())
    step = session.step("go[east]")
    assert session.steps == [step]
    assert session.observation is step.observation
    assert session.observation != session.initial


class Uninitialised(CorridorSession):
    def __init__(self, environment: Environment, task: Task) -> None:
        self._position = 0


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.step("go[east]"),
        lambda session: session.fork(),
        lambda session: session.close(),
        lambda session: session.done,
        lambda session: session.observation,
        lambda session: session.environment,
    ],
    ids=["step", "fork", "close", "done", "observation", "environment"],
)
def test_a_session_without_the_init_of_its_base_class_says_so(use):
    environment = Corridor()
    with pytest.raises(EnvironmentFailure) as caught:
        use(Uninitialised(environment, environment.tasks("train")[0]))
    assert (caught.value.code, caught.value.details["session"]) == ("session-without-init", "Uninitialised")
    assert "super().__init__" in caught.value.fix


def test_an_attribute_error_within_a_sessions_property_is_not_hidden():
    class Broken(CorridorSession):
        @property
        def board(self) -> str:
            return self.stpes  # type: ignore[attr-defined, no-any-return]

    corridor = Corridor()
    session = Broken(corridor, corridor.tasks("train")[0])
    with pytest.raises(AttributeError) as caught:
        getattr(session, "board")  # noqa: B009
    assert caught.value.name == "stpes"


@pytest.mark.parametrize("action", [3, None, ("go[east]",)])
def test_an_action_other_than_a_string_is_the_callers_error(action):
    session = opened(Corridor())
    with pytest.raises(TypeError, match="string"):
        session.step(action)
    assert session.steps == []


def test_a_first_observation_that_is_text_is_refused():
    corridor = Corridor()
    with pytest.raises(EnvironmentFailure) as caught:
        Session.__init__(opened(corridor), corridor, corridor.tasks("train")[0], "a room")
    assert caught.value.code == "not-an-observation"


def test_a_step_after_the_end_is_refused():
    session = opened(Corridor())
    solve(session)
    taken = len(session.steps)
    with pytest.raises(
        EnvironmentFailure, match=rf"step\('go\[east\]'\) in an episode of task {session.task.id!r} that is over"
    ):
        session.step("go[east]")
    assert len(session.steps) == taken


def test_a_step_after_close_is_refused():
    session = opened(Corridor())
    session.close()
    with pytest.raises(EnvironmentFailure, match="that is closed"):
        session.step("go[east]")
    with pytest.raises(EnvironmentFailure, match="fork of a closed session"):
        session.fork()


def test_a_session_is_closed_once_however_often_it_is_asked():
    class Counting(CorridorSession):
        closings = 0

        def release(self) -> None:
            self.closings += 1

    environment = Corridor()
    session = Counting(environment, environment.tasks("train")[0])
    with session:
        session.close()
    session.close()
    assert session.closings == 1


@pytest.mark.parametrize("copies", [True, False], ids=["copy", "replay"])
def test_a_fork_is_in_the_same_state_and_goes_its_own_way(copies):
    session = opened(Corridor(copies=copies), "go[east]")
    before = (session.observation, list(session.steps))
    fork = session.fork()
    assert (fork.initial, fork.observation, fork.steps) == (session.initial, session.observation, session.steps)
    solve(fork)
    assert fork.reward == 1.0
    assert (session.observation, session.steps) == before
    solve(session)
    assert session.steps == fork.steps


@pytest.mark.parametrize("copies", [True, False], ids=["copy", "replay"])
def test_a_session_can_be_forked_after_its_end(copies):
    session = opened(Corridor(copies=copies))
    solve(session)
    assert session.fork().done


def test_a_fork_takes_the_copy_where_there_is_one():
    class Unwilling(Corridor):
        def open(self, task: Task) -> CorridorSession:
            assert not getattr(self, "_opened", False), "replayed"
            self._opened = True
            return super().open(task)

        _opened: bool = False

    opened(Unwilling(copies=True)).fork()
    with pytest.raises(AssertionError, match="replayed"):
        opened(Unwilling(copies=False)).fork()


def test_a_divergence_says_in_which_state_after_which_action_and_what_differs():
    environment = Corridor(copies=False, fault="diverge", fault_step=2)
    session = opened(environment, "go[east]", "go[west]", "go[east]")
    with pytest.raises(ReplayDivergence) as caught:
        session.fork()
    assert f"replay of task {session.task.id!r} diverged in state 2 (after 'go[west]')" in caught.value.message
    assert "echo: 0" in caught.value.message.split(", got ")[0]
    assert "echo: 1" in caught.value.message.split(", got ")[1]
    assert "not deterministic" in caught.value.fix


def test_a_divergence_in_the_initial_state_is_told_without_an_action():
    session = opened(Corridor())
    with pytest.raises(ReplayDivergence, match="diverged in state 0: expected"):
        replay(session.environment, session.task, Observation(text="elsewhere"), [])


def test_a_shortened_observation_is_a_divergence():
    session = opened(Corridor())
    shorter = Observation(text=session.initial.text[:-1])
    with pytest.raises(ReplayDivergence, match="state 0"):
        replay(session.environment, session.task, shorter, [])


def test_a_replay_that_ends_early_says_after_how_many_actions():
    session = opened(Corridor())
    solve(session)
    beyond = Step(action="go[east]", observation=Observation(text="further"))
    taken = len(session.steps)
    with pytest.raises(ReplayDivergence, match=f"ended after {taken} of {taken + 1} actions"):
        replay(session.environment, session.task, session.initial, [*session.steps, beyond])


def test_a_replay_that_fails_closes_what_it_opened():
    openings: list[CorridorSession] = []

    class Remembering(Corridor):
        def open(self, task: Task) -> CorridorSession:
            openings.append(super().open(task))
            return openings[-1]

    environment = Remembering(copies=False, fault="diverge")
    session = opened(environment, "go[east]")
    with pytest.raises(ReplayDivergence):
        session.fork()
    assert [s.closed for s in openings] == [False, True]


def test_the_reward_of_an_episode_is_its_last_steps():
    session = opened(Corridor())
    assert session.reward == 0.0
    solve(session)
    assert session.reward == 1.0


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf, 1e308, "yes", None])
@pytest.mark.parametrize("of_episode", [True, False], ids=["episode", "step"])
def test_a_reward_that_cannot_be_averaged_is_refused(reward, of_episode):
    class Boundless(CorridorSession):
        reward = property(lambda self: self.boundless if of_episode else 0.0)
        boundless = 0.0

        def perform(self, action):
            self.boundless = reward
            step = super().perform(action)
            return step if of_episode else step.changed(reward=reward)

    class Other(Corridor):
        def open(self, task):
            return Boundless(self, task)

    with pytest.raises(EnvironmentFailure) as caught:
        opened(Other(), "go[east]")
    assert (caught.value.code, caught.value.details["action"]) == ("bad-reward", "go[east]")
    assert "Boundless" in caught.value.message


def test_lone_surrogates_of_actions_and_observations_are_replaced():
    class Torn(CorridorSession):
        def _look(self, number=0, over=False):
            free = (FreeText(prefix="say[\ud83d", suffix="\ude00]"),)
            return Observation(text="torn \ud83d", actions=("\ud83d\ude00",), free=free)

    class Other(Corridor):
        def open(self, task):
            return Torn(self, task)

    session = opened(Other(), "go[\ude00]")
    whole = Observation(
        text="torn \ufffd", actions=("\U0001f600",), free=(FreeText(prefix="say[\ufffd", suffix="\ufffd]"),)
    )
    assert session.initial == session.observation == session.steps[0].observation == whole
    assert session.steps[0].action == "go[\ufffd]"


class Counting(Environment):
    """Counts up, and never ends by itself."""

    name = "counting"
    splits = ("train", "extra")
    max_steps: int = 2
    """Longest episode, in actions."""

    def tasks(self, split):
        return [self.new_task(split, f"{split}-{goal}", info={"goal": goal}) for goal in (3, 4)]

    def open(self, task):
        return CountingSession(self, task, Observation(text="0"))


class CountingSession(Session):
    def perform(self, action):
        return Step(action=action, observation=Observation(text=action), terminated=action == "end")


def test_a_new_task_says_where_it_belongs_and_what_defines_it():
    first, second = Counting().tasks("extra")
    assert (first.environment, first.split, first.info) == ("counting", "extra", {"goal": 3})
    assert first.fingerprint
    assert first.fingerprint != second.fingerprint
    assert [task.fingerprint for task in Counting().tasks("train")] == [first.fingerprint, second.fingerprint]
    assert Counting().new_task("train", "own", "abc").fingerprint == "abc"


def test_a_task_of_a_split_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError) as caught:
        Counting().tasks("test")
    assert caught.value.code == "no-such-split"
    assert caught.value.details == {"split": "test", "splits": ["train", "extra"]}


@pytest.mark.parametrize(
    ("actions", "ends"),
    [("ab", [(False, False), (False, True)]), (["a", "end"], [(False, False), (True, False)])],
    ids=["unended", "ended"],
)
def test_the_last_step_of_the_longest_episode_is_truncated_unless_it_ends_the_task(actions, ends):
    environment = Counting()
    with environment.open(environment.tasks("train")[0]) as session:
        for action in actions:
            session.step(action)
        assert [(step.terminated, step.truncated) for step in session.steps] == ends
        assert session.done


def test_what_is_not_a_step_is_refused():
    class Silent(CountingSession):
        def perform(self, action):
            return action

    session = Silent(Counting(), Counting().tasks("train")[0], Observation(text="0"))
    with pytest.raises(EnvironmentFailure) as caught:
        session.step("a")
    assert caught.value.code == "not-a-step"
    assert session.steps == []


def test_a_step_has_the_action_that_was_taken_whatever_the_environment_says():
    class Renaming(CountingSession):
        def perform(self, action):
            return super().perform("end" if action == "stop" else action).changed(info={"seen": action})

    session = Renaming(Counting(), Counting().tasks("train")[0], Observation(text="0"))
    step = session.step("stop")
    assert (step.action, step.terminated, step.info) == ("stop", True, {"seen": "stop"})
    assert session.steps == [step]


@pytest.mark.parametrize("opened", [None, "a session", CountingSession])
def test_what_is_not_a_session_is_refused(opened):
    class Closed(Counting):
        def open(self, task):
            return opened

    world = Closed()
    with pytest.raises(EnvironmentFailure) as caught:
        replay(world, world.tasks("train")[0], None, ())
    assert caught.value.code == "not-a-session"
