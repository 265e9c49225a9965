"""The admission webhook's stamp: it fits one object with one spec at one generation, and nobody else can make one."""

import copy

import pytest

from audit_contract.entry import uuid7
from tenant_operator.api.names import ANNOTATION_ADMISSION
from tenant_operator.stack import stamp
from tests.support.tenants import DERIVE, tenant_body

KEY = stamp.key_of(DERIVE)


def admitted(generation=3, **meta):
    item = copy.deepcopy(tenant_body())
    item["metadata"] |= {"generation": generation, **meta}
    made = stamp.make(KEY, item, uuid7(), generation)
    item["metadata"]["annotations"] = {ANNOTATION_ADMISSION: str(made)}
    return item


def test_what_was_admitted_has_no_fault_and_names_its_entry():
    item = admitted()
    assert stamp.fault(KEY, item) == ""
    assert stamp.genuine(KEY, item).entry in item["metadata"]["annotations"][ANNOTATION_ADMISSION]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda item: item["metadata"].pop("annotations"), "no stamp"),
        (lambda item: item["metadata"]["annotations"].update({ANNOTATION_ADMISSION: "v1:x"}), "no stamp"),
        (lambda item: item["spec"].update(displayName="Other"), "another specification"),
        (lambda item: item["metadata"].update(name="globex-bio"), "another specification"),
        (lambda item: item.update(kind="TenantClass"), "another specification"),
        (lambda item: item["metadata"].update(generation=4), "generation 3, the object is at 4"),
        (
            lambda item: item["metadata"].update(generation=5, deletionTimestamp="2026-11-23T00:00:00Z"),
            "generation 3, the object is at 5",
        ),
    ],
)
def test_every_change_past_the_webhook_is_a_fault(change, words):
    item = admitted()
    change(item)
    assert words in stamp.fault(KEY, item)


def test_another_installations_key_makes_no_stamp_of_ours():
    item = admitted()
    forged = stamp.make(b"x" * 32, item, uuid7(), 3)
    item["metadata"]["annotations"][ANNOTATION_ADMISSION] = str(forged)
    assert "not by the webhook" in stamp.fault(KEY, item)


def test_an_object_that_waits_for_somebodys_finalizer_is_still_as_it_was_admitted():
    item = admitted()
    item["metadata"] |= {"generation": 4, "deletionTimestamp": "2026-11-23T00:00:00Z"}
    assert stamp.fault(KEY, item) == ""


def test_a_name_made_by_the_api_server_after_the_stamp_keeps_it():
    item = copy.deepcopy(tenant_body())
    del item["metadata"]["name"]
    item["metadata"] |= {"generateName": "acme-", "generation": 1}
    item["metadata"]["annotations"] = {ANNOTATION_ADMISSION: str(stamp.make(KEY, item, uuid7(), 1))}
    item["metadata"]["name"] = "acme-x7k2p"
    assert stamp.fault(KEY, item) == ""
