from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.config.schema import Select
from eef_framework.pipeline.solutions import Exploration, solutions
from eef_framework.records import (
    Attribution,
    Observation,
    Origin,
    Segment,
    Step,
    SuccessRule,
    Task,
    Trajectory,
    Verdict,
)

RULE = SuccessRule()
B, H, N, U = Verdict.BENEFICIAL, Verdict.HARMFUL, Verdict.NEUTRAL, Verdict.UNKNOWN


def episode(name: str, length: int, reward: float, task: str = "t", origin: Origin | None = None) -> Trajectory:
    steps = tuple(Step(action=f"a{i}", observation=Observation(text=str(i))) for i in range(length))
    where = Task(id=task, environment="e")
    start = Observation(text="")
    return Trajectory(id=name, task=where, actor="x", initial=start, steps=steps, reward=reward, origin=origin)


def simulated(state: int, length: int, reward: float = 1.0, of: str = "d") -> Trajectory:
    return episode(f"s{state}", length, reward, origin=Origin(trajectory=of, state=state) if state else None)


def judged(verdicts: Sequence[Verdict], width: int = 2, of: str = "d") -> dict[str, Attribution]:
    segments = tuple(Segment(start=i * width, end=(i + 1) * width, verdict=v) for i, v in enumerate(verdicts))
    return {of: Attribution(trajectory=of, length=width * len(verdicts), segments=segments)}


def picked(
    simulations: Sequence[Trajectory], verdicts: Sequence[Verdict], expert_reward: float = 0.0, **settings: object
) -> list[tuple[str, str, tuple[float, ...]]]:
    demonstrations = [episode("d", 8, expert_reward)]
    found = solutions(demonstrations, [Exploration(simulations, judged(verdicts))], Select(**settings), RULE, 0)  # type: ignore[arg-type]
    return [(s.source, s.trajectory.id, s.weights) for s in found]


def test_the_experts_successes_get_loss_on_every_action() -> None:
    assert picked([], [N, N, N, N], expert_reward=1.0) == [("expert", "d", (1.0,) * 8)]


def test_a_task_the_agent_solves_itself_is_learned_from_its_own_solution() -> None:
    assert picked([simulated(0, 3), simulated(2, 5)], [N, N, N, N]) == [("agent", "s0", (1.0, 1.0, 1.0))]


def test_an_unsolved_task_is_learned_from_the_prefix_and_the_continuation_with_loss_on_beneficial_actions_only() -> (
    None
):
    found = picked([simulated(0, 3, 0.0), simulated(2, 5, 0.0), simulated(4, 6)], [N, B, N, U])
    assert found == [("continuation", "s4", (0.0, 0.0, 1.0, 1.0, 1.0, 1.0))]


@pytest.mark.parametrize(
    ("rule", "prefix"),
    [
        ("beneficial", (0, 0, 0, 0, 1, 1)),
        ("not-harmful", (1, 1, 0, 0, 1, 1)),
        ("all", (1,) * 6),
        ("none", (0,) * 6),
    ],
)
def test_which_prefix_actions_get_loss_is_a_setting(rule: str, prefix: tuple[int, ...]) -> None:
    found = picked([simulated(6, 7)], [N, H, B, U], prefix_loss=rule, recovery=False)
    assert found == [("continuation", "s6", (*map(float, prefix), 1.0))]


def test_the_solution_that_leans_least_on_the_expert_is_preferred() -> None:
    assert [name for _, name, _ in picked([simulated(6, 7), simulated(2, 9), simulated(4, 5)], [B, N, N, U])] == ["s2"]


def test_the_shortest_solution_is_preferred_where_that_is_set() -> None:
    found = picked([simulated(6, 7), simulated(2, 9), simulated(4, 5)], [B, N, N, U], solution="fewest-steps")
    assert [name for _, name, _ in found] == ["s4"]


def test_more_solutions_of_a_state_are_kept_where_that_is_set() -> None:
    found = picked([simulated(6, 7), simulated(2, 9), simulated(4, 5)], [B, N, N, U], solutions_per_state=2)
    assert [name for _, name, _ in found] == ["s2", "s4"]


def test_a_state_behind_harmful_actions_is_learned_from_what_got_out_of_it_with_loss_on_that_alone() -> None:
    # Solved from state 0 and from state 6; the actions 2 and 3 broke it.
    found = picked([simulated(0, 3), simulated(2, 5), simulated(6, 8)], [N, H, B, U])
    assert found == [("agent", "s0", (1.0,) * 3), ("recovery", "s6", (0.0,) * 6 + (1.0,) * 2)]


def test_a_continuation_from_before_the_harm_is_no_recovery() -> None:
    found = picked([simulated(0, 3), simulated(2, 5)], [N, H, N, U])
    assert [source for source, _, _ in found] == ["agent"]


def test_either_kind_of_important_state_can_be_left_out() -> None:
    simulations = [simulated(0, 3), simulated(6, 8)]
    assert [s for s, _, _ in picked(simulations, [N, H, B, U], initial=False)] == ["recovery"]
    assert [s for s, _, _ in picked(simulations, [N, H, B, U], recovery=False)] == ["agent"]


def test_a_task_the_expert_solved_needs_no_continuation() -> None:
    assert [s for s, _, _ in picked([simulated(2, 5)], [B, N, N, U], expert_reward=1.0)] == ["expert"]


def test_what_another_round_found_is_kept_or_dropped_as_set() -> None:
    explorations = [Exploration([simulated(0, 3)], {}), Exploration([], {})]
    demonstrations = [episode("d", 8, 0.0)]
    assert len(solutions(demonstrations, explorations, Select(keep="all"), RULE, 0)) == 1
    assert len(solutions(demonstrations, explorations, Select(keep="latest"), RULE, 0)) == 0


def test_an_episode_lost_to_a_failure_is_never_a_solution() -> None:
    lost = simulated(0, 3).model_copy(update={"ending": "error"})
    assert picked([lost], [N, N, N, N]) == []


verdict_lists = st.lists(st.sampled_from(list(Verdict)), min_size=4, max_size=4)
outcome_lists = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4)


@given(verdict_lists, outcome_lists, st.integers(0, 3))
def test_harmful_actions_and_failures_never_get_loss(verdicts: list[Verdict], rewards: list[float], seed: int) -> None:
    simulations = [simulated(2 * k, 2 * k + 3, reward) for k, reward in enumerate(rewards)]
    attributions = judged(verdicts)
    demonstrations = [episode("d", 8, 0.0)]
    for solution in solutions(demonstrations, [Exploration(simulations, attributions)], Select(), RULE, seed):
        assert RULE.holds(solution.trajectory)
        assert len(solution.weights) == len(solution.trajectory.steps)
        own = solution.trajectory.prefix_length
        assert all(weight == 1.0 for weight in solution.weights[own:])
        for action, weight in enumerate(solution.weights[:own]):
            assert weight == 0.0 or attributions["d"].verdict(action) is B
