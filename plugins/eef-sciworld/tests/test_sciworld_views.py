from eef_sciworld.simulator import Outcome
from eef_sciworld.state import View
from eef_sciworld.views import compact_actions, compact_view
from hypothesis import given
from hypothesis import strategies as st

TASK = "Your task is to find a(n) plant. First, focus on the thing. Then, move it to the orange box in the kitchen."
LOOK = (
    "This room is called the kitchen. In it, you see: \n\tthe agent\n\ta substance called air\n"
    "\ta cupboard. The cupboard door is closed. \n\ta orange box (containing nothing)\n\ta soap\n"
    "You also see:\n\tA door to the hallway (that is open)\n\tA door to the outside (that is open)"
)
BAG = "In your inventory, you see:\n\tan orange\n"


def test_a_compact_view_describes_the_room():
    view = View(Outcome("You move to the kitchen.", 8, False), LOOK, BAG)
    assert compact_view(view, TASK, "go to kitchen").split("\n") == [
        "task find plant first focus on thing then move it to orange box in kitchen",
        "go to kitchen : you move to kitchen",
        "in kitchen",
        "cupboard cupboard door is closed",
        "orange box",
        "soap",
        "doors hallway, outside",
        "have orange",
    ]


def test_a_compact_view_does_not_repeat_the_room():
    assert "look around\n" in compact_view(View(Outcome(LOOK, 0, False), LOOK, BAG), TASK, "look around")


@given(st.text(), st.text(), st.text(), st.text())
def test_any_text_of_the_simulator_gives_a_view_of_bounded_length(answer, look, bag, action):
    view = View(Outcome(answer, 0, False), "In it, you see:\n\t" + look * 20, bag)
    own = len(action.split()) + sum(min(12, len(line.split())) for line in bag.split("\n"))
    assert len(compact_view(view, TASK, action).split()) <= 160 + own


def test_compact_actions_are_those_that_solve_tasks():
    listed = (
        *("focus on soap", "look at soap", "look in cupboard", "mix soap", "go to hallway", "go to door to hallway"),
        *("teleport to workshop", "pick up soap", "move soap to orange box", "move soap to cupboard"),
        *("move orange box to soap", "move soap to kitchen", "use soap on air", "look around", "wait1", "wait"),
    )
    assert compact_actions(listed, TASK) == (
        *("focus on soap", "go to hallway", "teleport to workshop", "pick up soap", "move soap to orange box"),
        *("look around", "wait1"),
    )


def test_all_answers_to_a_question_of_the_simulator_are_kept():
    assert compact_actions(("0", "1", "2"), TASK) == ("0", "1", "2")
