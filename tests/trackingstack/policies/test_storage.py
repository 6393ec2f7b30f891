from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runwright.ports import Key
from runwright.trackingstack.observed import Failure, PartView
from runwright.trackingstack.parts import Part
from runwright.trackingstack.plan import GrowClaim, OrphanWorkload
from runwright.trackingstack.policies.storage import growth, refused_growth, template_size
from runwright.trackingstack.quantity import quantity
from tests.trackingstack.samples import NOW, claim, stack, view, workload

OF = stack()
SIZES = st.sampled_from(["1Gi", "1G", "1024Mi", "2Gi", "8Gi", "8192Mi", "1Ti"])


def part(asked: str, template: str | None, claimed: str | None, **changes: Any) -> PartView:
    return view(
        OF,
        Part.DATABASE,
        asked_size=asked,
        workload=None if template is None else workload("a-postgresql", storage=template),
        claim=None if claimed is None else claim(size=claimed, **changes),
    )


def step(of: PartView) -> GrowClaim | OrphanWorkload | None:
    return growth(Part.DATABASE, of, "team-a")


def test_the_claim_grows_first() -> None:
    found = step(part("16Gi", "8Gi", "8Gi"))
    assert found == GrowClaim(Part.DATABASE, Key("team-a", "data-a-postgresql-0"), "data-a-postgresql-0-uid", "16Gi")


def test_then_the_template_is_made_anew_around_it() -> None:
    grown = part("16Gi", "8Gi", "16Gi")
    assert step(grown) == OrphanWorkload(Key("team-a", "a-postgresql"), "a-postgresql-uid")
    assert template_size("16Gi", grown.workload, grown.claim) == "16Gi"
    assert step(part("16Gi", None, "16Gi")) is None
    assert step(part("16Gi", "16Gi", "16Gi")) is None


def test_a_claim_of_an_earlier_stack_grows_without_a_workload() -> None:
    assert isinstance(step(part("16Gi", None, "8Gi")), GrowClaim)


def test_what_cannot_be_changed_now_is_left() -> None:
    assert step(part("16Gi", "8Gi", None)) is None
    assert step(part("16Gi", "8Gi", "8Gi", bound=False)) is None
    assert step(part("16Gi", "8Gi", "8Gi", deleting=True)) is None
    assert step(part("", "8Gi", "8Gi")) is None


def test_another_spelling_of_the_same_size_changes_nothing() -> None:
    of = part("8192Mi", "8Gi", "8Gi")
    assert step(of) is None
    assert template_size("8192Mi", of.workload, of.claim) == "8Gi"


def test_a_refusal_names_class_and_remedies() -> None:
    failure = Failure("only dynamically provisioned", NOW + timedelta(seconds=10))
    of = view(OF, Part.DATABASE, growth_failure=failure)
    problem = refused_growth(of)
    assert problem is not None
    assert problem.stalled
    assert problem.message == (
        "volume claim data-a-postgresql-0 stays at 8Gi: set allowVolumeExpansion in storage class standard if its "
        "provisioner can, or set storage back, or restore a backup into a new TrackingStack "
        "(only dynamically provisioned)"
    )
    assert refused_growth(view(OF, Part.DATABASE)) is None


@given(SIZES, st.none() | SIZES, st.none() | SIZES)
def test_nothing_ever_shrinks_and_it_ends(asked: str, template: str | None, claimed: str | None) -> None:
    for _ in range(4):
        of = part(asked, template, claimed)
        size = template_size(asked, of.workload, of.claim)
        if template is not None:
            assert quantity(size) >= quantity(template)
        match step(of):
            case GrowClaim(_, _, _, new):
                assert claimed is not None
                assert quantity(new) > quantity(claimed)
                claimed = new
            case OrphanWorkload():
                template = None
            case None:
                template = template_size(asked, of.workload, of.claim)
    assert step(part(asked, template, claimed)) is None
    if claimed is not None and template is not None:
        assert quantity(template) >= quantity(asked)
        assert quantity(claimed) >= quantity(asked)
