"""veraPDF as a service in the tenant's namespace: there only when asked for, reachable by the app alone, reaching nothing."""

from dataclasses import replace

import pytest

from tenant_app.settings import Settings
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.stack import network, pdfa_judge
from tenant_operator.stack.app_config import config
from tenant_operator.stack.part import Context, ObjectKey, Observed
from tests.support.tenants import ACME, context, with_pdfa_judge

IMAGE = "localhost/cloister/pdfa-judge:1"
CLAIMED = {"pdfa": "claimed", "maxUpload": "100Mi"}
JUDGE = {"matchLabels": {"app.kubernetes.io/component": "pdfa-judge"}}
DEPLOYMENT = ObjectKey("apps/v1", "Deployment", ACME.namespace, "pdfa-judge")


def with_image(*, running: bool = True, **spec: object) -> Context:
    return with_pdfa_judge(context(running=running, records=CLAIMED, **spec))


def rendered(ctx: Context) -> dict[tuple[str, str], dict]:
    return {
        (item.manifest["kind"], item.manifest["metadata"]["name"]): item.manifest for item in pdfa_judge.desired(ctx)
    }


def policies(ctx: Context) -> dict[str, dict]:
    manifests = [item.manifest for item in network.desired(ctx)]
    return {item["metadata"]["name"]: item["spec"] for item in manifests if item["kind"] == "NetworkPolicy"}


def test_there_is_none_without_an_image_or_for_a_tenant_that_does_not_ask_for_pdfa():
    plain = context(records=CLAIMED)
    silent = replace(with_image(), spec=context().spec)
    for ctx in (plain, silent):
        assert list(pdfa_judge.desired(ctx)) == []
        assert list(pdfa_judge.teardown(ctx)) == list(pdfa_judge.proof(ctx, Observed())) == []
        assert "pdfa-judge" not in policies(ctx)
        assert policies(ctx)["allow-dns"]["podSelector"] == {}
        assert "pdfaJudgeUrl" not in config(ctx)["uploads"]
    assert Settings.model_validate(config(plain)).uploads.pdfa_for == ("*",)


def test_the_app_is_told_where_it_is_and_waits_longer_than_it_takes():
    uploads = Settings.model_validate(config(with_image())).uploads
    assert uploads.pdfa_judge_url == "https://pdfa-judge.tenant-acme-pharma.svc:8443/"
    assert str(uploads.pdfa_judge_ca_file) == config(with_image())["audit"]["caFile"]
    assert uploads.pdfa_judge_seconds > pdfa_judge.SECONDS


def test_only_the_app_reaches_it_and_it_reaches_nothing_not_even_dns():
    found = policies(with_image())
    assert found["pdfa-judge"] == {
        "podSelector": JUDGE,
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "app"}}}],
                "ports": [{"protocol": "TCP", "port": 8443}],
            }
        ],
    }
    assert {"to": [{"podSelector": JUDGE}], "ports": [{"protocol": "TCP", "port": 8443}]} in found["app"]["egress"]
    (rule,) = found["allow-dns"]["podSelector"]["matchExpressions"]
    assert rule == {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["pdfa-judge"]}
    # Every other policy that selects its pods by label selects others.
    others = [spec for name, spec in found.items() if name not in {"default-deny", "allow-dns", "pdfa-judge"}]
    assert not [spec for spec in others if spec["podSelector"] == JUDGE]


def test_its_pod_holds_no_token_and_no_secret_but_its_certificate_and_writes_to_memory_only():
    ctx = with_image()
    pod = rendered(ctx)["Deployment", "pdfa-judge"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "pdfa-judge"
    assert pod["automountServiceAccountToken"] is False
    assert pod["volumes"] == [
        {"name": "tls", "secret": {"secretName": "pdfa-judge-tls", "defaultMode": 0o440}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "116Mi"}},
    ]
    (judge,) = pod["containers"]
    assert judge["image"] == IMAGE
    assert judge["securityContext"]["readOnlyRootFilesystem"] is True
    assert judge["args"] == [
        "--cert-file=/var/run/cloister/tls/tls.crt",
        "--key-file=/var/run/cloister/tls/tls.key",
        "--seconds=50",
        f"--max-bytes={100 * 1024 * 1024}",
    ]
    assert judge["resources"]["limits"] == {"cpu": "1", "memory": "1132Mi"}
    assert "env" not in judge
    assert rendered(ctx)["ServiceAccount", "pdfa-judge"]["automountServiceAccountToken"] is False


def test_its_program_takes_the_arguments_that_the_operator_gives_it():
    from tenant_app.judge import _parser

    (judge,) = rendered(with_image())["Deployment", "pdfa-judge"]["spec"]["template"]["spec"]["containers"]
    parsed = _parser().parse_args(judge["args"])
    assert (parsed.port, parsed.seconds, parsed.program) == (8443, 50, ["verapdf", "{flavour}"])


def test_a_stopped_tenant_runs_none():
    assert rendered(with_image(running=False))["Deployment", "pdfa-judge"]["spec"]["replicas"] == 0
    assert list(pdfa_judge.checks(with_image(running=False), Observed())) == []


@pytest.mark.parametrize(("available", "ready"), [(0, False), (1, True)])
def test_the_app_is_not_ready_while_its_judge_is_not(available, ready):
    seen = Observed(objects={DEPLOYMENT: {"metadata": {}, "status": {"availableReplicas": available}}})
    findings = list(pdfa_judge.checks(with_image(), seen))
    assert (findings == []) is ready
    for finding in [*findings, *pdfa_judge.checks(with_image(), Observed())]:
        assert (finding.type, finding.status, finding.reason) == (
            ConditionType.APP_READY,
            "False",
            Reason.PROGRESSING,
        )
        assert finding.message.startswith("PDFs wait for their PDF/A validator: ")


def test_what_runs_is_compared_with_what_was_specified():
    labels = {"app.kubernetes.io/component": "pdfa-judge"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"image": IMAGE}]}}
    (line,) = pdfa_judge.proof(with_image(), Observed(other={ObjectKey("v1", "Pod", ACME.namespace, "p"): pod}))
    assert line.holds
    (absent,) = pdfa_judge.proof(with_image(), Observed())
    assert not absent.holds
