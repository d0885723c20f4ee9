"""Repositories as the stand-in for the Hub keeps them: commits of whole file trees, in memory."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

DATE = "2026-01-01T00:00:00.000Z"
FRONT_MATTER = re.compile(r"^---\s*\n(.*?)\n---\s*(\n|$)", re.S)


@dataclass(frozen=True)
class File:
    content: bytes
    is_lfs: bool = False

    @property
    def oid(self) -> str:
        """The name git gives this content."""
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.content).hexdigest() if self.is_lfs else self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """This file as `tree` and `paths-info` list it."""
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        if self.is_lfs:
            entry["lfs"] = {"oid": self.etag, "size": len(self.content), "pointerSize": 130}
        return entry


@dataclass
class Repo:
    id: str
    private: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, File], title: str) -> str:
        """Set the files of `branch` and return the new commit's sha."""
        parent = self.branches.get(branch)
        content = [self.id, parent, title, len(self.commits), sorted((path, file.oid) for path, file in files.items())]
        sha = hashlib.sha1(json.dumps(content).encode()).hexdigest()
        self.commits[sha], self.titles[sha], self.parents[sha] = dict(files), title, parent
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """Return the sha that a branch, tag, sha or full ref names."""
        name = revision.split("/", 2)[-1] if revision.startswith("refs/") else revision
        return self.branches.get(name) or self.tags.get(name) or (name if name in self.commits else None)

    def history(self, sha: str | None) -> list[str]:
        """Return the shas from `sha` back to the first commit."""
        shas = []
        while sha:
            shas.append(sha)
            sha = self.parents[sha]
        return shas

    def info(self, sha: str) -> dict[str, Any]:
        """This repository as `model_info` describes it."""
        files = self.commits[sha]
        matter = FRONT_MATTER.match(files["README.md"].content.decode()) if "README.md" in files else None
        card = yaml.safe_load(matter[1]) if matter else {}
        siblings = [
            {"rfilename": path, "size": len(file.content), "blobId": file.oid} for path, file in sorted(files.items())
        ]
        return {
            "_id": "0" * 24,
            "id": self.id,
            "author": self.id.split("/")[0],
            "sha": sha,
            "lastModified": DATE,
            "createdAt": DATE,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": card.get("tags", []),
            "library_name": card.get("library_name"),
            "cardData": card,
            "siblings": siblings,
        }
