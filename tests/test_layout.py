"""House rules that no tool enforces."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
HOUSES = ("operator/tenant_operator", "audit-service", "tenant-app", "localcluster", "tools")


def test_the_folder_operator_never_shadows_the_standard_library():
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_file_is_too_long_to_read_in_one_sitting():
    files = [file for house in HOUSES for file in (ROOT / house).rglob("*.py")]
    long = {str(file.relative_to(ROOT)): n for file in files if (n := len(file.read_text().splitlines())) > 400}
    assert not long


def test_the_chart_grants_no_wildcard_and_no_escalation():
    rendered = "\n".join(file.read_text() for file in (ROOT / "charts").rglob("*.yaml"))
    grants = re.findall(r"(?m)^\s*(?:- )?(?:verbs|resources|apiGroups):\s*(\[[^\]]*\])", rendered)
    assert grants
    words = {word.strip("\"' ") for grant in grants for word in grant.strip("[]").split(",")}
    assert not words & {"*", "escalate", "bind", "impersonate"}


def test_every_committed_yaml_example_parses():
    for file in (ROOT / "examples").glob("*.yaml"):
        assert [item for item in yaml.safe_load_all(file.read_text()) if item], file


def test_nothing_committed_names_a_path_of_a_developers_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    needle = "/work" + "/main"
    found = [name for name in listed if (ROOT / name).is_file() and needle.encode() in (ROOT / name).read_bytes()]
    assert not found


def test_every_condition_and_reason_is_documented():
    from tenant_operator.api.reasons import ConditionType, Reason

    text = (ROOT / "docs" / "conditions.md").read_text()
    assert not [word for word in (*ConditionType, *Reason) if f"`{word}`" not in text]
