"""`cloister audit`: which log, with whose token, and how a check is told."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import re
import time

import pytest

from audit_contract.report import Exit as Verdict
from audit_contract.report import Report
from tenant_operator.cli import audit
from tenant_operator.cli.problems import Exit, ProblemError
from tests.support.command_line import cloister, kube  # noqa: F401


def record(kube, name="acme-pharma"):
    spec = {
        "tenant": name,
        "id": "1111",
        "region": "eu-central-1",
        "state": "Retained",
        "since": "2026-11-20T00:00:00Z",
    }
    return kube.put(
        {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantRecord", "metadata": {"name": name}, "spec": spec}
    )


def test_a_tenants_log_carries_its_id_also_after_the_tenant_is_gone(kube):
    record(kube)
    assert audit.log_of(kube, "acme-pharma") == "tenant-1111"
    assert audit.log_of(kube, "platform") == "platform"
    with pytest.raises(ProblemError, match="there is no tenant nobody"):
        audit.log_of(kube, "nobody")


def test_the_token_is_short_lived_and_for_the_audit_service_only(kube, monkeypatch):
    asked = []

    def call(method, path, body):
        asked.append((method, path, body["spec"]))
        return {"status": {"token": "t"}}

    monkeypatch.setattr(kube, "call", call)
    assert audit._token(kube) == "t"
    path = "/api/v1/namespaces/cloister-audit/serviceaccounts/platform-auditor/token"
    assert asked == [("POST", path, {"audiences": ["cloister-audit"], "expirationSeconds": 600})]


def whole() -> Report:
    return Report(
        log="cloister.localhost/audit/tenant-1111",
        size=41,
        proven=41,
        root="ab" * 32,
        sources=3,
        values=12,
        signed_by=["ed25519"],
    )


def test_a_whole_log_says_how_many_entries_all_proven(cloister, monkeypatch):
    monkeypatch.setattr(audit, "fetch", lambda _kube, _tenant: b"bundle")
    monkeypatch.setattr(audit, "verify_bundle", lambda _data, _keys: whole())
    code, out, _ = cloister("audit", "verify", "acme-pharma")
    assert code == 0
    assert "✓ acme-pharma: 41 entries, all proven." in out
    assert "pin yours with --key" in out


def test_with_keys_of_ones_own_nothing_is_left_to_say(cloister, monkeypatch):
    seen = []

    def verify(_data, keys):
        seen.extend(keys)
        report = whole()
        report.trusted = True
        return report

    monkeypatch.setattr(audit, "fetch", lambda _kube, _tenant: b"bundle")
    monkeypatch.setattr(audit, "verify_bundle", verify)
    _, out, _ = cloister("audit", "verify", "acme-pharma", "--key", "a", "--key", "b")
    assert seen == ["a", "b"]
    assert "--key" not in out


def test_a_damaged_log_names_the_entry_and_is_1(cloister, monkeypatch):
    report = whole()
    report.proven = 40
    report.add(Verdict.TAMPERED, 7, "leaf differs")
    monkeypatch.setattr(audit, "fetch", lambda _kube, _tenant: b"bundle")
    monkeypatch.setattr(audit, "verify_bundle", lambda _data, _keys: report)
    code, out, err = cloister("audit", "verify", "acme-pharma")
    assert code == Exit.FAILED
    assert "✗ tampered: entry 7: leaf differs" in out
    assert re.search(r"40 of 41 entries proven, 1 problem", err)
    assert "incident" in err


def test_a_file_is_checked_without_a_cluster(cloister, tmp_path):
    file = tmp_path / "x.bundle"
    file.write_bytes(b"no bundle")
    code, out, _ = cloister("audit", "check", str(file))
    assert code == Exit.FAILED
    assert "bad_input" in out
    assert cloister("audit", "check", str(tmp_path / "none"))[0] == Exit.NOT_FOUND


def test_without_kubectl_it_says_what_is_missing(kube, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProblemError) as caught, audit._forwarded(kube):
        pass
    assert caught.value.code is Exit.UNREACHABLE
    assert "kubectl is needed" in caught.value.message


def test_browsing_says_where_and_with_what_and_holds_the_way_open_however_much_is_read(
    kube, monkeypatch, tmp_path, capsys
):
    record(kube)
    done = tmp_path / "all-was-read"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        '#!/bin/sh\necho "Forwarding from 127.0.0.1:4711 -> 8443"\n'
        "i=0; while [ $i -lt 9000 ]; do echo 'Handling connection for 4711'; i=$((i + 1)); done\n"
        f"touch {done}\nexec sleep 60\n"
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    asked = []

    def call(_method, path, body):
        asked.append((path, body["spec"]["expirationSeconds"]))
        return {"status": {"token": "a-token-of-an-hour"}}

    monkeypatch.setattr(kube, "call", call)

    def until():
        for _ in range(600):
            if done.exists():
                return
            time.sleep(0.05)
        raise AssertionError("kubectl waits for somebody to read what it says")

    monkeypatch.setattr(audit, "log_of", lambda _kube, _tenant: "tenant-1111")
    audit.browse(kube, "acme-pharma", until)
    out = capsys.readouterr().out
    assert "https://localhost:4711/inspect/tenant-1111" in out
    assert "a-token-of-an-hour\n" in out
    assert asked == [("/api/v1/namespaces/cloister-audit/serviceaccounts/platform-auditor/token", 3600)]
