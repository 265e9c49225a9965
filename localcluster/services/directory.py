"""The customers' directory: sample people, one subtree a tenant, nothing visible across."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from localcluster import facts
from localcluster.services.common import Surroundings, namespace, secret

NAMESPACE = "directory"
SUFFIX = "dc=cloister,dc=local"
GROUPS = ("authors", "reviewers", "approvers", "administrators", "readers")


@dataclass(frozen=True)
class Person:
    """Somebody who signs in."""

    tenant: str
    uid: str
    name: str
    group: str

    @property
    def dn(self) -> str:
        """Where the person stands in the directory."""
        return f"uid={self.uid},ou=people,ou={self.tenant},{SUFFIX}"


PEOPLE = (
    Person("acme-pharma", "ana.ruiz", "Ana Ruiz", "authors"),
    Person("acme-pharma", "ben.okafor", "Ben Okafor", "reviewers"),
    Person("acme-pharma", "chloe.martin", "Chloe Martin", "approvers"),
    Person("acme-pharma", "dev.patel", "Dev Patel", "administrators"),
    Person("globex-bio", "eva.lind", "Eva Lind", "authors"),
    Person("globex-bio", "felix.brandt", "Felix Brandt", "reviewers"),
    Person("globex-bio", "grace.kim", "Grace Kim", "approvers"),
    Person("globex-bio", "hugo.silva", "Hugo Silva", "administrators"),
)
TENANTS = tuple(dict.fromkeys(person.tenant for person in PEOPLE))

_HEAD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd/slapd.pid
TLSCACertificateFile /tls/ca.crt
TLSCertificateFile /tls/tls.crt
TLSCertificateKeyFile /tls/tls.key
TLSProtocolMin 3.3
# Nobody without a name, and no password over a line in the clear.
disallow bind_anon
require authc
security simple_bind=128
database mdb
maxsize 134217728
directory /data
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
rootpw {rootpw}
index objectClass,uid,mail,cn,member eq
"""
_TENANT_RULES = """\
access to dn.subtree="{base}" attrs=userPassword
  by anonymous auth
  by self =w
  by * none
access to dn.subtree="{base}"
  by dn.exact="cn=reader,{base}" read
  by self read
  by * none
"""


def install(around: Surroundings) -> list[tuple[str, str, str]]:
    """Install OpenLDAP, and hand each tenant's bind account to the operator's namespace."""
    around.api.apply(namespace(NAMESPACE))
    tls = around.certificate("openldap", NAMESPACE)
    config = secret("openldap-config", NAMESPACE, {"slapd.conf": _configuration(around), "people.ldif": _ldif(around)})
    around.api.apply(tls, config)
    for tenant in TENANTS:
        values = {
            "bindDN": f"cn=reader,ou={tenant},{SUFFIX}",
            "password": around.secret_value(f"directory-reader-{tenant}"),
            "ca.crt": around.ca(),
        }
        name = f"{tenant}-directory"
        around.api.apply(secret(name, facts.SYSTEM_NAMESPACE, values, {"cloister.dev/tenant": tenant}))
    image = around.images["openldap"].name
    around.api.apply(*around.manifest("openldap", tls, config, IMAGE=image))
    return [("Deployment", NAMESPACE, "openldap")]


def password(around: Surroundings) -> str:
    """Give the one password of all the sample people of this installation."""
    return around.secret_value("people-password", 9)


def hashed(value: str, salt: bytes) -> str:
    """Hash a password as slapd stores it; the salt is fixed, so that a second run changes nothing."""
    # OpenLDAP's own scheme; the directory stands in for a customer's, and holds sample people only.
    mixed = hashlib.sha1(value.encode() + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(mixed + salt).decode()


def _configuration(around: Surroundings) -> str:
    root = around.secret_value("directory-admin")
    head = _HEAD.format(suffix=SUFFIX, rootpw=hashed(root, b"cloister"))
    rules = "".join(_TENANT_RULES.format(base=f"ou={tenant},{SUFFIX}") for tenant in TENANTS)
    return head + rules + "access to * by * none\n"


def _ldif(around: Surroundings) -> str:
    secret_word = password(around)
    entries = [_entry(SUFFIX, ("dcObject", "organization"), dc="cloister", o="Cloister sample directory")]
    for tenant in TENANTS:
        base = f"ou={tenant},{SUFFIX}"
        reader = around.secret_value(f"directory-reader-{tenant}")
        entries += [
            _entry(base, ("organizationalUnit",), ou=tenant),
            _entry(f"ou=people,{base}", ("organizationalUnit",), ou="people"),
            _entry(f"ou=groups,{base}", ("organizationalUnit",), ou="groups"),
            _entry(
                f"cn=reader,{base}",
                ("organizationalRole", "simpleSecurityObject"),
                cn="reader",
                userPassword=hashed(reader, tenant.encode()),
            ),
        ]
        people = [person for person in PEOPLE if person.tenant == tenant]
        entries += [_person(person, secret_word) for person in people]
        for group in GROUPS:
            # A group of names must have a member; the bind account stands in where nobody else does.
            members = [person.dn for person in people if person.group == group] or [f"cn=reader,{base}"]
            lines = "".join(f"member: {member}\n" for member in members)
            entries.append(_entry(f"cn={group},ou=groups,{base}", ("groupOfNames",), cn=group) + lines)
    return "\n".join(entries)


def _person(person: Person, word: str) -> str:
    given, _, family = person.name.partition(" ")
    return _entry(
        person.dn,
        ("inetOrgPerson",),
        uid=person.uid,
        cn=person.name,
        givenName=given,
        sn=family,
        mail=f"{person.uid}@{person.tenant}.example",
        userPassword=hashed(word, person.uid.encode()),
    )


def _entry(name: str, classes: tuple[str, ...], **attributes: str) -> str:
    lines = [f"dn: {name}", *(f"objectClass: {item}" for item in classes)]
    lines += [f"{key}: {value}" for key, value in attributes.items()]
    return "\n".join(lines) + "\n"
