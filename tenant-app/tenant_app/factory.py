"""Puts the app together: the only place that constructs adapters and services."""

from dataclasses import dataclass
from datetime import timedelta

from tenant_app.adapters.audit import ServiceAuditLog
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.adapters.oidc import OidcProvider
from tenant_app.adapters.ports import AuditLog, Directory, IdentityProvider, Keys, Sink
from tenant_app.adapters.sinks import sink_of
from tenant_app.adapters.vault import VaultKeys
from tenant_app.domain.fields import Definition as Field
from tenant_app.domain.identity import SessionRules
from tenant_app.domain.lockout import LockoutRules, curves
from tenant_app.domain.second_factor import FactorRules, Policy
from tenant_app.domain.signing import PeriodRules
from tenant_app.domain.workflow import Definition
from tenant_app.domain.workflow_file import definition_of
from tenant_app.services.access_review import AccessReview
from tenant_app.services.administration import Administration
from tenant_app.services.alerts import Alerts
from tenant_app.services.annotations import Annotations
from tenant_app.services.authority import Authority, AuthorityRules
from tenant_app.services.authority_watch import AuthorityWatch
from tenant_app.services.candidates import Candidates
from tenant_app.services.columns import Columns
from tenant_app.services.components import Components
from tenant_app.services.delegations import Delegations
from tenant_app.services.directory_watch import DirectoryWatch
from tenant_app.services.documents import Documents
from tenant_app.services.enrolment import RESET, Enrolment
from tenant_app.services.evidence import Evidence
from tenant_app.services.export import Export
from tenant_app.services.filing import Filing
from tenant_app.services.grants import Grants
from tenant_app.services.health import Health
from tenant_app.services.identity_records import Enrolments
from tenant_app.services.inspection import Inspection
from tenant_app.services.keyring import Keyring
from tenant_app.services.losses import Losses
from tenant_app.services.oidc import Oidc
from tenant_app.services.parts import Parts
from tenant_app.services.pdf_seal import PdfSeal
from tenant_app.services.people import People
from tenant_app.services.policies import Policies
from tenant_app.services.printing import Printing
from tenant_app.services.progress import Progress
from tenant_app.services.readiness import Readiness
from tenant_app.services.recorder import Recorder
from tenant_app.services.relay import Relay
from tenant_app.services.retention import Retention
from tenant_app.services.rows import Rows
from tenant_app.services.scrub import Scrub
from tenant_app.services.search import Search
from tenant_app.services.second_factor import SecondFactor
from tenant_app.services.sessions import Sessions
from tenant_app.services.signing import Signing
from tenant_app.services.trail_review import TrailReview
from tenant_app.services.two_person import TwoPerson
from tenant_app.settings import Settings
from tenant_app.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The outside, as the services see it."""

    keys: Keys
    directory: Directory
    audit: AuditLog
    sinks: tuple[Sink, ...] = ()
    provider: IdentityProvider | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything, constructed."""

    settings: Settings
    ports: Ports
    database: Database
    columns: Columns
    recorder: Recorder
    sessions: Sessions
    oidc: Oidc
    factor: SecondFactor
    enrolment: Enrolment
    documents: Documents
    annotations: Annotations
    progress: Progress
    signing: Signing
    trail_review: TrailReview
    alerts: Alerts
    fields: tuple[Field, ...]
    search: Search
    filing: Filing
    retention: Retention
    scrub: Scrub
    administration: Administration
    authority: Authority
    grants: Grants
    policies: Policies
    enrolments: Enrolments
    delegations: Delegations
    candidates: Candidates
    two_person: TwoPerson
    losses: Losses
    access_review: AccessReview
    authority_watch: AuthorityWatch
    relay: Relay
    watch: DirectoryWatch
    printing: Printing
    evidence: Evidence
    export: Export
    health: Health

    async def close(self) -> None:
        """Let go of every connection."""
        await self.ports.audit.close()
        await self.database.close()


def real_ports(settings: Settings, *, service_account: str = "app") -> Ports:
    """Return the ports to Vault, the directory and the audit service as one of the tenant's service accounts."""
    return Ports(
        keys=VaultKeys(settings.vault, role=_role(settings, service_account)),
        directory=LdapDirectory(settings.ldap),
        audit=ServiceAuditLog(settings.audit, settings.system, service_account=service_account),
        sinks=tuple(sink_of(section) for section in settings.alerts),
        provider=provider_of(settings),
    )


def provider_of(settings: Settings) -> IdentityProvider | None:
    """Return the tenant's OpenID provider, None when it has none."""
    if settings.oidc is None:
        return None
    return OidcProvider(settings.oidc, redirect_uri=f"https://{settings.hostname}/oidc/callback")


