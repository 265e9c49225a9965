import pytest

from localcluster import relay


def test_the_first_label_is_the_tenant():
    assert relay.namespace_of("acme-pharma.cloister.localhost") == "tenant-acme-pharma"


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "cloister.localhost",
        ".cloister.localhost",
        "a.b.cloister.localhost",
        "acme.example.com",
        "-acme.cloister.localhost",
        "acme-.cloister.localhost",
        "a/b.cloister.localhost",
        f"{'a' * 64}.cloister.localhost",
    ],
)
def test_no_other_name_leads_anywhere(host):
    with pytest.raises(relay.NoSuchTenantError):
        relay.namespace_of(host)
