"""Sample people. Their passwords are their names and -password."""

PEOPLE = {
    "alice": ("Alice Author", ["authors"]),
    "andre": ("André Autor", ["authors"]),
    "rosa": ("Rosa Reviewer", ["reviewers"]),
    "ravi": ("Ravi Reviewer", ["reviewers"]),
    "ana": ("Ana Approver", ["approvers"]),
    "pia": ("Pia Publisher", ["publishers"]),
    "rita": ("Rita Reader", ["readers"]),
    "max": ("Max Manager", ["administrators"]),
    "olga": ("Olga Manager", ["administrators"]),
    "omar": ("Omar Allrounder", ["authors", "reviewers", "approvers", "publishers"]),
    "nora": ("Nora Nobody", []),
}
BASE = "ou=acme-pharma,dc=cloister,dc=local"
GROUPS = ["authors", "reviewers", "approvers", "publishers", "readers", "administrators"]


def group_dn(group: str) -> str:
    return f"cn={group},ou=groups,{BASE}"


def person_dn(uid: str) -> str:
    return f"uid={uid},ou=people,{BASE}"


def password(uid: str) -> str:
    return f"{uid}-password"


def ldif() -> str:
    parts = [
        "dn: dc=cloister,dc=local\nobjectClass: dcObject\nobjectClass: organization\no: Cloister\ndc: cloister\n",
        (
            "dn: cn=reader,dc=cloister,dc=local\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
            "cn: reader\nuserPassword: reader-password\n"
        ),
        f"dn: {BASE}\nobjectClass: organizationalUnit\nou: acme-pharma\n",
        f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n",
        f"dn: ou=twins,{BASE}\nobjectClass: organizationalUnit\nou: twins\n",
        f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n",
    ]
    for uid, (name, _) in PEOPLE.items():
        parts.append(_person(person_dn(uid), uid, name))
    # Two entries for one name: nobody may be picked (AT-40).
    parts.extend(_person(f"uid=twin,ou={ou},{BASE}", "twin", "Tina Twin") for ou in ("people", "twins"))
    for group in GROUPS:
        members = [person_dn(uid) for uid, (_, groups) in PEOPLE.items() if group in groups]
        members += [f"uid=twin,ou=people,{BASE}"] if group == "readers" else []
        lines = "".join(f"member: {dn}\n" for dn in members)
        parts.append(f"dn: {group_dn(group)}\nobjectClass: groupOfNames\ncn: {group}\n{lines}")
    return "\n".join(parts)


def _person(dn: str, uid: str, name: str) -> str:
    given, _, family = name.partition(" ")
    return (
        f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {name}\nsn: {family}\ngivenName: {given}\n"
        f"displayName: {name}\nmail: {uid}@acme.example\ntitle: {family}\nuserPassword: {password(uid)}\n"
    )
