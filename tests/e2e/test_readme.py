"""What README shows for the local cluster exists and behaves as it says, and a second demo changes nothing."""

import re
import shlex
import sys
import time
from datetime import timedelta

import pytest
import yaml

from tests.e2e.support.local import KUBECONFIG, ROOT, cloister, read, run, until
from tests.support.kubectl import kubectl

pytestmark = pytest.mark.e2e
README = (ROOT / "README.md").read_text()
TENANTS = ("acme-pharma", "globex-bio")
CHILDREN = (
    "serviceaccount,role,rolebinding,configmap,networkpolicy,resourcequota,limitrange,persistentvolumeclaim,service,"
    "statefulset,deployment,cronjob,poddisruptionbudget,secret"
)
OURS = ("regions,tenantclasses", *(f"{kind}/{name}" for kind in ("tenant", "tenantrecord") for name in TENANTS))
QUICK = timedelta(seconds=60)


def shown(*, language: str = "console") -> list[str]:
    """Return README's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Return the words of every command that README shows, without comments and leading settings of variables."""
    lines = [line[2:] for block in shown() for line in block.splitlines() if line.startswith("$ ")]
    lines += re.findall(r"`((?:cloister|kubectl|make|eval) [^`]+)`", README)
    parsed = [shlex.split(re.sub(r"\$\([^)]*\)", "x", line), comments=True) for line in lines]
    return [[word for at, word in enumerate(words) if at or "=" not in word] for words in parsed]


def test_every_command_that_readme_shows_of_cloister_is_understood():
    told = [words for words in map(_bare, commands()) if words[:1] == ["cloister"]]
    assert len(told) >= 8, f"README shows too few commands, or they were not found: {told}"
    overview = run("cloister", "--help").expect().out
    for words in told:
        group = [word for word in words[1:3] if re.fullmatch(r"[a-z]+", word)]
        assert re.search(rf"^\W*{group[0]}\b", overview, re.MULTILINE), f"`cloister --help` does not list {group[0]}"
        known = _help(group)
        used = [word for word in words if word.startswith("-")]
        missing = [word for word in used if not re.search(rf"(?<![\w-]){re.escape(word)}\b", known)]
        assert not missing, f"{' '.join(words)}: its help does not know {missing}"
        needed = set(re.findall(r"(--[a-z-]+)[^\n]*\[required\]", known)) - set(used)
        assert not needed, f"README shows `{' '.join(words)}`, which ends with an error: it leaves out {sorted(needed)}"


def _bare(words: list[str]) -> list[str]:
    return words[1:] if words and words[0].startswith("KUBECONFIG") else words


def _help(group: list[str]) -> str:
    found = run("cloister", *group, "--help")
    return (found if found.code == 0 else run("cloister", group[0], "--help").expect()).out


def test_every_make_target_and_file_that_readme_names_exists():
    targets = {words[1] for words in commands() if words[0] == "make" and not words[1].startswith("-")}
    assert {"demo", "test", "down"} <= targets
    listed = run("make", "help").expect().out
    for target in targets:
        assert re.search(rf"^\W*(\x1b\[1m)?{target}\b", listed, re.MULTILINE), f"`make` does not list {target}"
    links = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(
        r"(?<![\w/…])((?:charts|crds|examples|docs)/[\w./-]*)", README
    )
    absent = sorted({link for link in links if "://" not in link and not (ROOT / link).exists()})
    assert not absent, f"README names what is not there: {absent}"


def test_the_tenant_that_readme_shows_is_accepted():
    (text,) = shown(language="yaml")
    body = yaml.safe_load(text)
    body["metadata"]["name"] = "as-in-readme"
    body["spec"]["region"] = "eu-central-1"
    said = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=body)
    assert "as-in-readme created" in said
    classes = {item["metadata"]["name"] for item in read("tenantclasses")["items"]}
    assert body["spec"]["class"] in classes, f"README's class is none of {classes}"


def test_env_is_evaluated_by_a_shell_and_points_at_the_cluster():
    lines = run("make", "-s", "env").expect().out
    script = 'eval "$1" && command -v kubectl helm cloister && kubectl get tenants -o name && echo "$KUBECONFIG"'
    said = run("bash", "-c", script, "bash", lines, without=("KUBECONFIG",)).expect().out
    for name in TENANTS:
        assert f"tenant.cloister.dev/{name}" in said
    assert said.splitlines()[-1] == KUBECONFIG


@pytest.fixture
def ready():
    """Have both tenants Ready, whatever was going on before."""
    for name in TENANTS:
        cloister("wait", name, "--timeout", "120", seconds=130).expect()


