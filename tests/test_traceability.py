"""docs/traceability.md is what the tests say."""

from pathlib import Path

from tools import traceability


def test_the_committed_page_names_the_clauses_and_tests_that_there_are():
    text = traceability.page(traceability.named_tests(traceability.TESTS), {})
    committed = traceability.PAGE.read_text(encoding="utf-8")
    hint = "run python tools/traceability.py"
    assert traceability.without_results(committed) == traceability.without_results(text), hint


def test_the_table_has_each_acceptance_test_once():
    assert [row.number for row in traceability.TABLE] == list(range(1, 62))


def test_names_are_read_from_sources_and_results_from_reports(tmp_path: Path):
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_x.py").write_text(
        "def test_at01_at02_one():\n    pass\n\nasync def test_at02_two(x):\n    pass\n\ndef test_format03_is_none():\n    pass\n"
    )
    found = traceability.named_tests(folder)
    assert found == {
        1: ["tests/test_x.py::test_at01_at02_one"],
        2: ["tests/test_x.py::test_at01_at02_one", "tests/test_x.py::test_at02_two"],
    }
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.test_x" name="test_at02_two[a]"/>'
        '<testcase classname="tests.test_x" name="test_at02_two[b]"><failure/></testcase>'
        '<testcase classname="tests.test_x" name="test_at01_at02_one"><skipped/></testcase></testsuite></testsuites>'
    )
    outcomes = traceability.results([report])
    assert outcomes == {"tests/test_x.py::test_at02_two": "failed", "tests/test_x.py::test_at01_at02_one": "skipped"}
    text = traceability.page(found, outcomes)
    assert "1 failed, 1 skipped |" in text
    assert "- AT-03 (" in text
    assert traceability.without_results(text) == traceability.without_results(traceability.page(found, {}))