def build(settings: Settings, ports: Ports) -> App:
    """Construct the app on these ports."""
    tenant = str(settings.tenant.id)
    database = Database(settings.database)
    columns = Columns(database, ports.keys, tenant)
    recorder = Recorder(database, columns, max_lag_seconds=settings.audit.max_lag_seconds)
    rules = SessionRules(
        idle=timedelta(seconds=settings.sessions.idle_seconds),
        absolute=timedelta(seconds=settings.sessions.absolute_seconds),
        max_concurrent=settings.sessions.max_concurrent,
    )
    authority = Authority(database, recorder, _authority_rules(settings))
    people = People(database, columns, ports.directory)
    documents = Documents(
        database,
        columns,
        recorder,
        ports.keys,
        Inspection(settings.uploads),
        tenant=tenant,
        max_bytes=settings.uploads.max_bytes,
        retention=timedelta(days=settings.records.retention_days),
    )
    search = Search(database, columns, recorder, tenant=tenant)
    alerts = Alerts(database, columns, recorder, list(ports.sinks), tenant=tenant)
    keyring = Keyring(ports.keys)
    definition = workflow_of(settings)
    delegations = Delegations(database, columns, recorder, authority, people, definition)
    candidates = Candidates(database, ports.directory, authority, people)
    progress = Progress(database, columns, keyring, definition, delegations, tenant=tenant)
    lockout = _lockout_rules(settings)
    factor = SecondFactor(database, columns, recorder, _factor_rules(settings))
    sessions = Sessions(database, columns, recorder, ports.directory, factor, alerts, rules, lockout)
    components = Components(database, recorder, ports.directory, alerts, factor, _period_rules(settings), lockout)
    parts = Parts(
        database=database,
        columns=columns,
        recorder=recorder,
        keys=ports.keys,
        keyring=keyring,
        directory=ports.directory,
        documents=documents,
        progress=progress,
        readiness=Readiness(authority.rules),
        delegations=delegations,
        candidates=candidates,
        rows=Rows(columns, tenant),
        tenant=tenant,
        system={"app_image": settings.system.image, "app_version": settings.system.version},
    )
    two_person = TwoPerson(
        database,
        columns,
        recorder,
        alerts,
        people,
        cool_off=timedelta(seconds=settings.two_person.cool_off_seconds),
    )
    enrolment = Enrolment(database, columns, recorder, factor, components, issuer=settings.tenant.display_name)
    two_person.register(RESET, "Reset the second factor", enrolment.remove)
    losses = Losses(database, columns, recorder, alerts, people, two_person)
    losses.register(enrolment.remove)
    every = timedelta(days=settings.access_review.every_days)
    access_review = AccessReview(parts, components, authority, people, alerts, every)
    seal = PdfSeal(
        database,
        ports.keys,
        keyring,
        tenant=tenant,
        display_name=settings.tenant.display_name,
        reason="Unchanged since it left the document platform",
    )
    printing = Printing(parts, seal, display_name=settings.tenant.display_name, zone=settings.records.time_zone)
    return App(
        settings=settings,
        ports=ports,
        database=database,
        columns=columns,
        recorder=recorder,
        sessions=sessions,
        oidc=Oidc(database, columns, ports.directory, sessions, ports.provider, settings.oidc),
        factor=factor,
        enrolment=enrolment,
        documents=documents,
        annotations=Annotations(database, columns, recorder),
        progress=progress,
        signing=Signing(parts, components),
        trail_review=TrailReview(parts, components),
        alerts=alerts,
        fields=tuple(Field(**field.model_dump()) for field in settings.records.metadata),
        search=search,
        filing=Filing(database, columns, recorder, search, tenant=tenant),
        retention=Retention(database, columns, recorder),
        scrub=Scrub(database, columns, recorder, alerts),
        administration=Administration(database, columns, recorder, authority, people),
        authority=authority,
        grants=Grants(database, columns, recorder, authority, people),
        policies=Policies(database, columns, recorder, people),
        enrolments=Enrolments(database, columns, recorder, people),
        delegations=delegations,
        candidates=candidates,
        two_person=two_person,
        losses=losses,
        access_review=access_review,
        authority_watch=AuthorityWatch(database, columns, authority, delegations, two_person, access_review),
        relay=Relay(database, columns, recorder, ports.audit),
        watch=DirectoryWatch(database, columns, recorder, ports.directory, rules),
        printing=printing,
        evidence=Evidence(parts, printing, ports.audit),
        export=Export(database, columns, recorder, documents, printing, keyring, tenant=tenant),
        health=Health(database, ports.keys, ports.audit, ports.directory),
    )


def workflow_of(settings: Settings) -> Definition:
    """Return the tenant's workflow. Raises OSError when its file cannot be read, ValueError naming everything wrong with it."""
    path = settings.workflow.file
    raw = path.read_bytes() if path is not None else None
    return definition_of(raw, settings.signing.meanings, where=str(path) if path else "workflow")


def _authority_rules(settings: Settings) -> AuthorityRules:
    return AuthorityRules(
        required=frozenset(settings.training.required),
        longest=timedelta(days=settings.grants.longest_days),
        enrolment=settings.signing.enrolment,
    )


def _factor_rules(settings: Settings) -> FactorRules:
    section = settings.second_factor
    return FactorRules(policy=Policy(section.policy), retest_after=timedelta(days=section.retest_days))


def _lockout_rules(settings: Settings) -> LockoutRules:
    section = settings.sessions.lockout
    return LockoutRules(
        curves=curves(
            sign_in_failures=section.sign_in_failures,
            sign_in_wait=timedelta(seconds=section.sign_in_wait_seconds),
            signing_failures=section.signing_failures,
            signing_wait=timedelta(seconds=section.signing_wait_seconds),
        )
    )


def _period_rules(settings: Settings) -> PeriodRules:
    signing = settings.signing
    age = signing.max_password_age_days
    return PeriodRules(
        idle=timedelta(seconds=signing.idle_seconds),
        longest=timedelta(seconds=signing.longest_seconds),
        password_age=timedelta(days=age) if age is not None else None,
    )


def _role(settings: Settings, service_account: str) -> str:
    # docs/contracts.md names the Vault roles cloister-ID-<service account>; the file names the app's.
    role = settings.vault.role
    if service_account != "app" and role.endswith("-app"):
        return f"{role.removesuffix('app')}{service_account}"
    return role
