"""`migrate`, `serve` and `export` as the pod runs them: separate processes, a real Vault, the real configuration file."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.tenant_app.support import vault as real
from tests.tenant_app.support.processes import free_port

ENVIRONMENT = {**os.environ, "PYTHONPATH": "tenant-app:audit-service"}


@pytest.fixture
def config_file(fresh, tmp_path, ground):
    found = fresh.model_dump(mode="json", by_alias=True)
    found["listen"]["port"] = free_port()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(found))
    return path


def run(path, *arguments) -> subprocess.CompletedProcess:
    environment = {**ENVIRONMENT, "CLOISTER_APP_CONFIG": str(path)}
    command = [sys.executable, "-m", "tenant_app", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def get(path, what: str) -> tuple[int, str]:
    config = json.loads(path.read_text())
    context = ssl.create_default_context(cafile=config["database"]["caFile"])
    request = urllib.request.Request(f"https://localhost:{config['listen']['port']}{what}")
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310  # https to ourselves
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.skipif(real.binary() is None, reason="the local cluster has not built Vault yet")
def test_the_commands_run_as_the_pod_runs_them(config_file, tmp_path):
    with real.vault(tmp_path / "vault") as vault:
        config = json.loads(config_file.read_text())
        config["vault"] |= {"address": vault.address, "tokenFile": str(vault.token_file), "caFile": None}
        config_file.write_text(json.dumps(config))
        migrated = run(config_file, "migrate")
        assert migrated.returncode == 0, migrated.stderr
        environment = {**ENVIRONMENT, "CLOISTER_APP_CONFIG": str(config_file)}
        process = subprocess.Popen(
            [sys.executable, "-m", "tenant_app", "serve"], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            for _ in range(300):
                try:
                    if get(config_file, "/healthz")[0] == 200:
                        break
                except OSError:
                    time.sleep(0.1)
            status, body = get(config_file, "/readyz")
            parts = json.loads(body)["parts"]
            assert (status, parts["vault"]["ok"], parts["database"]["ok"], parts["directory"]["ok"]) == (
                200,
                True,
                True,
                True,
            )
            assert parts["audit"] == {"ok": False, "needed": False, "problem": "audit_away"}
            assert "Sign in" in get(config_file, "/sign-in")[1]
            assert "cloister_app_requests_total" in get(config_file, "/metrics")[1]
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
        assert process.returncode in {0, -signal.SIGTERM}, log
        lines = [json.loads(line) for line in log.splitlines() if line.strip()]
        assert not any("traceback" in line for line in lines), log
        vault.root.write_data(
            "auth/jwt/role/cloister-x-export",
            data={"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["app"],
                  "bound_subject": "system:serviceaccount:tenant-x:app"},
        )  # fmt: skip
        out = tmp_path / "out"
        out.mkdir()
        exported = run(config_file, "export", "--out", str(out))
        assert exported.returncode == 0, exported.stderr
        assert json.loads((out / "documents.json").read_text())["documents"] == []
