"""Bundles as values: what is in the image, and which documents are refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.bundle import BundleError, Image, Reference, build, main, read

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"
REFERENCE = Reference("127.0.0.1:5000", "kubernaut/restart", "v1")


def task(name: str) -> dict[str, Any]:
    return {"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": name}, "spec": {"steps": []}}


def pipeline(*refs: dict[str, Any]) -> dict[str, Any]:
    tasks = [{"name": f"t{n}", "taskRef": ref} for n, ref in enumerate(refs)]
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "workflow"},
        "spec": {"tasks": tasks},
    }


def unpacked(image: Image) -> list[Any]:
    manifest = json.loads(image.manifest.content)
    blobs = {blob.digest: blob.content for blob in image.blobs}
    objects = []
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blobs[layer["digest"]]))) as tar:
            (member,) = tar.getmembers()
            content = tar.extractfile(member)
            assert content is not None
            objects.append(json.loads(content.read()))
    return objects


def test_each_object_is_one_layer_with_its_titles() -> None:
    image = build(REFERENCE, [pipeline(), task("restart")])
    layers = json.loads(image.manifest.content)["layers"]
    assert [layer["annotations"] for layer in layers] == [
        {
            "dev.tekton.image.apiVersion": "v1",
            "dev.tekton.image.kind": "pipeline",
            "dev.tekton.image.name": "workflow",
        },
        {"dev.tekton.image.apiVersion": "v1", "dev.tekton.image.kind": "task", "dev.tekton.image.name": "restart"},
    ]
    assert unpacked(image)[1] == task("restart")


def test_sizes_and_digests_are_those_of_the_blobs() -> None:
    image = build(REFERENCE, [task("a"), task("b")])
    manifest = json.loads(image.manifest.content)
    blobs = {blob.digest: len(blob.content) for blob in image.blobs}
    described = {d["digest"]: d["size"] for d in (*manifest["layers"], manifest["config"])}
    assert described == blobs


def test_the_same_content_has_the_same_digest_whatever_the_order_of_its_keys() -> None:
    reordered = dict(reversed(task("a").items()))
    assert build(REFERENCE, [task("a")]).manifest.digest == build(REFERENCE, [reordered]).manifest.digest
    assert build(REFERENCE, [task("a")]).manifest.digest != build(REFERENCE, [task("b")]).manifest.digest


def test_a_plain_reference_to_an_own_task_becomes_one_to_the_bundle() -> None:
    foreign, resolved = {"name": "elsewhere"}, {"resolver": "cluster", "params": []}
    source = pipeline({"name": "restart"}, foreign, resolved)
    published = unpacked(build(REFERENCE, [source, task("restart")]))[0]
    own, *others = (t["taskRef"] for t in published["spec"]["tasks"])
    assert own["resolver"] == "bundles"
    assert {p["name"]: p["value"] for p in own["params"]} == {
        "bundle": "127.0.0.1:5000/kubernaut/restart:v1",
        "name": "restart",
        "kind": "task",
    }
    assert others == [foreign, resolved]
    assert source["spec"]["tasks"][0]["taskRef"] == {"name": "restart"}, "the source is left alone"


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "0 objects"),
        ([task(f"t{n}") for n in range(21)], "21 objects"),
        ([task("a"), task("a")], "task a twice"),
        ([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}], "no Tekton object"),
        ([{"apiVersion": "tekton.dev/v1", "kind": "Task"}], "no Tekton object"),
    ],
)
def test_wrong_documents_are_refused_in_one_line(documents: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BundleError, match=message) as refused:
        build(REFERENCE, documents)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("127.0.0.1:5000/kubernaut/restart:v1", "http://127.0.0.1:5000/v2/kubernaut/restart"),
        ("localhost:5000/restart:v1", "http://localhost:5000/v2/restart"),
        ("[::1]:5000/restart", "http://[::1]:5000/v2/restart"),
        ("images.example/restart:v1", "https://images.example/v2/restart"),
        ("10.0.0.7:5000/restart:v1", "https://10.0.0.7:5000/v2/restart"),
    ],
)
def test_only_loopback_is_spoken_to_in_plain_http(text: str, base_url: str) -> None:
    assert Reference.parse(text).base_url == base_url


@pytest.mark.parametrize("text", ["restart", "127.0.0.1:5000/", "127.0.0.1:5000/Upper:v1", "h/x@sha256:00", "h/x:a b"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="no image reference"):
        Reference.parse(text)


def test_a_missing_file_is_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.yaml"), "--to", "127.0.0.1:5000/x:v1"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "No such file" in lines[0]


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\nb: {", encoding="utf-8")
    with pytest.raises(BundleError, match="no YAML") as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["restart", "failing"])
def test_every_sample_bundle_holds_the_pipeline_the_executor_asks_for_and_all_its_tasks(name: str) -> None:
    objects = unpacked(build(REFERENCE, read(SAMPLES / "bundles" / name)))
    (workflow,) = (o for o in objects if o["kind"] == "Pipeline")
    assert workflow["metadata"]["name"] == "workflow"
    assert all(t["taskRef"]["resolver"] == "bundles" for t in workflow["spec"]["tasks"])


@pytest.mark.parametrize("name", ["restart", "restart-again", "failing"])
def test_every_sample_execution_names_a_sample_bundle_and_only_parameters_it_has(name: str) -> None:
    spec = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))["spec"]
    bundle = Reference.parse(spec["workflowRef"]["containerImage"]).name.rpartition("/")[2]
    (workflow,) = (d for d in read(SAMPLES / "bundles" / bundle) if d["kind"] == "Pipeline")
    declared = {p["name"] for p in workflow["spec"]["params"]}
    assert {"TARGET_RESOURCE", *spec.get("parameters", {})} <= declared
