from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eef_framework.records import (
    Attribution,
    Cost,
    Evidence,
    Example,
    Message,
    Observation,
    Origin,
    Probe,
    Response,
    Segment,
    Selected,
    StateValue,
    Step,
    SuccessRule,
    Task,
)
from eef_framework.records import Trajectory as Episode
from eef_framework.report.chunks import CHUNK_ROWS, TEXT_LIMIT, Chunks
from eef_framework.report.html import data_script
from eef_framework.report.trajectory_index import TrajectoryIndex
from eef_framework.testing.strategies import trajectories

TURN = (Message(role="user", content="a room"), Message(role="assistant", content="a"))


def _episode(ident="t", actions="abc", origin=None, **fields):
    steps = [Step(action=a, observation=Observation(text=f"after {actions[: k + 1]}")) for k, a in enumerate(actions)]
    task = Task(id="task", environment="rooms", instruction="Find the key")
    given = {"initial": Observation(text="a room"), "steps": tuple(steps), **fields}
    return Episode(id=ident, task=task, actor="agent/clone", origin=origin, **given)


def _example(ident, source, *states):
    return Example(id=f"{ident}#{source}{states}", messages=TURN, source=source, trajectory=ident, states=states)


class Shelf:
    """An index and what it writes."""

    def __init__(self, rows):
        self.file = io.StringIO()
        self.chunks = Chunks(self.file)
        self.index = TrajectoryIndex(self.chunks, SuccessRule(threshold=1.0))
        self.groups = {phase: self.index.group(phase, phase, "eef 1") for phase in ("demonstration", "simulation")}
        for row in rows:
            self.index.add(row, self.groups["simulation" if row.origin else "demonstration"])

    def html(self):
        index = self.index.finish()
        return data_script("data", index) + self.file.getvalue()


@settings(max_examples=30)
@given(st.lists(trajectories(max_steps=4), max_size=3))
def test_every_text_of_a_trajectory_comes_back_from_the_page(page_class, rows):
    read = page_class(Shelf(rows).html())
    assert read.data["rows"]["id"] == [row.id for row in rows]
    for number, row in enumerate(rows):
        found = read.trajectory(number)
        assert found["initial"] == row.initial.text
        assert [step["action"] for step in found["steps"]] == list(row.actions)
        assert [step["seen"] for step in found["steps"]] == [step.observation.text for step in row.steps]
        assert [step.get("invalid", False) for step in found["steps"]] == [not step.valid for step in row.steps]
        assert int(found["seed"]) == row.seed


def test_a_simulation_shares_the_steps_of_its_demonstration(page_class):
    rows = [_episode("d", "abcd"), _episode("s", "abxy", Origin(trajectory="d", state=2))]
    read = page_class(Shelf(rows).html())
    assert len(read.piece("chunk-0")["rows"][1]["steps"]) == 2
    assert [step["action"] for step in read.trajectory(1)["steps"]] == list("abxy")
    assert (read.data["rows"]["origin"], read.data["rows"]["state"]) == ([-1, 0], [-1, 2])


@pytest.mark.parametrize(
    "demonstration",
    [_episode("d", "azcd"), _episode("d", "abcd", initial=Observation(text="elsewhere")), _episode("d", "a")],
)
def test_a_simulation_whose_replay_differs_keeps_steps_of_its_own(page_class, demonstration):
    read = page_class(Shelf([demonstration, _episode("s", "abxy", Origin(trajectory="d", state=2))]).html())
    assert read.piece("chunk-0")["rows"][1]["shared"] == 0
    assert [step["action"] for step in read.trajectory(1)["steps"]] == list("abxy")


def test_a_simulation_whose_demonstration_is_not_on_the_page_keeps_its_name(page_class):
    read = page_class(Shelf([_episode("s", "abxy", Origin(trajectory="gone", state=2))]).html())
    assert read.data["rows"]["origin"] == [-1]
    assert read.trajectory(0)["origin"] == "gone"


def test_outcomes_follow_the_rule_and_lost_episodes_are_told_apart(page_class):
    rows = [_episode("a", reward=0.99), _episode("b", reward=1.0), _episode("c", reward=1.0, ending="error")]
    assert page_class(Shelf(rows).html()).data["rows"]["outcome"] == [0, 1, 2]


def test_pieces_stay_small_and_links_lie_beside_their_trajectories(page_class):
    shelf = Shelf(_episode(f"t{k}") for k in range(CHUNK_ROWS + 3))
    shelf.index.learn(_example(f"t{CHUNK_ROWS + 1}", "agent", 0), "eef 1")
    read = page_class(shelf.html())
    assert read.data["chunks"] == [0, CHUNK_ROWS]
    assert read.links(CHUNK_ROWS + 1)["learned"] == [["eef 1", "agent", [0]]]
    assert read.links(5)["learned"] == []


def test_learned_steps_of_one_training_and_source_are_joined(page_class):
    shelf = Shelf([_episode("t")])
    for example in (_example("t", "agent", 2), _example("t", "agent", 0), _example("t", "recovery", 1)):
        shelf.index.learn(example, "eef 1")
    shelf.index.learn(_example("t", "agent", 1), "eef 2")
    shelf.index.learn(_example("unknown", "agent", 1), "eef 2")
    read = page_class(shelf.html())
    assert read.links(0)["learned"] == [["eef 1", "agent", [0, 2]], ["eef 1", "recovery", [1]], ["eef 2", "agent", [1]]]
    assert read.data["rows"]["learned"] == [1]


