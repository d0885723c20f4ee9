"""Push exported windows to the Hub, in one commit of exactly the files that belong there."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from ..datasets_scripts.shard_card import shard_card
from ..datasets_scripts.shards import LAYOUT_FILE, WINDOWS_FILE, Shards
from .hub_access import check_repo_id, hub_errors
from .licenses import check_license

_OURS = ("data/*.parquet", LAYOUT_FILE, WINDOWS_FILE)  # that an earlier push may have left; what else lies there stays


@dataclass(frozen=True)
class PushedDataset:
    """What a push of windows left on the Hub.

    Args:
        commit_url: the commit.
        revision: its full hash.
        files: what was pushed.
        windows: of each part.
    """

    commit_url: str
    revision: str
    files: list[str]
    windows: dict[str, int]


def push_dataset(
    folder: str | Path, repo_id: str, *, license: str, private: bool = False, token: str | None = None
) -> PushedDataset:
    """Push a folder that `chromhub data export` made; the folder itself is not changed.

    Every shard is opened and counted before anything is sent. Shards of an earlier push that this one does not have
    are deleted in the same commit; other files of the repository stay.

    Args:
        folder: exported windows.
        repo_id: ORG/NAME.
        license: of the data, an identifier of the Hub.
        private: make a new repository private; one that exists stays as it is.
        token: of the Hub; None takes the one of `hf auth login` or HF_TOKEN.

    Raises:
        FileNotFoundError: no such folder, or a shard is missing.
        ValueError: a damaged export, an unknown licence, or a name that is none.
        OSError: the Hub refused.
    """
    check_repo_id(repo_id, what="dataset")
    check_license(license)
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: make it with `chromhub data export`")
    shards = Shards.open(folder)
    windows = {str(part): len(shards.windows(part)) for part in shards.files}
    paths = [LAYOUT_FILE, WINDOWS_FILE]
    for files in shards.files.values():
        for file in files:
            shards.open_file(file).close()
            paths.append(file.path)
    for path in paths:
        if not fnmatch(path, "data/*.parquet") and path not in (LAYOUT_FILE, WINDOWS_FILE):
            raise ValueError(
                f"{folder}/{LAYOUT_FILE} names {path}, which is no shard (data/*.parquet): it is not pushed"
            )
        if (folder / path).is_symlink() or (folder / path).parent.is_symlink():
            raise ValueError(f"{folder / path} is a link, which is not pushed: put the file itself there")
    card = shard_card(
        shards.layout, windows, plan=shards.plan, fingerprint=shards.fingerprint, license=license, name=repo_id
    )
    api = HfApi(token=token)
    with hub_errors(repo_id):
        api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True)
        stale = [
            path
            for path in api.list_repo_files(repo_id, repo_type="dataset")
            if path not in paths and any(fnmatch(path, pattern) for pattern in _OURS)
        ]
        commit = api.create_commit(
            repo_id,
            [
                CommitOperationAdd("README.md", card.encode()),
                *(CommitOperationAdd(path, folder / path) for path in paths),
                *(CommitOperationDelete(path) for path in stale),
            ],
            repo_type="dataset",
            commit_message=f"Windows {shards.fingerprint}, pushed by chromhub",
        )
    return PushedDataset(commit.commit_url, commit.oid, sorted(["README.md", *paths]), windows)
