"""One candidate's view of a Lease: when it may take it, and what it writes."""

from typing import Any

import pytest

from flow_operator.core.election import Election, Terms

TERMS = Terms(8)
TIME = "2026-11-23T08:00:00.000000Z"
LATER = "2026-11-23T08:00:02.000000Z"


def election(identity: str = "a") -> Election:
    return Election("system", "operator", identity, TERMS)


def lease(version: int, holder: str, **spec: Any) -> dict[str, Any]:
    meta = {"namespace": "system", "name": "operator", "uid": "u", "resourceVersion": str(version)}
    held = {"holderIdentity": holder, "leaseDurationSeconds": 8, "leaseTransitions": 3}
    return {"metadata": meta, "spec": held | {"acquireTime": TIME, "renewTime": TIME} | spec}


def test_the_first_one_creates_the_lease() -> None:
    """With all that `kubectl get lease` and client-go know of one."""
    first = election()
    first.saw(None, 0.0)
    assert first.claim(0.0, TIME) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "system", "name": "operator"},
        "spec": {
            "holderIdentity": "a",
            "leaseDurationSeconds": 8,
            "acquireTime": TIME,
            "renewTime": TIME,
            "leaseTransitions": 0,
        },
    }


def test_nothing_is_claimed_of_what_was_not_read() -> None:
    """Neither at the start nor after a claim of which nobody knows what became of it."""
    first = election()
    assert first.must_look(0.0)
    assert first.claim(0.0, TIME) is None
    first.saw(None, 0.0)
    assert first.claim(0.0, TIME)
    assert first.must_look(0.1)
    assert first.claim(0.1, TIME) is None


def test_leading_counts_from_when_the_claim_was_sent() -> None:
    """An answer that comes late leaves less of it, or nothing."""
    first = election()
    first.saw(None, 100.0)
    first.claim(100.0, TIME)
    first.won(lease(1, "a"), 100.0)
    assert first.leads(104.9)
    assert not first.leads(105.0)


def test_a_renewal_needs_no_look_and_keeps_the_time_of_the_takeover() -> None:
    """Only `renewTime` moves; the version of what was read last guards the rest."""
    first = election()
    first.won(lease(1, "a"), 100.0)
    assert not first.must_look(102.0)
    renewed = first.claim(102.0, LATER)
    assert renewed == lease(1, "a", renewTime=LATER)


@pytest.mark.parametrize("waited", [7.9, 8.0])
def test_a_lease_is_taken_when_it_was_not_seen_to_change_for_its_time(waited: float) -> None:
    """Whatever the times say that are in it."""
    other = election("b")
    other.saw(lease(1, "a", renewTime="1999-01-01T00:00:00.000000Z"), 50.0)
    other.saw(lease(2, "a", renewTime="1999-01-01T00:00:00.000000Z"), 100.0)
    other.saw(lease(2, "a", renewTime="1999-01-01T00:00:00.000000Z"), 100.0 + waited)
    claim = other.claim(100.0 + waited, LATER)
    if waited < 8.0:
        assert claim is None
    else:
        assert claim == lease(2, "b", acquireTime=LATER, renewTime=LATER, leaseTransitions=4)


def test_the_holder_says_how_long_its_lease_is() -> None:
    """A release with another time does not take over too early."""
    other = election("b")
    other.saw(lease(1, "a", leaseDurationSeconds=30), 0.0)
    assert other.claim(29.9, TIME) is None
    other.saw(lease(1, "a", leaseDurationSeconds=30), 30.0)
    assert other.claim(30.0, TIME)


def test_a_released_lease_is_free_at_once() -> None:
    """What one releases the other claims in the same turn."""
    first, other = election(), election("b")
    first.won(lease(1, "a"), 100.0)
    first.resign()
    assert not first.leads(100.0)
    released = first.release(LATER)
    assert released
    assert released["spec"]["holderIdentity"] == ""
    released["metadata"]["resourceVersion"] = "2"
    other.saw(lease(1, "a"), 100.0)
    other.saw(released, 101.0)
    assert other.claim(101.0, LATER) == lease(
        2, "b", acquireTime=LATER, renewTime=LATER, leaseTransitions=4
    )


def test_who_resigned_never_leads_again() -> None:
    """Not even when the answer to a renewal comes in afterwards."""
    first = election()
    first.won(lease(1, "a"), 100.0)
    first.claim(102.0, TIME)
    first.resign()
    first.won(lease(2, "a"), 102.0)
    assert not first.leads(102.1)
    first.saw(lease(2, "a"), 102.2)
    assert first.claim(102.2, TIME) is None


def test_only_the_holder_releases() -> None:
    """Who stands by leaves the Lease alone when it ends."""
    other = election("b")
    other.saw(lease(1, "a"), 0.0)
    assert other.release(TIME) is None


def test_a_deleted_lease_is_not_free_before_its_time() -> None:
    """Its holder may lead until it notices."""
    other = election("b")
    other.saw(lease(1, "a"), 100.0)
    other.saw(None, 101.0)
    assert other.claim(101.0, TIME) is None
    other.saw(None, 108.0)
    assert other.claim(108.0, TIME)


def test_the_holder_of_a_deleted_lease_makes_it_again() -> None:
    """It leads on from then."""
    first = election()
    first.won(lease(1, "a"), 100.0)
    first.claim(102.0, TIME)
    first.saw(None, 102.1)
    assert not first.leads(102.1)
    claim = first.claim(102.1, TIME)
    assert claim
    assert "resourceVersion" not in claim["metadata"]


def test_who_sees_another_holder_leads_no_longer() -> None:
    """Somebody edited the Lease by hand: nobody leads before it is clear who does."""
    first = election()
    first.won(lease(1, "a"), 100.0)
    first.saw(lease(2, "b"), 101.0)
    assert not first.leads(101.0)
    assert first.holder == "b"


def test_somebody_elses_label_is_kept_and_harmless() -> None:
    """The holder leads on, and does not lose what others wrote."""
    first = election()
    first.won(lease(1, "a"), 100.0)
    labelled = lease(2, "a")
    labelled["metadata"] |= {"labels": {"team": "data"}, "managedFields": [{"manager": "x"}]}
    first.saw(labelled, 101.0)
    assert first.leads(101.0)
    claim = first.claim(101.0, TIME)
    assert claim
    assert claim["metadata"]["labels"] == {"team": "data"}
    assert claim["metadata"]["resourceVersion"] == "2"
    assert "managedFields" not in claim["metadata"]


def test_pauses() -> None:
    """A holder renews in time, hurries when that failed; others look, and are there at the end."""
    first, other = election(), election("b")
    first.won(lease(1, "a"), 100.0)
    assert first.pause(100.5) == 1.5
    first.claim(102.0, TIME)
    assert first.pause(102.5) == 0.25
    assert first.pause(106.0) == 1.0
    other.saw(lease(1, "a"), 100.0)
    assert other.pause(100.0) == 1.0
    assert other.pause(107.5) == 0.5
