"""The words that pages use for what the records call by code."""

from types import MappingProxyType

from tenant_app.domain.documents import State, Version
from tenant_app.domain.identity import Session
from tenant_app.services.progress import Standing

ACTION_WORDS = MappingProxyType(
    {
        "app:session:login": "signed in",
        "app:session:failure": "could not sign in",
        "app:session:prove": "proved themself again",
        "app:session:logout": "signed out",
        "app:session:expire": "was signed out",
        "app:session:revoke": "was signed out by the system",
        "app:account:update": "was updated from the directory",
        "app:access:deny": "was refused",
        "app:document:create": "created the document",
        "app:document:list": "looked at the list",
        "app:document:read": "opened",
        "app:document:update": "changed the document",
        "app:document:print": "made a printed copy",
        "app:document:export": "downloaded",
        "app:annotation:create": "remarked",
        "app:annotation:resolve": "settled a remark",
        "app:workflow:transition": "moved the version",
        "app:workflow:refuse": "was refused a step",
        "app:workflow:assign": "assigned a reviewer",
        "app:signature:create": "signed",
        "app:signature:failure": "failed to sign",
        "app:signature:revoke": "revoked a signature",
        "app:account:lock": "was locked out of signing",
        "app:security:alert": "told the security unit",
        "app:grant:create": "gave",
        "app:grant:revoke": "took back",
        "app:grant:review": "reviewed who has which right",
        "app:grant:overdue": "the review of rights is overdue",
        "app:training:record": "recorded a training",
        "app:training:lapse": "a training ran out",
        "app:account:enrol": "recorded a verified identity",
        "app:policy:publish": "published the policy",
        "app:policy:accept": "accepted the policy",
        "app:letter:record": "recorded the letter of 11.100(c)",
        "app:loss:report": "reported a loss",
        "app:loss:restore": "access was restored",
        "app:delegation:offer": "offered a delegation",
        "app:delegation:accept": "accepted a delegation",
        "app:delegation:revoke": "ended a delegation",
        "app:two-person:request": "asked for what needs two",
        "app:two-person:confirm": "confirmed what another asked for",
        "app:two-person:refuse": "refused what was asked for",
        "app:two-person:do": "what two agreed on took effect",
        "app:two-person:see": "read what two agreed on",
        "app:document:delete": "asked to delete",
        "app:retention:update": "changed retention or hold",
        "app:trail:view": "opened the audit trail",
        "app:integrity:violation": "integrity check failed",
        "app:data:export": "exported everything",
        "app:self:start": "the app started",
    }
)

PATH_WORDS = MappingProxyType(
    {
        "/number": "Number",
        "/title": "Title",
        "/kind": "Kind",
        "/project": "Project",
        "/reference": "Reference",
        "/version": "Version",
        "/fileName": "File",
        "/mediaType": "Type",
        "/size": "Size in bytes",
        "/sha256": "SHA-256",
        "/state": "State",
        "/folder": "Folder",
        "/hold": "Legal hold",
        "/id": "Id",
        "/annotation": "Remark",
        "/place": "Where",
        "/resolved": "Settled",
        "/step": "Step",
        "/meaning": "Meaning",
        "/covers": "Covers",
        "/secondFactor": "Second factor",
        "/recoveryCodes": "Recovery codes left",
        "/components": "Components used",
        "/signature": "Envelope SHA-256",
        "/reviewers": "Reviewer",
        "/address": "From address",
        "/onBehalfOf": "On behalf of",
        "/rights": "Rights",
        "/sessions": "Live sessions",
        "/suspended": "Suspended",
        "/enrolment": "Enrolment record",
        "/verifiedBy": "Verified by",
        "/verifiedOn": "Verified on",
        "/personnel": "Personnel number",
        "/request": "Request",
        "/asked": "Asked for",
        "/confirmed": "Confirmed",
        "/done": "Done",
        "/askedBy": "Asked by",
        "/confirmedBy": "Confirmed by",
        "/notBefore": "Not before",
        "/losses": "Open losses",
        "/name": "Name",
        "/mail": "Mail",
        "/dn": "Directory name",
        "/account": "Account",
        "/sub": "Directory id",
        "/roles": "Roles",
    }
)

ROLE_WORDS = MappingProxyType(
    {
        "reader": "Reader",
        "author": "Author",
        "reviewer": "Reviewer",
        "approver": "Approver",
        "publisher": "Publisher",
        "administrator": "Administrator",
    }
)

# What a grant or a training record can be about; a role of the same name as a right is the role.
NAME_WORDS = MappingProxyType(
    {
        **ROLE_WORDS,
        "view": "Right to read",
        "annotate": "Right to remark",
        "review": "Right to review",
        "approve": "Right to approve",
        "publish": "Right to publish",
        "administer": "Right to administer",
    }
)

RIGHT_WORDS = MappingProxyType(
    {
        "view": "Read",
        "author": "Write",
        "annotate": "Remark",
        "review": "Review",
        "approve": "Approve",
        "publish": "Publish",
        "administer": "Administer",
    }
)

STATE_WORDS = MappingProxyType(
    {
        "draft": "Draft",
        "in_review": "In review",
        "reviewed": "Reviewed",
        "approved": "Approved",
        "published": "Published",
        "superseded": "Superseded",
        "withdrawn": "Withdrawn",
        "rejected": "Rejected",
    }
)

PART_WORDS = MappingProxyType(
    {
        "description": "its page",
        "content": "its content",
        "trail": "its trail",
        "rendition": "as a signed copy",
        "evidence": "the evidence of a signature",
        "proof": "the proof of an entry",
        "reviews": "the reviews of its trail",
    }
)

MEANING_WORDS = MappingProxyType(
    {
        "authorship": "Authorship",
        "review": "Review",
        "approval": "Approval",
        "publication": "Publication",
        "rejection": "Rejection",
        "withdrawal": "Withdrawal",
        "revocation": "Revocation",
        "trail-review": "Trail review",
    }
)


def next_words(latest: Version, standing: Standing, session: Session) -> str:
    """Return who is next, for somebody who is not."""
    waiting = [reviewer.name for reviewer in standing.reviewers if not reviewer.done]
    if latest.state is State.DRAFT:
        return f"{latest.author_name} can send this version to review."
    if latest.state is State.IN_REVIEW:
        return f"Waits for the review of {', '.join(waiting)}."
    if latest.state is State.REJECTED:
        return "This version was rejected. A new version starts again as a draft."
    if session.sub == latest.author and latest.state in {State.REVIEWED, State.APPROVED}:
        return "Somebody else has to decide: nobody approves or publishes their own version."
    return {
        State.REVIEWED: "Waits for somebody who approves.",
        State.APPROVED: "Waits for somebody who publishes.",
        State.PUBLISHED: "This is the effective version.",
        State.WITHDRAWN: "This version is withdrawn from use.",
    }.get(latest.state, "")
