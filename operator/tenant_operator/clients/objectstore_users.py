"""Users of a store and what they may do: versitygw's admin requests for the user, S3's own bucket policy for the rights.

S3 has no request that makes a user, so this is the one place that knows a product (github.com/versity/versitygw,
s3api/controllers/admin.go). A store without these requests is Refused, with words: no tenant gets the Region's own key instead.
"""

import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from minio.error import S3Error

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.objectstore_calls import ABSENT, Connection
from tenant_operator.errors import Refused, Retryable

_OK = 300
_SERVER_ERROR = 500
_BUCKET_ACTIONS = ("s3:ListBucket", "s3:GetBucket")


def user_exists(store: Connection, user: str) -> bool:
    """Tell whether the store's list of users holds one."""
    listed = ET.fromstring(_admin(store, "/list-users", {}))  # noqa: S314 - from the store we trust with the backups
    return any(element.text == user for element in listed.iter() if element.tag.rpartition("}")[2] == "Access")


def write_user(store: Connection, user: str, secret: str) -> None:
    """Create a user that owns nothing and may do nothing by itself, or give it another secret."""
    if user_exists(store, user):
        body = f"<MutableProps><Secret>{escape(secret)}</Secret><Role>user</Role></MutableProps>"
        _admin(store, "/update-user", {"access": user}, body)
    else:
        body = f"<Account><Access>{escape(user)}</Access><Secret>{escape(secret)}</Secret><Role>user</Role></Account>"
        _admin(store, "/create-user", {}, body)


def delete_user(store: Connection, user: str) -> None:
    """Remove a user; one that is gone is fine."""
    if user_exists(store, user):
        _admin(store, "/delete-user", {"access": user})


def _admin(store: Connection, path: str, query: dict[str, str], body: str = "") -> bytes:
    answer = store.request("PATCH", path, query, body.encode())
    if answer.status < _OK:
        return answer.data
    # The body of a refusal names the error; that of a request holds a secret, and is never shown.
    what = f"user request {path}: {store.where} answered {answer.status}: {_code(answer.data)}"
    if answer.status >= _SERVER_ERROR and answer.status != _SERVER_ERROR + 1:
        raise Retryable(what, reason=Reason.OBJECT_STORE_UNREACHABLE)
    hint = "the Region's credentials must be those of an administrator of a store with versitygw's admin requests"
    raise Refused(f"{what}; {hint}", reason=Reason.OBJECT_STORE_REFUSED)


def _code(data: bytes) -> str:
    try:
        return ET.fromstring(data).findtext("Code") or "no code"  # noqa: S314 - likewise
    except ET.ParseError:
        return "not an S3 error"


def policy(bucket: str, user: str, actions: Sequence[str]) -> dict[str, Any]:
    """Return the bucket policy that gives one user the given actions in one bucket, and nobody else anything."""

    def statement(sid: str, resource: str, allowed: list[str]) -> dict[str, Any]:
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": [user]},
            "Action": allowed,
            "Resource": [resource],
        }

    on_bucket = [action for action in actions if action.startswith(_BUCKET_ACTIONS)]
    on_objects = [action for action in actions if action not in on_bucket]
    statements = [
        statement("bucket", f"arn:aws:s3:::{bucket}", on_bucket),
        statement("objects", f"arn:aws:s3:::{bucket}/*", on_objects),
    ]
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one["Action"]]}


def allowed_actions(store: Connection, bucket: str, user: str, actions: Sequence[str]) -> list[str]:
    """Return the user's actions as the bucket's policy has them; `["another policy"]` when it is not exactly ours."""
    try:
        found = json.loads(store.s3.get_bucket_policy(bucket))
    except S3Error as error:
        if error.code in ABSENT:
            return []
        raise
    return sorted(actions) if _plain(found) == _plain(policy(bucket, user, actions)) else ["another policy"]


def _plain(found: Any) -> Any:
    """Return a policy with its lists sorted: stores give them back in any order."""
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(found, list):
        return sorted((_plain(value) for value in found), key=str)
    return found


def write_policy(store: Connection, bucket: str, user: str, actions: Sequence[str]) -> None:
    """Replace the bucket's policy."""
    store.s3.set_bucket_policy(bucket, json.dumps(policy(bucket, user, actions)))


def secret_works(store: Connection, bucket: str) -> bool:
    """Tell whether this connection's own key opens the bucket: the only proof of a secret that discloses none."""
    try:
        next(iter(store.s3.list_objects(bucket, prefix="proof-of-access/")), None)
    except S3Error as error:
        if error.code in {"AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"}:
            return False
        raise
    return True
