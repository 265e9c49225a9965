"""The store of what the watches saw."""

from dataclasses import replace

from tenant_operator.clients.store import GONE_KEPT, Store
from tenant_operator.stack.part import ObjectKey


def pod(name: str, version: int) -> dict:
    meta = {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def key(name: str) -> ObjectKey:
    return ObjectKey("v1", "Pod", "n", name)


def test_deletions_are_remembered_for_a_day_and_not_for_good():
    store = Store()
    for number, name in enumerate(("one", "two", "three", "four"), 1):
        store.put(pod(name, number))
    store.remove(pod("one", 5))
    store.remove(pod("two", 6))
    store.gone[key("one")] = replace(store.gone[key("one")], at=store.gone[key("one")].at - 2 * GONE_KEPT)
    store.remove(pod("three", 7))
    assert set(store.gone) == {key("two"), key("three")}
    store.gone[key("two")] = replace(store.gone[key("two")], at=store.gone[key("two")].at - 2 * GONE_KEPT)
    assert store.replace("Pod", [], 8) == {key("four")}
    assert set(store.gone) == {key("three"), key("four")}


def test_a_late_answer_about_an_object_that_is_gone_is_no_news_and_its_successor_is():
    store = Store()
    store.put(pod("one", 1))
    store.remove(pod("one", 2))
    assert not store.put(pod("one", 3))
    after = pod("one", 4)
    after["metadata"]["uid"] = "another"
    assert store.put(after)
    assert key("one") not in store.gone
