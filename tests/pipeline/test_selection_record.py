"""What became of each attempt when pairs are learned; of each success otherwise, see `test_phases`."""

from typing import Any

from eef_framework.chat.format import ChatFormat
from eef_framework.filters import LimitLength
from eef_framework.pipeline.filtering import filtered
from eef_framework.pipeline.pairs import Pair, pair_examples
from eef_framework.pipeline.selection_record import pair_rows
from eef_framework.records import Observation, Step, Task, Trajectory


def episode(name: str, length: int = 2, **fields: Any) -> Trajectory:
    steps = tuple(Step(action=f"{name}{i}", observation=Observation(text=f"saw {i}")) for i in range(length))
    return Trajectory(id=name, task=Task(id="t", environment="e"), initial=Observation(text="o"), steps=steps, **fields)


def test_each_attempt_has_what_is_learned_from_it_or_why_nothing_is() -> None:
    good, bad, long, other = episode("good"), episode("bad", 3), episode("long", 5), episode("other")
    lost = episode("lost", ending="error")
    made = pair_examples([Pair(good, bad, 1, rejected_end=2), Pair(long, other)], ChatFormat(style="action"), "")
    found = filtered(made, [LimitLength(turns=4)], 0)
    rows = {
        row.trajectory: row for row in pair_rows([good, bad, long, other, lost], made, found.kept, found.dropped_by)
    }
    assert list(rows) == ["good", "bad", "long", "other"]
    assert {name: (row.source, row.outcome, row.reason) for name, row in rows.items()} == {
        "good": ("pair", "learned", ""),
        "bad": ("rejected", "learned", ""),
        "long": ("", "filtered", "limit-length"),
        "other": ("", "filtered", "limit-length"),
    }
    assert (rows["good"].trained, rows["good"].masked, rows["good"].weight) == ((1,), (0,), 1.0)
    assert (rows["bad"].trained, rows["bad"].masked, rows["bad"].weight) == ((1,), (0, 2), 1.0)
    assert (rows["long"].trained, rows["long"].masked) == ((), ())


def test_an_attempt_of_several_pairs_has_the_actions_of_all() -> None:
    a, b, c = episode("a", 3), episode("b", 3), episode("c", 1)
    made = pair_examples([Pair(a, b, 0, 1, 1), Pair(a, b, 2), Pair(b, a, 1, 2, 2)], ChatFormat(style="action"), "")
    rows = {row.trajectory: row for row in pair_rows([a, b, c], made, made, {})}
    assert rows["a"].source == rows["b"].source == "pair"
    assert (rows["a"].trained, rows["b"].trained) == ((0, 1, 2), (0, 1, 2))
    assert (rows["c"].outcome, rows["c"].reason) == ("not-selected", "no pair has it")
