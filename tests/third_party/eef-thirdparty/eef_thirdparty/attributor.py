"""An attribution strategy in ten lines."""

from eef_framework import Attributor, Segment


class LastGood(Attributor):
    """Everything before the last state the agent can finish from was beneficial."""

    name = "last-good"

    async def attribute(self, trajectory, simulate):
        for k in range(len(trajectory.steps) - 1, 0, -1):
            if await simulate.success_rate(k):
                return [Segment(start=0, end=k, verdict="beneficial")]
        return []
