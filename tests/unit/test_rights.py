"""Whom the broker lets at what: the least, and contact details of people least of all."""

from schemas.ambassadors import AmbassadorPublished
from schemas.contacts import ContactPublished
from schemas.topics import AMBASSADORS, CONTACTS, READS, SUBMISSION_RESULTS, SUBMISSIONS, TOPICS
from services.ingest.app import build
from services.ingest.settings import IngestSettings
from services.runtime.rights import (
    LISTENER_RIGHTS,
    MEMBER_RIGHTS,
    SUBMITTER_RIGHTS,
    Kind,
    Operation,
    Right,
    Rights,
    rights_of,
)

SERVICES = {name: rights_of(name) for name in READS}


def having(name: str, operation: Operation) -> set[str]:
    right = Right(Kind.TOPIC, name, operation)
    everybody: dict[str, Rights] = {
        **SERVICES,
        "member": MEMBER_RIGHTS,
        "submitter": SUBMITTER_RIGHTS,
        "listener": LISTENER_RIGHTS,
    }
    return {who for who, rights in everybody.items() if right in rights}


def test_contact_details_are_written_by_ingest_and_read_by_the_notifier_alone() -> None:
    for topic in (AMBASSADORS, CONTACTS):
        assert having(topic.name, Operation.WRITE) == {"ingest"}
        assert having(topic.name, Operation.READ) == {"notifier"}
        assert having(topic.dead_letters, Operation.WRITE) == {"notifier"}
        assert having(topic.dead_letters, Operation.READ) == set()


def test_a_member_writes_what_it_is_and_what_it_needs_and_reads_nothing() -> None:
    assert {str(right) for right in MEMBER_RIGHTS} == {"write members.v1", "write needs.v1"}


def test_an_organisation_submits_and_reads_neither_what_others_send_nor_what_they_are_answered() -> None:
    assert {str(right) for right in SUBMITTER_RIGHTS} == {"write submissions.v1"}
    assert having(SUBMISSIONS.name, Operation.WRITE) == {"submitter"}
    assert having(SUBMISSIONS.name, Operation.READ) == {"ingest"}
    assert having(SUBMISSION_RESULTS.name, Operation.WRITE) == {"ingest"}
    assert having(SUBMISSION_RESULTS.name, Operation.READ) == {"listener"}


def test_where_submissions_are_left_alone_their_rights_are_not_asked_for() -> None:
    taking, not_taking = (build(IngestSettings(submissions=answer)).rights for answer in (True, False))
    assert taking == SERVICES["ingest"]
    assert {str(right) for right in taking - not_taking} == {
        "read group maillage-ingest",
        "read submissions.v1",
        "write submissions.v1.dlq",
        "write submission-results.v1",
    }


def test_no_other_event_has_a_place_for_the_address_or_the_number_of_a_person() -> None:
    telling = {event for topic in TOPICS for event in topic.events if {"email", "phone"} & set(event.model_fields)}
    assert telling == {AmbassadorPublished, ContactPublished}
