"""The chart's objects, rendered once: as it is by default, and with everything turned on."""

from typing import Any

import pytest

from tests.support.helm import template

PDFA_JUDGE = "example.com/cloister/pdfa-judge@sha256:" + "0" * 64
LOUD = (
    f"--set=images.pdfaJudge={PDFA_JUDGE}",
    "--set=monitoring.serviceMonitor.enabled=true",
    "--set=monitoring.prometheusRule.enabled=true",
    "--set=monitoring.dashboard.enabled=true",
    "--set=certificates.certManagerIssuer=letsencrypt",
    "--set=ingress.className=nginx",
    "--set=witness.enabled=true",
    '--set-json=rbac.approvers=[{"kind":"Group","name":"cloister:approvers"}]',
    '--set-json=egress={"namespaces":[{"name":"vault","ports":[8200]}],"cidrs":[{"cidr":"203.0.113.0/24","ports":[443]}]}',
)


@pytest.fixture(scope="session")
def plain() -> list[dict[str, Any]]:
    return template()


@pytest.fixture(scope="session")
def loud() -> list[dict[str, Any]]:
    return template(*LOUD)
