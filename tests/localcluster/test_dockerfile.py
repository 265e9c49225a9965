import pytest

from localcluster import dockerfile
from localcluster.errors import LocalClusterError
from localcluster.images import ON_REQUEST, wanted_targets
from localcluster.paths import REPOSITORY

TEXT = """\
# a comment
ARG BASE_IMAGE=x
FROM ${BASE_IMAGE} AS base
RUN one \\
 # a comment inside
 && two

FROM base AS build
COPY pyproject.toml requirements.lock ./
RUN --mount=type=bind,source=scripts/build.sh,target=/b.sh sh /b.sh

FROM base AS app
COPY --from=build --chown=1:1 /out /out
COPY ["src dir", "/src"]

FROM scratch AS other
COPY other /other
"""


@pytest.fixture
def context(tmp_path):
    for name in ("pyproject.toml", "requirements.lock", "scripts/build.sh", "src dir/a.py", "other"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_a_target_takes_along_the_stages_it_builds_on_and_copies_from():
    parsed = dockerfile.parse(TEXT)
    assert [stage.name for stage in parsed.chain("app")] == ["base", "build", "app"]
    assert [stage.name for stage in parsed.chain("other")] == ["other"]


def test_results_are_the_stages_nobody_builds_on():
    assert dockerfile.parse(TEXT).final_targets() == ["app", "other"]


def test_inputs_are_the_copied_and_mounted_files_of_the_whole_chain(context):
    texts, files = dockerfile.parse(TEXT).inputs("app", context)
    names = [str(path.relative_to(context)) for path in files]
    assert names == ["pyproject.toml", "requirements.lock", "scripts/build.sh", "src dir/a.py"]
    assert any("two" in text for text in texts)
    assert "ARG BASE_IMAGE=x" in texts


def test_compiled_files_are_no_inputs(context):
    (context / "src dir" / "__pycache__").mkdir()
    (context / "src dir" / "__pycache__" / "a.pyc").write_text("")
    _, files = dockerfile.parse(TEXT).inputs("app", context)
    assert not [path for path in files if path.suffix == ".pyc"]


def test_a_change_elsewhere_is_no_input(context):
    before = dockerfile.parse(TEXT).inputs("app", context)
    (context / "other").write_text("changed")
    assert dockerfile.parse(TEXT).inputs("app", context) == before


def test_an_unknown_target_is_told_with_those_that_exist():
    with pytest.raises(LocalClusterError, match="no target nothing; it has base, build, app, other"):
        dockerfile.parse(TEXT).chain("nothing")


def test_a_copied_file_that_is_missing_is_named(context):
    (context / "other").unlink()
    with pytest.raises(LocalClusterError, match="copies other"):
        dockerfile.parse(TEXT).inputs("other", context)


def test_the_images_on_request_are_targets_of_the_repositorys_dockerfile_and_built_only_then():
    parsed = dockerfile.parse((REPOSITORY / "Dockerfile").read_text())
    assert set(parsed.final_targets()) >= ON_REQUEST
    assert not ON_REQUEST & set(wanted_targets(parsed, ()))
    assert set(wanted_targets(parsed, ON_REQUEST)) == set(parsed.final_targets())
