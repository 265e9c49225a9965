"""The words that pages use for what the records call by code."""

from types import MappingProxyType

ACTION_WORDS = MappingProxyType(
    {
        "app:session:login": "signed in",
        "app:session:failure": "could not sign in",
        "app:session:logout": "signed out",
        "app:session:expire": "was signed out",
        "app:session:revoke": "was signed out by the system",
        "app:account:enrol": "was enrolled for signing",
        "app:account:update": "was updated from the directory",
        "app:access:deny": "was refused",
        "app:document:create": "created the document",
        "app:document:list": "looked at the list",
        "app:document:read": "opened",
        "app:document:update": "added a version",
        "app:document:export": "downloaded",
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
        "/address": "From address",
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

PART_WORDS = MappingProxyType({"description": "its page", "content": "its content", "trail": "its trail"})
