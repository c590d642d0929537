import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.config.schema import Budget, Schedule
from eef_framework.pipeline.schedule import (
    Progress,
    Standing,
    affordable,
    next_tries,
    per_task,
    to_attribute_first,
)
from eef_framework.records import Observation, Spending, State, Step, SuccessRule, Task, Trajectory

RULE = SuccessRule()


def task(name: str) -> Task:
    return Task(id=name, environment="e")


def episode(name: str, of: str, reward: float, length: int = 4) -> Trajectory:
    steps = tuple(Step(action=f"a{i}", observation=Observation(text=str(i))) for i in range(length))
    return Trajectory(id=name, task=task(of), initial=Observation(text=""), steps=steps, reward=reward)


def outcomes(state: State, text: str) -> list[Trajectory]:
    """Return episodes from a state: `+` for a success, `-` for a failure."""
    start = f"{state.task.id}/{state.trajectory}/{state.length}/{state.inserted}"
    return [episode(f"{start}/{i}", state.task.id, float(c == "+")) for i, c in enumerate(text)]


class Exploration:
    """Fills in a progress by hand."""

    def __init__(self, *tasks: str, expert: dict[str, float] | None = None) -> None:
        rewards = dict.fromkeys(tasks, 0.0) | (expert or {})
        self.demonstrations = [episode(f"d-{name}", name, reward) for name, reward in rewards.items()]
        self.progress = Progress([task(name) for name in tasks], self.demonstrations, RULE)

    def add(self, of: str, text: str, state: int = 0) -> "Exploration":
        start = episode(f"d-{of}", of, 0.0).at(state)
        self.progress.add(start, len(text), outcomes(start, text))
        return self

    def tries(self, limit: int = 99, **settings: int) -> list[tuple[str, int, int]]:
        found = next_tries(self.progress, Schedule(**settings), limit, 0)  # type: ignore[arg-type]
        return [(state.task.id, state.length, n) for state, n in found]


@pytest.mark.parametrize(
    ("initial", "later", "expected"),
    [
        ("++", "", Standing.SOLVED),
        ("+-", "", Standing.SOMETIMES),
        ("--", "-+", Standing.FROM_EXPERT),
        ("--", "--", Standing.HOPELESS),
        ("", "", Standing.UNTRIED),
    ],
)
def test_hopeless_and_solved_tasks_are_told_apart(initial: str, later: str, expected: Standing) -> None:
    played = Exploration("t").add("t", initial).add("t", later, state=2)
    assert played.progress.tasks["t"].standing is expected
    assert played.progress.standings() == {each.value: int(each is expected) for each in Standing}


def test_failures_on_tasks_that_nobody_solved_are_attributed_first() -> None:
    played = Exploration("a", "b", "c", "d", expert={"a": 0.0, "b": 0.0, "c": 1.0, "d": 0.5})
    played.add("a", "--").add("b", "+-").add("c", "--").add("d", "--")
    chosen = to_attribute_first(played.progress, played.demonstrations, RULE, 0)
    assert {trajectory.task.id for trajectory in chosen} == {"a", "d"}
    assert chosen == to_attribute_first(played.progress, played.demonstrations[::-1], RULE, 0)


def test_a_first_solution_is_worth_more_than_a_further_one() -> None:
    played = Exploration("none", "one", "two").add("none", "--").add("one", "+-").add("two", "++")
    assert [name for name, _, _ in played.tries()] == ["one", "none", "two"]
    likely = Exploration("none", "two").add("none", "-").add("two", "++")
    assert [name for name, _, _ in likely.tries()] == ["none", "two"]


def test_a_state_that_keeps_failing_comes_after_one_that_was_tried_less() -> None:
    played = Exploration("often", "seldom", "other").add("often", "-----").add("seldom", "--").add("other", "+-")
    names = [name for name, _, _ in played.tries()]
    assert names.index("seldom") < names.index("often")


def test_states_near_the_flip_are_tried_again_and_others_are_not() -> None:
    played = Exploration("t").add("t", "--")
    for state, text in ((1, "-"), (2, "-"), (3, "+")):
        played.add("t", text, state)
    assert {(state, n) for _, state, n in played.tries()} == {(0, 3), (2, 2), (3, 2)}
    assert {state for _, state, _ in played.add("t", "--+", 0).tries()} == {0}  # it can be solved from its start


def test_each_demonstration_of_a_task_has_a_flip_of_its_own() -> None:
    demonstrations = [episode(name, "t", 0.0) for name in ("one", "two")]
    progress = Progress([task("t")], demonstrations, RULE)
    for demonstration, texts in zip(demonstrations, (("-", "+", "+"), ("-", "-", "+")), strict=True):
        for state, text in enumerate(texts, 1):
            progress.add(demonstration.at(state), 1, outcomes(demonstration.at(state), text))
    found = {(state.trajectory, state.length) for state, _ in next_tries(progress, Schedule(solutions=9), 99, 0)}
    assert found == {("", 0), ("one", 1), ("one", 2), ("two", 2), ("two", 3)}


