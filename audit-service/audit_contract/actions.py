"""The closed set of actions. Grammar: `source:subject:action`; the source is the entry's `src.kind`.

A new action is a new line here, with its meaning; there are no free strings. Bodies that only read are marked so: an
outcome may be recorded alone for them. Every other act on the outside is an intent first and an outcome after it.
"""

from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What was done, one line of meaning each."""

    # The operator, on Kubernetes.
    OBJECT_CREATE = "operator:object:create"  # an object that did not exist is made
    OBJECT_APPLY = "operator:object:apply"  # an object is brought to what is desired (first time, change or drift)
    OBJECT_DELETE = "operator:object:delete"  # an object is removed
    OBJECT_ADOPT = "operator:object:adopt"  # an object that existed is taken over or given back to its tenant
    OBJECT_SCALE = "operator:object:scale"  # a workload's replicas are changed
    OBJECT_DRIFT = "operator:object:drift"  # an object was found changed or gone, by whom if known (reads)
    # The operator, on Vault.
    VAULT_KEY_CREATE = "operator:vault-key:create"  # a transit key is made
    VAULT_KEY_CONFIGURE = "operator:vault-key:configure"  # a transit key's settings are changed
    VAULT_KEY_ROTATE = "operator:vault-key:rotate"  # a transit key gets a new version
    VAULT_KEY_DELETE = "operator:vault-key:delete"  # a transit key is destroyed with all versions
    VAULT_POLICY_WRITE = "operator:vault-policy:write"  # a policy is created or changed
    VAULT_POLICY_DELETE = "operator:vault-policy:delete"  # a policy is removed
    VAULT_ROLE_WRITE = "operator:vault-role:write"  # a login role is created or changed
    VAULT_ROLE_DELETE = "operator:vault-role:delete"  # a login role is removed
    # The operator, on a tenant's PostgreSQL.
    DATABASE_CREATE = "operator:database:create"  # a database is made in the tenant's server
    DATABASE_CONFIGURE = "operator:database:configure"  # a server setting or extension is changed
    DATABASE_DELETE = "operator:database:delete"  # a tenant's database server and its files are removed
    DATABASE_ROLE_CREATE = "operator:database-role:create"  # a role is made
    DATABASE_ROLE_ALTER = "operator:database-role:alter"  # a role's rights are changed
    DATABASE_ROLE_ROTATE = "operator:database-role:rotate"  # a role's password is changed
    DATABASE_ROLE_DELETE = "operator:database-role:delete"  # a role is removed
    # The operator, on object storage.
    BUCKET_CREATE = "operator:bucket:create"  # a bucket is made, with its object lock
    BUCKET_CONFIGURE = "operator:bucket:configure"  # a bucket's policy, retention or life cycle is changed
    BUCKET_DELETE = "operator:bucket:delete"  # a bucket is emptied and removed
    BUCKET_USER_CREATE = "operator:bucket-user:create"  # a storage user or access key is made
    BUCKET_USER_ROTATE = "operator:bucket-user:rotate"  # a storage user's secret is changed
    BUCKET_USER_DELETE = "operator:bucket-user:delete"  # a storage user or access key is removed
    # The operator, on credentials, certificates and backups.
    CREDENTIALS_CREATE = "operator:credentials:create"  # a secret is made and stored
    CREDENTIALS_ROTATE = "operator:credentials:rotate"  # a secret is replaced by a new one
    CERTIFICATE_ISSUE = "operator:certificate:issue"  # a TLS certificate is issued or renewed
    BACKUP_RUN = "operator:backup:run"  # a backup is started and its result observed
    BACKUP_DELETE = "operator:backup:delete"  # a backup is removed, its retention over
    BACKUP_VERIFY = "operator:backup:verify"  # a backup was restored elsewhere and compared
    # The operator, on a tenant's life.
    LOG_CREATE = "operator:log:create"  # the tenant's audit log was asked for
    TENANT_ONBOARD = "operator:tenant:onboard"  # a tenant gets its id and its record; the outcome: it is ready
    TENANT_UPDATE = "operator:tenant:update"  # a tenant's specification of a new generation is taken up
    TENANT_SUSPEND = "operator:tenant:suspend"  # a tenant's workloads are stopped
    TENANT_RESUME = "operator:tenant:resume"  # a suspended tenant's workloads are started
    TENANT_RETAIN = "operator:tenant:retain"  # a deleted tenant is stopped and everything it has is kept
    TENANT_RESTORE = "operator:tenant:restore"  # a retained tenant, or one from a backup, is taken up again
    TENANT_UPGRADE = "operator:tenant:upgrade"  # a tenant's app goes to another release
    TENANT_QUALIFY = "operator:tenant:qualify"  # an installation qualification was run, with its result
    HOLD_PLACE = "operator:hold:place"  # a legal hold begins
    HOLD_RELEASE = "operator:hold:release"  # a legal hold ends
    # The operator, on taking a tenant down.
    OFFBOARDING_REQUEST = "operator:offboarding:request"  # an offboarding was asked for
    OFFBOARDING_APPROVE = "operator:offboarding:approve"  # a person's approval is counted
    OFFBOARDING_REFUSE = "operator:offboarding:refuse"  # an approval or the whole was refused, with the reason
    OFFBOARDING_CANCEL = "operator:offboarding:cancel"  # the offboarding was withdrawn in its grace period
    OFFBOARDING_EXPORT = "operator:offboarding:export"  # the tenant's data was exported and read back
    OFFBOARDING_DESTROY = "operator:offboarding:destroy"  # one part of the tenant is destroyed
    OFFBOARDING_PROVE = "operator:offboarding:prove"  # the absence of one part was observed
    OFFBOARDING_CERTIFY = "operator:offboarding:certify"  # the certificate of destruction was signed
    # The operator, on what it saw and on itself.
    RESIDENCY_OBSERVE = "operator:residency:observe"  # where pods, volumes, backups and keys lie, and whether rightly
    ISOLATION_OBSERVE = "operator:isolation:observe"  # what a probe could and could not reach
    ADMISSION_ABSENT = "operator:admission:absent"  # an object of ours is not as any admission entry says (reads)
    WEBHOOK_OBSERVE = "operator:webhook:observe"  # the webhook is gone, altered or whole again (reads)
    OPERATOR_START = "operator:self:start"  # an operator process began, with its image and configuration
    OPERATOR_STOP = "operator:self:stop"  # an operator process ended in order
    # Admission: who asked the API server for what, with old and new specification.
    RESOURCE_CREATE = "admission:resource:create"  # an object of our kinds is asked for
    RESOURCE_UPDATE = "admission:resource:update"  # an object of our kinds is to change
    RESOURCE_DELETE = "admission:resource:delete"  # an object of our kinds is to be deleted
    RESOURCE_REFUSE = "admission:resource:refuse"  # such a request was refused, with the reason
    # Jobs in a tenant's namespace.
    JOB_BACKUP = "job:backup:run"  # a backup job ran, with what it wrote
    JOB_RESTORE = "job:restore:run"  # a restore job ran, with what it read
    JOB_EXPORT = "job:export:write"  # an export job wrote the documents
    JOB_PROBE = "job:isolation:probe"  # an isolation probe ran, with what it could reach
    # The app: sessions and people.
    SESSION_LOGIN = "app:session:login"  # a person signed in
    SESSION_PROVE = "app:session:prove"  # a signed-in person proved themself at the sign-in provider again
    SESSION_LOGOUT = "app:session:logout"  # a person signed out
    SESSION_FAILURE = "app:session:failure"  # a sign-in failed
    SESSION_EXPIRE = "app:session:expire"  # a session ended by idling, by age or by the limit on sessions
    SESSION_REVOKE = "app:session:revoke"  # a session was ended by someone else
    ACCOUNT_LOCK = "app:account:lock"  # an account was locked after failures
    ACCOUNT_UNLOCK = "app:account:unlock"  # an account was unlocked
    ACCOUNT_ENROL = "app:account:enrol"  # a person's identity was verified for signing
    ACCOUNT_UPDATE = "app:account:update"  # a person's attributes, second factor or training record changed
    ACCESS_DENY = "app:access:deny"  # an act was refused for lack of authority
    # The app: documents.
    DOCUMENT_CREATE = "app:document:create"  # a document's first version is stored
    DOCUMENT_READ = "app:document:read"  # a version's content was shown or fetched (reads)
    DOCUMENT_LIST = "app:document:list"  # documents were listed or searched (reads)
    DOCUMENT_UPDATE = "app:document:update"  # metadata is changed or a new version is stored
    DOCUMENT_EXPORT = "app:document:export"  # a copy left the system
    DOCUMENT_PRINT = "app:document:print"  # a rendition for printing was made
    DOCUMENT_ARCHIVE = "app:document:archive"  # a document is retired
    DOCUMENT_DELETE = "app:document:delete"  # a document past its retention is destroyed, or that was refused
    DOCUMENT_VERIFY = "app:document:verify"  # stored bytes were compared with their hash
    INTEGRITY_VIOLATION = "app:integrity:violation"  # stored bytes differ from their hash, or do not open
    ANNOTATION_CREATE = "app:annotation:create"  # a remark is made
    ANNOTATION_UPDATE = "app:annotation:update"  # a remark is changed
    ANNOTATION_RESOLVE = "app:annotation:resolve"  # a remark is settled
    ANNOTATION_DELETE = "app:annotation:delete"  # a remark is withdrawn
    TRAIL_VIEW = "app:trail:view"  # a person opened a record's audit trail (reads)
    TRAIL_REVIEW = "app:trail:review"  # a person reviewed a record's audit trail, with the result
    # The app: workflow and signatures.
    WORKFLOW_START = "app:workflow:start"  # a version is sent on its way
    WORKFLOW_ASSIGN = "app:workflow:assign"  # a task is given to a person
    WORKFLOW_TRANSITION = "app:workflow:transition"  # a version goes from one state to the next
    WORKFLOW_REFUSE = "app:workflow:refuse"  # a step out of order or without authority was refused
    WORKFLOW_CANCEL = "app:workflow:cancel"  # a workflow is ended before its end
    SIGNATURE_CREATE = "app:signature:create"  # a person signed, with the meaning and the components used
    SIGNATURE_FAILURE = "app:signature:failure"  # a signing failed
    SIGNATURE_REVOKE = "app:signature:revoke"  # a signature is declared void by a new record
    SIGNATURE_VERIFY = "app:signature:verify"  # a signature was checked, with the result (reads)
    # The app: authority and administration.
    GRANT_CREATE = "app:grant:create"  # a role or right is given
    GRANT_UPDATE = "app:grant:update"  # a role or right is changed
    GRANT_REVOKE = "app:grant:revoke"  # a role or right is taken
    GRANT_REVIEW = "app:grant:review"  # access rights were reviewed, with the result
    GRANT_OVERDUE = "app:grant:overdue"  # the review of access rights is overdue
    TRAINING_RECORD = "app:training:record"  # a person's training for a role or right was recorded
    TRAINING_LAPSE = "app:training:lapse"  # a training record's time is over
    DELEGATION_OFFER = "app:delegation:offer"  # a person offers another to sign a meaning on their behalf
    DELEGATION_ACCEPT = "app:delegation:accept"  # the other accepted
    DELEGATION_REVOKE = "app:delegation:revoke"  # a delegation ended: revoked, declined, or its time was over
    LETTER_RECORD = "app:letter:record"  # the certification of 11.100(c) was sent, with date and reference
    LOSS_REPORT = "app:loss:report"  # a credential was reported lost; the person's access is suspended
    LOSS_RESTORE = "app:loss:restore"  # access was restored after a loss
    TWO_PERSON_REQUEST = "app:two-person:request"  # an act that needs two administrators was asked for
    TWO_PERSON_CONFIRM = "app:two-person:confirm"  # another administrator confirmed it
    TWO_PERSON_REFUSE = "app:two-person:refuse"  # it was refused, withdrawn, or objected to
    TWO_PERSON_DO = "app:two-person:do"  # it took effect, its cool-off being over
    TWO_PERSON_SEE = "app:two-person:see"  # the person it was done to has read of it
    SETTING_UPDATE = "app:setting:update"  # a setting of the app is changed, or that was refused
    POLICY_PUBLISH = "app:policy:publish"  # an accountability policy's new version is published
    POLICY_ACCEPT = "app:policy:accept"  # a person accepted a policy's version
    RETENTION_UPDATE = "app:retention:update"  # a record's retention class is changed
    DATA_EXPORT = "app:data:export"  # many records left the system at once
    SCHEMA_MIGRATE = "app:schema:migrate"  # the app's database schema went to another version
    SECURITY_ALERT = "app:security:alert"  # the security unit was told, with the answer
    APP_START = "app:self:start"  # an app process began, with its image and configuration
    APP_STOP = "app:self:stop"  # an app process ended in order
    # An auditor, through a program that can write.
    AUDIT_REVIEW = "auditor:log:review"  # an auditor reviewed the log, with the result
    # The audit service itself. No client can send these.
    SELF_LOG_CREATE = "audit:log:create"  # the log's first entry: its identity, place, retention and keys
    KEY_ANNOUNCE = "audit:key:announce"  # the keys that sign from here on, signed still by those before
    KEY_ACTIVATE = "audit:key:activate"  # the keys that were announced sign from this entry on
    VALUE_ERASE = "audit:value:erase"  # a value beside an entry was erased, by whom and why
    CHECKPOINT_RECORD = "audit:checkpoint:record"  # another log's checkpoint, in the platform's log
    WRITER_START = "audit:writer:start"  # a process became this installation's one writer
    LOG_READ = "audit:log:read"  # a log was exported, or an auditor began to read it, with which token


SERVICE_SOURCE: Final = "audit"
"""The source that is the audit service itself."""