def test_why_a_training_did_not_use_a_trajectory_lies_beside_it(page_class):
    shelf = Shelf([_episode("t"), _episode("u")])
    given = {"task": "a", "outcome": "not-selected", "reason": "another is preferred"}
    shelf.index.select(Selected(trajectory="t", **given), "eef 1")
    shelf.index.select(Selected(trajectory="t", task="a", outcome="learned", left_out=(1,)), "eef 2")
    shelf.index.select(Selected(trajectory="u", task="a", outcome="learned"), "eef 2")
    shelf.index.select(Selected(trajectory="unknown", **given), "eef 2")
    read = page_class(shelf.html())
    expected = [["eef 1", "not-selected", "another is preferred", []], ["eef 2", "learned", "", [1]]]
    assert read.links(0)["selected"] == expected
    assert read.links(1)["selected"] == []


def test_verdicts_are_in_the_index_and_actions_without_a_segment_are_unknown(page_class):
    shelf = Shelf([_episode("d", "abcd"), _episode("s", "abx", Origin(trajectory="d", state=2))])
    segments = (Segment(start=0, end=2, verdict="harmful", reason="1 of 1 before, 0 of 1 after"),)
    probes = (Probe(state=2, simulations=("s", "left out"), successes=1),)
    shelf.index.attribute(Attribution(trajectory="d", length=4, segments=segments, probes=probes), "eef 1")
    shelf.index.attribute(Attribution(trajectory="nobody", length=4), "eef 1")
    read = page_class(shelf.html())
    assert read.data["verdicts"] == {"0": {"eef 1": 2 + 8}}
    found = read.links(0)["attributions"][0]
    assert found["segments"] == [[0, 2, "harmful", "1 of 1 before, 0 of 1 after", None, -1.0, 1.0, 0, 0]]
    assert found["probes"] == [[2, 1, 2, [1, -1]]]


def test_a_demonstration_carries_values_credits_costs_and_what_was_tried_elsewhere(page_class):
    shelf = Shelf([_episode("d", "abcd"), _episode("s", "abxy", Origin(trajectory="d", state=2))])
    evidence = Evidence(simulations=4, successes=2, low=-0.2, high=0.9, tokens=70)
    attribution = Attribution(
        trajectory="d",
        length=4,
        segments=(Segment(start=0, end=2, verdict="beneficial", credit=0.5, evidence=evidence, reason="why"),),
        values=(StateValue(state=2, mean=0.5, low=0.1, high=0.9, n=2),),
        probes=(
            Probe(state=2, simulations=("s",), successes=1),
            Probe(state=2, inserted=("x",), simulations=("t",)),
            Probe(state=3, trajectory="s", simulations=("s", "t"), successes=1),
        ),
        cost=Cost(computed_tokens=9, usd=0.5),
    )
    shelf.index.attribute(attribution, "eef 1")
    (found,) = page_class(shelf.html()).links(0)["attributions"]
    assert found["segments"] == [[0, 2, "beneficial", "why", 0.5, -0.2, 0.9, 4, 70]]
    assert found["values"] == [[2, 0.5, 0.1, 0.9, 2]]
    assert found["probes"] == [[2, 1, 1, [1]]]
    assert found["others"] == [[2, 0, 1, [-1], "", ["x"]], [3, 1, 2, [1, -1], "s", []]]
    assert found["cost"] == [9, 0.5]


def test_weights_other_than_one_stand_at_the_actions_that_have_them(page_class):
    turns = [
        Message(role=role, content="x", weight=weight)
        for weight in (0.25, 0.0, 1.0, 2.0)
        for role, weight in (("user", 0.0), ("assistant", weight))
    ]
    shelf = Shelf([_episode("d", "abcd")])
    shelf.index.learn(
        Example(id="e", messages=tuple(turns), source="expert", trajectory="d", states=(0, 2, 3)), "eef 1"
    )
    links = page_class(shelf.html()).links(0)
    assert links["weights"] == [["eef 1", 0, 0.25], ["eef 1", 3, 2.0]]
    assert links["learned"] == [["eef 1", "expert", [0, 2, 3]]]


def test_a_trajectory_carries_what_its_own_answers_cost(page_class):
    answers = (Response(text="a", computed_tokens=3, usd=0.25), Response(text="b", computed_tokens=4))
    steps = tuple(Step(action=a.text, observation=Observation(text="seen"), response=a) for a in answers)
    own = page_class(Shelf([_episode("t", "", steps=steps)]).html()).trajectory(0)
    assert (own["tokens"], own["usd"]) == (7, 0.25)


def test_a_huge_text_is_cut_and_counted(page_class):
    shelf = Shelf([_episode("t", "a", initial=Observation(text="x" * (TEXT_LIMIT + 7)))])
    read = page_class(shelf.html())
    shown, _, note = read.trajectory(0)["initial"].rpartition("\n")
    assert shown == "x" * TEXT_LIMIT
    assert re.search(r"\b7\b", note)
    assert shelf.chunks.cut == 1


def test_a_task_without_an_instruction_is_titled_by_what_is_seen_first(page_class):
    silent = _episode().changed(task=Task(id="task-7", environment="rooms"))
    assert page_class(Shelf([silent]).html()).data["tasks"]["title"] == ["a room"]
