"""The tests' own world: the Hub is on loopback, and nothing else can be reached."""

import socket
from pathlib import Path

import pytest


@pytest.mark.filterwarnings("ignore:A test tried to use")  # pytest-socket warns before it raises
def test_other_hosts_are_blocked() -> None:
    from pytest_socket import SocketConnectBlockedError

    with pytest.raises(SocketConnectBlockedError, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_an_unknown_repository_is_an_error_at_once(hub) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    with pytest.raises(RepositoryNotFoundError):
        HfApi().model_info("org/nothing-here")
    assert hub.log == ["GET /api/models/org/nothing-here"]


def test_the_hub_keeps_what_is_uploaded(hub, tmp_path) -> None:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    api = HfApi()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("hello")
    (tmp_path / "w.safetensors").write_bytes(bytes(range(256)) * 40)
    api.create_repo("org/files")
    api.create_repo("org/files", exist_ok=True)
    first = api.upload_folder(repo_id="org/files", folder_path=tmp_path)
    api.create_tag("org/files", tag="v1")
    api.upload_file(repo_id="org/files", path_or_fileobj=b"later", path_in_repo="sub/a.txt")

    assert hub.files("org/files") == {"sub/a.txt": b"later", "w.safetensors": bytes(range(256)) * 40}
    assert any(line.startswith("PUT /lfs/") for line in hub.log)
    assert api.list_repo_files("org/files") == ["sub/a.txt", "w.safetensors"]
    assert [entry.path for entry in api.list_repo_tree("org/files")] == ["sub", "w.safetensors"]
    assert [entry.path for entry in api.get_paths_info("org/files", ["sub/a.txt", "no"])] == ["sub/a.txt"]
    assert len(api.list_repo_commits("org/files")) == 3
    assert [tag.name for tag in api.list_repo_refs("org/files").tags] == ["v1"]
    for revision in ("v1", first.oid):
        folder = snapshot_download("org/files", revision=revision)
        assert (Path(folder) / "sub" / "a.txt").read_text() == "hello"
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("org/files", "missing.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("org/files", "sub/a.txt", revision="v2")


def test_a_private_repository_needs_a_token(hub) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    HfApi().create_repo("org/secret", private=True)
    assert HfApi().model_info("org/secret").private
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=False).model_info("org/secret")
    with pytest.raises(HfHubHTTPError):
        HfApi(token=False).create_repo("org/other")