def test_describe_says_what_is_promised_and_what_was_observed(ready):
    said = cloister("describe", "acme-pharma").expect().out
    for words in (
        "Acme Pharma (acme-pharma): Ready",
        "Promises",
        "Isolation proven",
        "Where its bytes lie",
        "eu-central-1",
    ):
        assert words in said, f"`cloister describe acme-pharma` does not say {words!r}:\n{said}"
    assert not re.search(r"^App\s+not yet", said, re.MULTILINE), (
        f"Ready, and yet its app is said not to be there:\n{said}"
    )
    assert cloister("describe", "nobody-at-all").expect(3).err, "no word about a tenant that does not exist"


def test_plan_ends_with_0_when_nothing_would_change_and_2_after_an_edit(ready, tmp_path):
    for name in TENANTS:
        said = cloister("plan", "-f", f"examples/{name}.yaml").expect(0).out
        assert "Nothing would change" in said
    body = yaml.safe_load((ROOT / "examples" / "acme-pharma.yaml").read_text())
    body["spec"]["backup"]["schedule"] = "30 3 * * *"
    file = tmp_path / "edited.yaml"
    file.write_text(yaml.safe_dump(body))
    before = read("tenant", "acme-pharma")["metadata"]["generation"]
    said = cloister("plan", "-f", str(file)).expect(2).out
    assert "30 3 * * *" in said, said
    assert "0 2 * * *" in said, f"the plan does not show what it was before:\n{said}"
    assert read("tenant", "acme-pharma")["metadata"]["generation"] == before, "a plan changed the Tenant"


@pytest.mark.timeout(600)
def test_a_second_demo_changes_nothing_and_is_quick():
    run(
        sys.executable, "-m", "tools.demo", seconds=420
    ).expect()  # the first one here: the cluster is what this tree says
    _at_rest()
    before, began = _versions(), time.monotonic()
    said = run(sys.executable, "-m", "tools.demo", seconds=180).expect().out
    took = timedelta(seconds=time.monotonic() - began)
    after = _versions()
    assert after == before, (
        f"a second demo changed {sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))}"
    )
    assert took < QUICK, f"a second demo took {took.total_seconds():.0f} s"
    for words in (
        "acme-pharma",
        "ana.ruiz",
        "https://acme-pharma.cloister.localhost:8443",
        "cloister describe acme-pharma",
    ):
        assert words in said, f"the demo does not end with {words!r}"


def _versions() -> dict[str, str]:
    """Return the revision of the release, the generation of what people wrote, and the version of each child."""
    found = {"the release": run("helm", "history", "cloister", "-n", "cloister-system").expect().out}
    for item in [one for what in OURS for one in _listed(what)]:
        found[f"{item['kind']} {item['metadata']['name']}"] = (
            f"{item['metadata']['uid']} {item['metadata']['generation']}"
        )
    for name in TENANTS:
        for item in read(CHILDREN, "-n", f"tenant-{name}", "-l", f"cloister.dev/tenant={name}")["items"]:
            meta = item["metadata"]
            found[f"{item['kind']} {meta['namespace']}/{meta['name']}"] = f"{meta['uid']} {_own(item)}"
    assert len(found) > 40, f"too few children seen: {sorted(found)}"
    return found


def _listed(what: str):
    found = read(what)
    return found["items"] if found["kind"] == "List" else [found]


def _own(item) -> str:
    """Return the version of an object; of what the cluster's controllers report on by themselves, only what is asked for."""
    if item["kind"] in {"CronJob", "ResourceQuota", "Deployment", "StatefulSet", "PodDisruptionBudget"}:
        managed = [entry for entry in item["metadata"].get("managedFields", []) if not entry.get("subresource")]
        return f"{item['metadata'].get('generation')} {[(entry['manager'], entry.get('time')) for entry in managed]}"
    return item["metadata"]["resourceVersion"]


def _at_rest() -> None:
    """Wait until nothing is being rolled out any more."""
    until("both tenants Ready", lambda: all(_ready(name) for name in TENANTS), 180, every=2)
    last = _versions()

    def same() -> bool:
        nonlocal last
        now = _versions()
        rest, last = now == last, now
        return rest

    until("two equal looks at everything, five seconds apart", same, 90, every=5)


def _ready(name: str) -> bool:
    found = read("tenant", name)
    ready = {item["type"]: item for item in found["status"]["conditions"]}["Ready"]
    return ready["status"] == "True" and ready["observedGeneration"] == found["metadata"]["generation"]
