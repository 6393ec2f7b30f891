from runwright.trainingrun.policies.suspend import ended
from tests.trainingrun.samples import NOW


def test_a_suspended_attempt_counts_against_nothing() -> None:
    over = ended(NOW)
    assert (over.outcome, over.reason, over.at, over.final) == ("Suspended", "Suspended", NOW, False)