def test_states_that_are_not_of_a_demonstration_cost_but_teach_nothing() -> None:
    played = Exploration("t").add("t", "--")
    for state in (episode("other", "t", 0.0).at(2), played.demonstrations[0].at(2).after("look")):
        played.progress.add(state, 2, outcomes(state, "++"))
    assert played.progress.spent.simulations == 6
    assert played.progress.tasks["t"].standing is Standing.HOPELESS
    assert played.tries() == [("t", 0, 3)]


def test_tasks_with_enough_solutions_and_states_with_enough_tries_are_left_alone() -> None:
    played = Exploration("a", "b", "c", expert={"c": 1.0}).add("a", "++").add("b", "----").add("c", "+-")
    assert [name for name, _, _ in played.tries(solutions=2, tries=4)] == []
    assert {name for name, _, _ in played.tries(solutions=3, tries=5)} == {"a", "b", "c"}


def test_lost_episodes_are_spent_but_are_no_evidence() -> None:
    played = Exploration("t")
    state = State(task=task("t"))
    played.progress.add(state, 3, outcomes(state, "-"))
    assert played.progress.spent.simulations == 3
    assert played.progress.tasks["t"].initial.n == 1
    assert played.tries() == [("t", 0, 4)]


games = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.text("+-", max_size=5), st.text("+-", max_size=3)), min_size=1
)


@given(games, st.integers(0, 9), st.integers(1, 4), st.integers(1, 6))
def test_the_next_round_asks_for_one_more_of_at_most_so_many_states(
    played: dict[str, tuple[str, str]], limit: int, solutions: int, tries: int
) -> None:
    def explored(names: list[str]) -> Exploration:
        found = Exploration(*names)
        for name in names:
            found.add(name, played[name][0]).add(name, played[name][1], 2)
        return found

    first = explored(sorted(played))
    chosen = first.tries(limit, solutions=solutions, tries=tries)
    assert len(chosen) <= limit
    assert len({(name, state) for name, state, _ in chosen}) == len(chosen)
    for name, state, n in chosen:
        assert n == len(played[name][0 if state == 0 else 1]) + 1 <= tries
        assert first.progress.tasks[name].solutions < solutions
    # The order in which tasks were listed and episodes were played has no effect.
    assert explored(sorted(played, reverse=True)).tries(limit, solutions=solutions, tries=tries) == chosen


@given(st.integers(1, 9), st.floats(0.5, 9.0), st.integers(0, 90))
def test_a_budget_of_simulations_is_exact(tasks: int, budget: float, spent: int) -> None:
    left = affordable(Budget(simulations=budget), tasks, Spending(simulations=spent))
    assert left >= 0
    assert spent + left <= max(spent, budget * tasks + 1e-6)
    assert left == 0 or spent + left + 1 > budget * tasks


def test_the_first_limit_counts_at_the_mean_price_so_far() -> None:
    spent = Spending(simulations=10, steps=50, tokens=1000, seconds=2.0)
    assert affordable(Budget(simulations=4.0), 10, spent) == 30
    assert affordable(Budget(simulations=4.0, steps=10.0), 10, spent) == 10
    assert affordable(Budget(simulations=4.0, tokens=110.0), 10, spent) == 1
    assert affordable(Budget(simulations=4.0, seconds=0.1), 10, spent) == 0


def test_a_matched_budget_is_what_the_other_spent_in_the_same_units() -> None:
    spent = {"a": Spending(simulations=3, steps=9), "b": Spending(simulations=5, steps=1)}
    assert per_task(spent, 4, Budget(simulations=9.0)) == Budget(simulations=2.0)
    assert per_task(spent, 4, Budget(simulations=9.0, steps=1.0)) == Budget(simulations=2.0, steps=2.5)
    assert affordable(per_task({}, 4, Budget(simulations=9.0)), 4, Spending()) == 0


def test_lost_episodes_are_spent_and_are_no_outcome() -> None:
    progress = Progress([task("t")], [], RULE)
    lost = episode("2", "t", 0.0, 0).changed(ending="error", lost_tokens=500, lost_steps=3)
    progress.add(State(task=task("t")), 2, [episode("1", "t", 1.0, 4), lost])
    assert (progress.spent.simulations, progress.spent.tokens, progress.spent.steps) == (2, 500, 7)
    assert progress.tasks["t"].standing == Standing.SOLVED
