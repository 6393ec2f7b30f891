"""No property test is judged by the clock."""

from hypothesis import HealthCheck, settings

# A busy machine is no defect: without this an example that took 200 ms fails its test.
settings.register_profile("runwright", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("runwright")
