"""Who may approve, and when a request is granted."""

import pytest

from abreast.core.approvals.rule import ApprovalRule, ApprovalState, Vote, decide_approval, too_few_people, vote_refusal

RULE = ApprovalRule(2, ("ada", "grace", "Linus"), expires=3600.0)
ASKED, SOON, LATE = "2026-11-27T08:00:00Z", "2026-11-27T08:30:00Z", "2026-11-27T09:00:01Z"


def approves(*people: str) -> list[Vote]:
    return [Vote(person, approves=True) for person in people]


@pytest.mark.parametrize(
    ("votes", "now", "state", "missing"),
    [
        ([], SOON, ApprovalState.PENDING, 2),
        (approves("ada"), SOON, ApprovalState.PENDING, 1),
        (approves("ada", "ADA", "ada"), SOON, ApprovalState.PENDING, 1),
        (approves("ada", "grace"), SOON, ApprovalState.GRANTED, 0),
        (approves("ada", "linus"), LATE, ApprovalState.GRANTED, 0),
        (approves("ada", "mallory"), SOON, ApprovalState.PENDING, 1),
        (approves("ada", "eve"), SOON, ApprovalState.PENDING, 1),
        (approves("ada"), LATE, ApprovalState.EXPIRED, 0),
        ([*approves("ada", "grace"), Vote("linus", approves=False)], SOON, ApprovalState.REJECTED, 0),
        ([Vote("ada", approves=False), *approves("ada", "grace")], SOON, ApprovalState.GRANTED, 0),
        ([*approves("ada", "grace"), Vote("mallory", approves=False)], SOON, ApprovalState.GRANTED, 0),
    ],
)
def test_a_request_is_granted_by_enough_different_people_in_time(
    votes: list[Vote], now: str, state: ApprovalState, missing: int
) -> None:
    decision = decide_approval(RULE, votes, ("eve",), ASKED, now)
    assert (decision.state, decision.missing) == (state, missing)


def test_a_clock_that_goes_back_expires_nothing() -> None:
    assert decide_approval(RULE, [], (), ASKED, "2026-11-20T08:00:00Z").state is ApprovalState.PENDING


def test_the_text_says_who_is_missing() -> None:
    assert decide_approval(RULE, approves("grace"), (), ASKED, SOON).text == (
        "waits for an approval by 1 more of ada, grace, Linus; approved by grace"
    )
    assert "by 2 of grace, Linus" in decide_approval(RULE, [], ("ADA",), ASKED, SOON).text, "an author is not asked"
    rejected = decide_approval(RULE, [Vote("ada", approves=False, reason="not on a Friday")], (), ASKED, SOON)
    assert rejected.text == "ada rejected it: not on a Friday"


def test_an_author_does_not_approve_unless_that_is_allowed() -> None:
    authors = ("ada", "Ada Lovelace", "ada@example.org")
    assert "Ada is an author" in vote_refusal(RULE, "Ada", authors)
    assert vote_refusal(ApprovalRule(1, ("ada",), not_author=False), "ada", authors) == ""
    assert "eve is not among" in vote_refusal(RULE, "eve", authors)


def test_too_few_people_are_left_if_the_others_are_authors() -> None:
    assert too_few_people(RULE, ("ada",)) == ""
    assert too_few_people(RULE, ("ada", "linus")) == (
        "2 of ada, grace, Linus have to approve, and only grace can: authors of it are ada, Linus"
    )
    assert "nobody can" in too_few_people(RULE, ("ada", "linus", "Grace"))
    assert too_few_people(ApprovalRule(1, ("ada",), not_author=False), ("ada",)) == ""


def test_a_request_may_wait_for_longer_than_there_are_dates() -> None:
    decision = decide_approval(ApprovalRule(1, ("ada",), expires=1e15), [], (), ASKED, LATE)
    assert (decision.state, decision.expires) == (ApprovalState.PENDING, "9999-12-31T23:59:59Z")


def test_a_decision_says_who_agreed_and_until_when() -> None:
    decision = decide_approval(RULE, approves("grace", "mallory"), (), ASKED, SOON)
    assert (decision.approved, decision.missing, decision.expires) == (("grace",), 1, "2026-11-27T09:00:00Z")
