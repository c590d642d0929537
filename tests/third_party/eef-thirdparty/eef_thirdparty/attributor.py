"""An attribution strategy in ten lines."""

from eef_framework import Attribution, Attributor, Segment, Verdict


class LastGood(Attributor):
    """Everything before the last state the agent can finish from was beneficial."""

    name = "last-good"

    async def attribute(self, trajectory, simulate):
        length = len(trajectory.steps)
        for k in range(length - 1, 0, -1):
            if any(map(simulate.succeeded, await simulate(k))):
                helped = Segment(start=0, end=k, verdict=Verdict.BENEFICIAL)
                return Attribution(trajectory=trajectory.id, length=length, segments=(helped,))
        return Attribution(trajectory=trajectory.id, length=length)
