"""Settings of the tests that draw their cases: the same cases in every run, and no record of them."""

from hypothesis import HealthCheck, settings


def repeatable(count):
    return settings(
        max_examples=count,
        stateful_step_count=20,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=HealthCheck,
    )
