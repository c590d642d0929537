import io

import pytest
from rich.console import Console

from eef_framework.pipeline.progress import BarDisplay, Counter, LineDisplay, display_on
from eef_framework.records import Observation, Response, Step, SuccessRule, Task, Trajectory


def shown(*updates):
    """Return what a phase with these updates leaves in a log file."""
    file = io.StringIO()
    with BarDisplay(Console(file=file, width=100)).phase("explore") as update:
        for done, total in updates:
            update(done, total, f"{done} successes")
    return file.getvalue()


@pytest.mark.parametrize(("updates", "count"), [([], "1/1"), ([(0, 8), (8, 8)], "8/8"), ([(0, 8)], "0/8")])
def test_a_phase_ends_with_what_was_counted_or_as_done_where_nothing_is(updates, count):
    assert shown(*updates).split()[0] == "explore"
    assert f" {count} " in shown(*updates)


def test_a_log_gets_a_line_at_each_end_of_a_phase_and_now_and_then_between():
    file, now = io.StringIO(), [0.0]
    progress = LineDisplay(Console(file=file, width=20), every_s=30.0, clock=lambda: now[0])
    with progress.phase("eef/1: explore") as update:
        for second in range(0, 71, 10):
            now[0] = second
            update(second, 100, f"{second // 10} successes")
    progress.skipped("eef/1: fine-tune")
    assert file.getvalue().splitlines() == [
        "eef/1: explore: begins",
        "eef/1: explore: 30/100, 3 successes after 30 s",
        "eef/1: explore: 60/100, 6 successes after 60 s",
        "eef/1: explore: 70/100, 7 successes, done in 70.0 s",
        "eef/1: fine-tune: done before",
    ]


def test_bars_are_for_terminals_and_lines_for_logs():
    assert isinstance(display_on(Console(file=io.StringIO(), force_terminal=True)), BarDisplay)
    assert isinstance(display_on(Console(file=io.StringIO())), LineDisplay)


def test_a_phase_shows_successes_what_was_lost_and_how_fast_it_is():
    shown, now = [], [0.0]
    step = Step(action="go", observation=Observation(text="there"), response=Response(text="go", computed_tokens=3000))
    won = Trajectory(
        id="won",
        task=Task(id="task", environment="corridor", split="train", instruction="go"),
        actor="agent",
        initial=Observation(text="here"),
        steps=(step,),
        reward=1.0,
    )
    lost = won.changed(id="lost", ending="error", reward=0.0, error="no connection", steps=())
    counter = Counter(lambda *line: shown.append(line), 4, SuccessRule(), [won, lost], clock=lambda: now[0])
    for number, episode in enumerate((won, lost, won, won), 1):
        now[0] = 2.0 * number
        counter.add(episode)
    assert shown == [
        (1, 4, ""),
        (2, 4, "2 successes, 0.5 episodes/s, 1.5k tokens/s"),
        (2, 4, "2 successes, 1 lost, 0.5 episodes/s, 750 tokens/s"),
        (3, 4, "3 successes, 1 lost, 0.5 episodes/s, 1.0k tokens/s"),
        (4, 4, "4 successes, 1 lost, 0.5 episodes/s, 1.1k tokens/s"),
    ]
    now[0] = 10.0
    counter.finish([won, won, lost])
    assert shown[-1] == (2, 3, "2 successes, 1 lost, 0.4 episodes/s, 900 tokens/s")


def test_a_phase_whose_total_was_an_upper_bound_ends_with_the_true_number():
    shown = []
    task = Task(id="task", environment="corridor", split="train", instruction="go")
    episode = Trajectory(id="one", task=task, actor="agent", initial=Observation(text="here"), steps=())
    counter = Counter(lambda *line: shown.append(line), 200, SuccessRule(), clock=lambda: 0.0)
    counter.add(episode)
    counter.add(episode)
    counter.finish([episode, episode])
    assert shown == [(0, 200, ""), (2, 2, "0 successes")]
