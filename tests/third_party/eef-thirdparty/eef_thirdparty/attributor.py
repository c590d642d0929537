"""An attribution strategy in ten lines."""

from eef_framework import Attribution, Attributor, Segment, Simulate, Trajectory, Verdict


class LastGood(Attributor):
    """Everything before the last state the agent can finish from was beneficial."""

    name = "last-good"

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
        """Try the states from the last to the first."""
        length = len(trajectory.steps)
        for k in range(length - 1, 0, -1):
            if any(map(simulate.succeeded, await simulate(k))):
                segment = Segment(start=0, end=k, verdict=Verdict.BENEFICIAL)
                return Attribution(trajectory=trajectory.id, length=length, segments=(segment,))
        return Attribution(trajectory=trajectory.id, length=length)
