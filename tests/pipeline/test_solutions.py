from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.config.schema import Select
from eef_framework.pipeline.solutions import Exploration, selection
from eef_framework.records import (
    Attribution,
    Observation,
    Origin,
    Response,
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


def simulated(state: int, length: int, reward: float = 1.0, of: str = "d", name: str = "") -> Trajectory:
    origin = Origin(trajectory=of, state=state) if state else None
    return episode(name or f"s{state}", length, reward, origin=origin)


def judged(verdicts: Sequence[Verdict], width: int = 2, of: str = "d") -> dict[str, Attribution]:
    segments = tuple(Segment(start=i * width, end=(i + 1) * width, verdict=v) for i, v in enumerate(verdicts))
    return {of: Attribution(trajectory=of, length=width * len(verdicts), segments=segments)}


def picked(
    simulations: Sequence[Trajectory], verdicts: Sequence[Verdict], expert_reward: float = 0.0, **settings: object
) -> list[tuple[str, str, tuple[float, ...]]]:
    demonstrations = [episode("d", 8, expert_reward)]
    explored = [Exploration(simulations, judged(verdicts))]
    found = selection(demonstrations, explored, Select(**settings), RULE, 0)  # type: ignore[arg-type]
    return [(s.source, s.trajectory.id, s.weights) for s in found.solutions]


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


def test_preferences_are_in_order_of_importance() -> None:
    simulations = [simulated(4, 9, name="a"), simulated(4, 6, name="b"), simulated(6, 7)]
    found = picked(simulations, [B, N, N, U], solution=["least-expert", "fewest-steps"])
    assert [name for _, name, _ in found] == ["b"]
    found = picked(simulations, [B, N, N, U], solution=["fewest-steps", "least-expert"])
    assert [name for _, name, _ in found] == ["b"]
    found = picked([*simulations, simulated(2, 6)], [B, N, N, U], solution=["fewest-steps", "least-expert"])
    assert [name for _, name, _ in found] == ["s2"]


def test_the_solution_with_fewest_wasted_actions_is_preferred_where_that_is_set() -> None:
    shorter, longer = simulated(0, 4, name="shorter"), simulated(0, 6, name="longer")
    steps = (shorter.steps[0], shorter.steps[1].changed(valid=False), *shorter.steps[2:])
    found = picked([shorter.changed(steps=steps), longer], [N, N, N, N], solution="fewest-wasted")
    assert [name for _, name, _ in found] == ["longer"]


def test_the_most_probable_solution_is_preferred_where_that_is_set_and_an_unknown_one_last() -> None:
    def probable(name: str, *logprobs: float | None) -> Trajectory:
        episode = simulated(0, len(logprobs), name=name)
        given = zip(episode.steps, logprobs, strict=True)
        return episode.changed(steps=tuple(s.changed(response=Response(text="a", logprob=p)) for s, p in given))

    episodes = [probable("a", -1.0, -1.0), probable("b", -0.5, -0.7, -0.6), probable("c", -0.1, None)]
    for count, names in ((1, ["b"]), (3, ["b", "a", "c"])):
        found = picked(episodes, [N, N, N, N], solution="most-probable", solutions_per_state=count)
        assert [name for _, name, _ in found] == names


def test_the_experts_own_success_competes_where_that_is_set() -> None:
    simulations = [simulated(0, 3), simulated(0, 9, name="longer")]
    chosen = {"expert_reward": 1.0, "expert": "preferred", "solution": "fewest-steps"}
    assert [name for _, name, _ in picked(simulations, [N, N, N, N], **chosen)] == ["s0"]  # type: ignore[arg-type]
    assert [name for _, name, _ in picked(simulations[1:], [N, N, N, N], **chosen)] == ["d"]  # type: ignore[arg-type]
    assert [s for s, _, _ in picked([], [N, N, N, N], initial=False, **chosen)] == ["expert"]  # type: ignore[arg-type]


def test_solutions_much_longer_than_the_shortest_known_success_are_left_out_where_that_is_set() -> None:
    simulations = [simulated(0, 4), simulated(0, 8, name="twice"), simulated(0, 9, name="longer")]
    found = picked(simulations, [N, N, N, N], length_ratio=2.0, solutions_per_state=9)
    assert {name for _, name, _ in found} == {"s0", "twice"}
    # The expert's success has 8 actions, and counts among the known ones.
    found = picked([simulated(0, 9)], [N, N, N, N], expert_reward=1.0, length_ratio=1.0)
    assert [name for _, name, _ in found] == ["d"]


def test_every_success_is_learned_from_or_left_out_for_a_reason() -> None:
    simulations = [simulated(0, 3), simulated(0, 5, name="other"), simulated(2, 5), simulated(4, 5, 0.0)]
    explored = [Exploration(simulations, judged([N, N, N, N]))]
    settings = Select(length_ratio=1.5)
    found = selection([episode("d", 8, 0.0)], explored, settings, RULE, 0)
    assert [each.trajectory.id for each in found.solutions] == ["s0"]
    assert set(found.left_out) == {"other", "s2"}
    assert found.left_out["other"] != found.left_out["s2"]


def test_no_other_solution_is_named_as_the_reason_where_none_of_the_agents_is_learned() -> None:
    simulations = [simulated(0, 3), simulated(6, 8), simulated(6, 9, name="longer")]
    explored = [Exploration(simulations, judged([N, H, B, U]))]
    reasons = {
        recovery: selection([], explored, Select(initial=False, recovery=recovery), RULE, 0).left_out
        for recovery in (False, True)
    }
    assert reasons[False].keys() == {"s0", "s6", "longer"}
    assert len(set(reasons[False].values())) == 1
    assert reasons[True]["s0"] == reasons[False]["s0"]
    (preferred,) = (why for name, why in reasons[True].items() if name != "s0")
    assert preferred != reasons[True]["s0"]


def test_more_solutions_of_a_state_are_kept_where_that_is_set() -> None:
    found = picked([simulated(6, 7), simulated(2, 9), simulated(4, 5)], [B, N, N, U], solutions_per_state=2)
    assert [name for _, name, _ in found] == ["s2", "s4"]


def test_a_state_after_harmful_actions_is_learned_from_what_got_out_of_it_with_loss_on_that_alone() -> None:
    # Solved from state 0 and from state 6; the actions 2 and 3 broke it.
    found = picked([simulated(0, 3), simulated(2, 5), simulated(6, 8)], [N, H, B, U])
    assert found == [("agent", "s0", (1.0,) * 3), ("recovery", "s6", (0.0,) * 6 + (1.0,) * 2)]


def test_a_continuation_from_before_the_harm_is_not_a_recovery() -> None:
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
    assert len(selection(demonstrations, explorations, Select(keep="all"), RULE, 0).solutions) == 1
    assert len(selection(demonstrations, explorations, Select(keep="latest"), RULE, 0).solutions) == 0


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
    chosen = selection(demonstrations, [Exploration(simulations, attributions)], Select(), RULE, seed)
    for solution in chosen.solutions:
        assert RULE.holds(solution.trajectory)
        assert len(solution.weights) == len(solution.trajectory.steps)
        own = solution.trajectory.prefix_length
        assert all(weight == 1.0 for weight in solution.weights[own:])
        for action, weight in enumerate(solution.weights[:own]):
            assert weight == 0.0 or attributions["d"].verdict(action) is B


@given(verdict_lists, outcome_lists, st.floats(1.0, 3.0), st.sampled_from(["always", "preferred"]), st.integers(0, 3))
def test_nothing_but_successes_is_selected_and_each_once(
    verdicts: list[Verdict], rewards: list[float], ratio: float, expert: str, seed: int
) -> None:
    simulations = [simulated(2 * k, 2 * k + 3, reward) for k, reward in enumerate(rewards)]
    demonstrations, explored = [episode("d", 8, 1.0)], [Exploration(simulations, judged(verdicts))]
    settings = Select(length_ratio=ratio, expert=expert, solutions_per_state=2)  # type: ignore[arg-type]
    found = selection(demonstrations, explored, settings, RULE, seed)
    learned = [each.trajectory.id for each in found.solutions]
    successes = {each.id for each in (*demonstrations, *simulations) if RULE.holds(each)}
    assert len(set(learned)) == len(learned)
    assert {*learned, *found.left_out} == successes
    assert not set(learned) & set(found.left_out)
    assert found == selection(demonstrations, explored, settings, RULE, seed)
