from ipaddress import IPv4Address

from cryptography import x509

from localcluster import pki


def names(pair):
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def test_a_good_certificate_is_kept_and_a_changed_claim_renews_it(tmp_path):
    authority = pki.Authority(tmp_path, "cluster")
    pair = authority.issue("node", "node-a", names=("node-a",), addresses=(IPv4Address("10.89.0.11"),))
    first = pair.certificate.read_bytes()
    again = pki.Authority(tmp_path, "cluster").issue(
        "node", "node-a", names=("node-a",), addresses=(IPv4Address("10.89.0.11"),)
    )
    assert again.certificate.read_bytes() == first
    authority.issue("node", "node-a", names=("node-a", "other"))
    assert pair.certificate.read_bytes() != first
    assert names(pair) == ["node-a", "other"]


def test_groups_are_organisations_and_the_key_is_private(tmp_path):
    pair = pki.Authority(tmp_path, "cluster").issue("user-alice", "alice", groups=("cloister:approvers",))
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=alice,O=cloister:approvers"
    assert pair.key.stat().st_mode & 0o777 == 0o600


def test_another_authority_renews_what_the_old_one_signed(tmp_path):
    pair = pki.Authority(tmp_path, "cluster").issue("user", "alice")
    before = pair.certificate.read_bytes()
    for file in tmp_path.glob("cluster-ca.*"):
        file.unlink()
    pki.Authority(tmp_path, "cluster").issue("user", "alice")
    assert pair.certificate.read_bytes() != before
    assert pki.Authority(tmp_path, "cluster").issue("user", "alice") == pair


def test_the_token_key_is_made_once(tmp_path):
    first = pki.service_account_keys(tmp_path).key.read_bytes()
    assert pki.service_account_keys(tmp_path).key.read_bytes() == first
