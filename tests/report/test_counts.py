from __future__ import annotations

from eef_framework.records import Attribution, Observation, Origin, Probe, Segment, SuccessRule, Task, Trajectory
from eef_framework.report.counts import EpisodeCounts, ExplorationCounts

RULE = SuccessRule(threshold=1.0)


def _episode(task, won, state=None, ending="terminated"):
    return Trajectory(
        id=f"{task}{won}{state}",
        task=Task(id=task, environment="rooms"),
        actor="agent",
        origin=None if state is None else Origin(trajectory=f"d-{task}", state=state),
        initial=Observation(text=""),
        reward=float(won),
        ending=ending,
    )


def _attribution(task, *probes, length=6, segments=()):
    found = tuple(Probe(state=s, successes=w, simulations=tuple(map(str, range(n)))) for s, w, n in probes)
    return Attribution(trajectory=f"d-{task}", length=length, segments=segments, probes=found)


def test_lost_episodes_are_no_evidence_but_count_as_failures_in_tests():
    episodes = EpisodeCounts()
    for episode in (_episode("a", True), _episode("a", False), _episode("a", True, ending="error")):
        episodes.add(episode, RULE)
    assert (episodes.rate.mean, episodes.rate.n) == (0.5, 2)
    assert (episodes.strict_rate.mean, episodes.strict_rate.n) == (1 / 3, 3)


def test_tasks_solved_only_with_the_experts_help_are_told_apart():
    exploration = ExplorationCounts()
    for episode in (
        _episode("easy", True),
        _episode("easy", True, state=2),
        _episode("hard", False),
        _episode("hard", True, state=3),
        _episode("hopeless", False),
        _episode("hopeless", False, state=1),
    ):
        exploration.add(episode, RULE)
    assert (exploration.solved, exploration.solved_with_help) == (1, 1)


def test_success_by_probe_counts_probes_along_each_demonstration():
    exploration = ExplorationCounts()
    for episode in (_episode("a", True), _episode("b", False), _episode("never probed", True)):
        exploration.add(episode, RULE)
    exploration.attribute(_attribution("a", (1, 0, 2), (2, 2, 2)), "a")
    exploration.attribute(_attribution("b", (0, 0, 1), (3, 1, 2)), "b")
    found = {k: (estimate.mean, estimate.n) for k, estimate in exploration.by_probe()}
    assert found == {0: (0.5, 2), 1: (0.25, 4), 2: (1.0, 2)}


def test_simulations_from_states_of_other_episodes_are_no_probes_of_a_demonstration():
    exploration = ExplorationCounts()
    elsewhere, after_another = Probe(state=2, trajectory="e", simulations=("x",)), Probe(state=1, inserted=("a",))
    attribution = _attribution("a", (1, 1, 1))
    exploration.attribute(attribution.changed(probes=(*attribution.probes, elsewhere, after_another)), "a")
    assert {k: estimate.n for k, estimate in exploration.by_probe()} == {1: 1}


def test_actions_without_a_verdict_count_as_unknown():
    exploration = ExplorationCounts()
    segments = (Segment(start=0, end=2, verdict="harmful"), Segment(start=3, end=4, verdict="neutral"))
    exploration.attribute(_attribution("a", segments=segments), "a")
    assert exploration.verdicts == {"harmful": 2, "neutral": 1, "unknown": 3}


def test_an_exploration_without_probes_has_no_curve():
    exploration = ExplorationCounts()
    exploration.add(_episode("a", True), RULE)
    assert exploration.by_probe() == []
