"""`cloister audit restore`: the Job it runs, the service that stands still meanwhile, and how the end is told."""

import copy

import pytest

from tenant_operator.cli import audit_restore
from tenant_operator.cli.problems import Exit, ProblemError
from tests.support.command_line import cloister, kube  # noqa: F401

LABELS = {"app.kubernetes.io/name": "cloister", "app.kubernetes.io/component": "audit"}
DEPLOYMENT = {
    "metadata": {"name": "audit"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "serviceAccountName": "cloister-audit",
                "initContainers": [{"name": "migrate", "args": ["migrate"]}],
                "containers": [
                    {
                        "name": "audit",
                        "image": "localhost/cloister/audit:1",
                        "args": ["serve"],
                        "ports": [{"name": "https", "containerPort": 8443}],
                        "startupProbe": {"httpGet": {"path": "/healthz", "port": "https"}},
                        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "https"}},
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "https"}},
                        "volumeMounts": [{"name": "worm", "mountPath": "/var/run/cloister/audit-worm"}],
                    }
                ],
                "volumes": [{"name": "worm", "secret": {"secretName": "audit-worm", "optional": True}}],
            },
        },
    },
}


class FakeApi:
    """As much of an API server as a Deployment, its pod and a Job need."""

    def __init__(self, code=0):
        self.code, self.said, self.polls = code, [], 0
        self.running = [{"metadata": {"name": "audit-1"}, "status": {"phase": "Running"}}]
        self.job = None

    def call(self, method, path, body=None, *, kind="application/json", query=None):
        if path.endswith("/deployments/audit"):
            return copy.deepcopy(DEPLOYMENT)
        if path.endswith("/scale"):
            self.said.append(f"scale {body['spec']['replicas']}")
            assert kind == "application/merge-patch+json"
            return {}
        if method == "POST":
            assert "scale 0" not in self.said or not self.running, "the service still runs"
            self.said.append("job")
            self.job = body
            return {"metadata": {"name": "audit-restore-x"}}
        self.polls += 1
        return {"status": {"failed" if self.code else "succeeded": 1} if self.polls > 2 else {"active": 1}}

    def items(self, path, **query):
        if "job-name" in query["labelSelector"]:
            states = [{"name": "audit", "state": {"terminated": {"exitCode": self.code}}}]
            return [{"metadata": {"name": "audit-restore-x-1"}, "status": {"containerStatuses": states}}]
        found = [*self.running, {"metadata": {"name": "old"}, "status": {"phase": "Succeeded"}}]
        self.running = []
        return found

    def lines(self, path, **query):
        yield "platform: 12 entries [restored]"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(audit_restore, "_EVERY_SECONDS", 0.0)


def test_the_service_stands_still_while_the_job_restores_and_comes_back(capsys):
    api = FakeApi()
    audit_restore.restore(api, "eu-central-1", ["platform"], check=False)
    assert api.said == ["scale 0", "job", "scale 1"]
    spec = api.job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == ["restore", "--from", "eu-central-1", "--log", "platform"]
    assert [each["name"] for each in spec["initContainers"]] == ["migrate"]
    assert spec["restartPolicy"] == "Never"
    assert spec["serviceAccountName"] == "cloister-audit"
    assert not {"startupProbe", "livenessProbe", "ports"} & set(container)
    assert container["readinessProbe"]["tcpSocket"] == {"port": 8443}
    assert api.job["spec"]["template"]["metadata"]["labels"] == LABELS
    assert "12 entries [restored]" in capsys.readouterr().out


def test_a_check_leaves_the_service_alone_and_needs_no_database():
    api = FakeApi()
    audit_restore.restore(api, "eu-central-1", (), check=True)
    assert api.said == ["job"]
    spec = api.job["spec"]["template"]["spec"]
    assert spec["containers"][0]["args"] == ["restore", "--from", "eu-central-1", "--check", "--all"]
    assert "initContainers" not in spec


@pytest.mark.parametrize(("code", "words"), [(1, "tampered"), (2, "not whole"), (3, "refused"), (9, "ended with 9")])
def test_what_went_wrong_is_said_and_the_service_comes_back_all_the_same(code, words):
    api = FakeApi(code)
    with pytest.raises(ProblemError, match=words):
        audit_restore.restore(api, "eu-central-1", (), check=False)
    assert api.said[-1] == "scale 1"


def test_which_logs_must_be_said(cloister):  # noqa: F811
    for words in (["--from", "eu-central-1"], ["acme", "--all", "--from", "eu-central-1"], ["acme"]):
        assert cloister("audit", "restore", *words)[0] == Exit.USAGE
