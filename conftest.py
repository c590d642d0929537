"""What holds for the tests of all packages."""

from hypothesis import HealthCheck, settings

# Tests don't time: on a busy machine any example can take long.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The examples of CI are the same each time, so that what turns it red is the change. `pytest` alone looks for new ones.
settings.register_profile("fixed", settings.get_profile("unhurried"), derandomize=True)
settings.load_profile("unhurried")
