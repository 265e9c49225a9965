import hashlib
import io
import json
import tarfile

import pytest

from localcluster import ocilayout
from localcluster.errors import LocalClusterError

NAME = "localhost/cloister/app:1"


def put(folder, content):
    digest = hashlib.sha256(content).hexdigest()
    path = folder / "blobs" / "sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


@pytest.fixture
def layout(tmp_path):
    layers = [put(tmp_path, b"base layer"), put(tmp_path, b"code layer")]
    manifest = put(tmp_path, json.dumps({"config": put(tmp_path, b"{}"), "layers": layers}).encode())
    entry = {"mediaType": "m", **manifest, "annotations": {"org.opencontainers.image.ref.name": NAME}}
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [entry]}))
    return tmp_path, layers


def names(archive):
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        return {item.name for item in tar}


def test_an_image_is_found_by_its_whole_name(layout):
    assert ocilayout.find(layout[0], NAME).is_whole
    assert ocilayout.find(layout[0], "localhost/cloister/app:2") is None
    assert ocilayout.find(layout[0] / "nowhere", NAME) is None


def test_a_cut_blob_is_noticed(layout):
    folder, layers = layout
    (folder / "blobs/sha256" / layers[0]["digest"][7:]).write_bytes(b"base")
    assert not ocilayout.find(folder, NAME).is_whole


def test_a_node_is_given_only_the_layers_it_lacks(layout):
    folder, layers = layout
    image = ocilayout.find(folder, NAME)
    archive = io.BytesIO()
    ocilayout.write_archive(archive, image, NAME, {layers[0]["digest"]})
    found = names(archive)
    assert f"blobs/sha256/{layers[1]['digest'][7:]}" in found
    assert f"blobs/sha256/{layers[0]['digest'][7:]}" not in found
    assert {"index.json", "oci-layout"} <= found
    assert len(found) == 5, "the manifest and the configuration go along"


def test_a_layer_gone_from_the_cache_is_named(layout):
    folder, layers = layout
    image = ocilayout.find(folder, NAME)
    (folder / "blobs/sha256" / layers[0]["digest"][7:]).unlink()
    with pytest.raises(LocalClusterError, match=layers[0]["digest"][7:]):
        ocilayout.write_archive(io.BytesIO(), image, NAME, set())
