"""An in-memory stand-in for the Hugging Face Hub on loopback, so that pushes and downloads are tested for real.

It speaks what huggingface_hub 2.4 asks for when it creates a repository, commits (regular and LFS files), lists and
downloads. No accounts, no persistence, no xet (`HF_HUB_DISABLE_XET=1` is needed). One difference from the real Hub is
deliberate: any non-empty token may write anywhere.

    hub = FakeHub().start()      # set HF_ENDPOINT to hub.url before anything imports huggingface_hub
    hub.files("org/name")        # {path: bytes} at the tip of main
    hub.log                      # ["GET /api/models/org/name", ...]
    hub.stop()
"""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .hub_repository import DATE, FRONT_MATTER, File, Repo

# The real Hub decides by .gitattributes and size; these are the endings of this project's large files.
LFS_ENDINGS = (".safetensors", ".parquet", ".npy", ".npz", ".bw", ".gz", ".bin", ".pt")


class HubError(Exception):
    """An answer that huggingface_hub turns into one of its own exceptions by its `code`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class FakeHub:
    """The server; `repos` maps (kind, id), kind being "models" or "datasets"."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.log: list[str] = []
        git, at = "/{org}/{name}.git/info/lfs/objects/batch", "/{org}/{name}/resolve/{rev}/{path:path}"
        routes = [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/validate-yaml", self.validate_yaml, methods=["POST"]),
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/{kind}", self.list_repos),
            Route("/api/{kind}/{org}/{name}", self.info),
            Route("/api/{kind}/{org}/{name}/revision/{rev}", self.info),
            Route("/api/{kind}/{org}/{name}/refs", self.refs),
            Route("/api/{kind}/{org}/{name}/commits/{rev}", self.commits),
            Route("/api/{kind}/{org}/{name}/tree/{rev}", self.tree),
            Route("/api/{kind}/{org}/{name}/tree/{rev}/{path:path}", self.tree),
            Route("/api/{kind}/{org}/{name}/paths-info/{rev}", self.paths_info, methods=["POST"]),
            Route("/api/{kind}/{org}/{name}/tag/{rev}", self.create_tag, methods=["POST"]),
            Route("/api/{kind}/{org}/{name}/branch/{rev}", self.create_branch, methods=["POST"]),
            Route("/api/{kind}/{org}/{name}/preupload/{rev}", self.preupload, methods=["POST"]),
            Route("/api/{kind}/{org}/{name}/commit/{rev}", self.commit, methods=["POST"]),
            Route(git, self.lfs_batch, methods=["POST"]),
            Route("/datasets" + git, self.lfs_batch, methods=["POST"]),
            Route("/lfs/{oid}", self.lfs_upload, methods=["PUT"]),
            Route(at, self.resolve),
            Route("/datasets" + at, self.resolve),
            Route("/{path:path}", self.unknown, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ]
        self.routes = Starlette(routes=routes, exception_handlers={HubError: self.error})

    # -- life

    def start(self) -> "FakeHub":
        """Serve on a free port of 127.0.0.1 from a thread of its own."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self.serve, log_level="error", lifespan="off", interface="asgi3", http="h11", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(5)

    def files(self, repo_id: str, kind: str = "models") -> dict[str, bytes]:
        """Return {path: content} at the tip of main."""
        repo = self.repos[kind, repo_id]
        return {path: file.content for path, file in repo.commits[repo.branches["main"]].items()}

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        # Routed on the raw path, so that a quoted slash stays inside its part: revision refs%2Fpr%2F1.
        path = scope["raw_path"].decode()
        query = scope["query_string"].decode()
        self.log.append(f"{scope['method']} {path}" + (f"?{query}" if query else ""))
        await self.routes({**scope, "path": path}, receive, send)

    # -- what the handlers share

    async def error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HubError)
        headers = {"X-Error-Code": error.code, "X-Error-Message": str(error)}
        return JSONResponse({"error": str(error)}, error.status, headers)

    def part(self, request: Request, name: str, default: str = "") -> str:
        return unquote(request.path_params.get(name, default))

    def kind(self, request: Request) -> str:
        url_kind = "datasets" if request.url.path.startswith("/datasets/") else "models"
        return request.path_params.get("kind", url_kind)

    def repo(self, request: Request) -> Repo:
        kind = request.path_params.get("kind") or (
            "datasets" if request.url.path.startswith("/datasets/") else "models"
        )
        repo = self.repos.get((kind, f"{self.part(request, 'org')}/{self.part(request, 'name')}"))
        if repo is None or (repo.private and not request.headers.get("authorization")):
            raise HubError(401, "RepoNotFound", "Repository Not Found")
        return repo

    def sha(self, request: Request, repo: Repo) -> str:
        revision = self.part(request, "rev", "main")
        sha = repo.resolve(revision)
        if sha is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def check_token(self, request: Request) -> None:
        if not request.headers.get("authorization"):
            raise HubError(401, "", "Invalid username or password.")

    async def unknown(self, request: Request) -> Response:
        raise HubError(401, "RepoNotFound", f"Repository Not Found, or not faked: {request.method} {request.url.path}")

    # -- account and repositories

    async def whoami(self, request: Request) -> Response:
        self.check_token(request)
        orgs = [{"type": "org", "id": "2", "name": "org"}]
        access = {"accessToken": {"displayName": "test", "role": "write"}, "type": "access_token"}
        return JSONResponse({"type": "user", "id": "1", "name": "tester", "orgs": orgs, "auth": access})

    async def validate_yaml(self, request: Request) -> Response:
        matter = FRONT_MATTER.match((await request.json())["content"])
        try:
            valid = matter is None or isinstance(yaml.safe_load(matter[1]), dict)
        except yaml.YAMLError:
            valid = False
        errors = [] if valid else [{"message": "the front matter is not a YAML mapping"}]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    async def create(self, request: Request) -> Response:
        self.check_token(request)
        body = await request.json()
        repo_id = f"{body.get('organization') or 'tester'}/{body['name']}"
        kind = (body.get("type") or "model") + "s"
        url = f"{self.url}/{'' if kind == 'models' else kind + '/'}{repo_id}"
        if (kind, repo_id) in self.repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        private = bool(body.get("private")) or body.get("visibility") == "private"
        self.repos[kind, repo_id] = Repo(repo_id, private)
        self.repos[kind, repo_id].commit("main", {}, "initial commit")
        return JSONResponse({"url": url, "name": repo_id, "id": "0"})

    async def delete(self, request: Request) -> Response:
        self.check_token(request)
        body = await request.json()
        key = ((body.get("type") or "model") + "s", f"{body.get('organization') or 'tester'}/{body['name']}")
        if self.repos.pop(key, None) is None:
            raise HubError(404, "RepoNotFound", "Repository Not Found")
        return JSONResponse({})

    async def list_repos(self, request: Request) -> Response:
        prefix = request.query_params.get("author", "")
        found = [
            repo.info(repo.branches["main"])
            for (kind, repo_id), repo in self.repos.items()
            if kind == self.kind(request) and repo_id.startswith(prefix and prefix + "/")
        ]
        return JSONResponse(found)

    async def info(self, request: Request) -> Response:
        repo = self.repo(request)
        return JSONResponse(repo.info(self.sha(request, repo)))

    async def refs(self, request: Request) -> Response:
        repo = self.repo(request)
        heads = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": sha} for n, sha in repo.branches.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": sha} for n, sha in repo.tags.items()]
        return JSONResponse({"branches": heads, "tags": tags, "converts": []})

    async def commits(self, request: Request) -> Response:
        repo = self.repo(request)
        shas = repo.history(self.sha(request, repo))
        rows = [{"id": s, "title": repo.titles[s], "message": "", "date": DATE, "authors": []} for s in shas]
        return JSONResponse(rows)

    async def create_tag(self, request: Request) -> Response:
        self.check_token(request)
        repo = self.repo(request)
        repo.tags[(await request.json())["tag"]] = self.sha(request, repo)
        return JSONResponse({})

    async def create_branch(self, request: Request) -> Response:
        self.check_token(request)
        repo = self.repo(request)
        start = (await request.json() if await request.body() else {}).get("startingPoint", "main")
        repo.branches[self.part(request, "rev")] = repo.resolve(start) or ""
        return JSONResponse({})

    # -- reading files

    async def tree(self, request: Request) -> Response:
        repo = self.repo(request)
        folder = self.part(request, "path").strip("/")
        recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        entries: dict[str, dict[str, Any]] = {}
        for path, file in sorted(repo.commits[self.sha(request, repo)].items()):
            if folder and not path.startswith(folder + "/"):
                continue
            parts = path[len(folder) + 1 if folder else 0 :].split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                name = "/".join(([folder] if folder else []) + parts[:depth])
                entries[name] = {
                    "type": "directory",
                    "path": name,
                    "size": 0,
                    "oid": hashlib.sha1(name.encode()).hexdigest(),
                }
            if recursive or len(parts) == 1:
                entries[path] = file.entry(path)
        if folder and not entries:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist")
        return JSONResponse(list(entries.values()))

    async def paths_info(self, request: Request) -> Response:
        repo = self.repo(request)
        files = repo.commits[self.sha(request, repo)]
        paths = parse_qs((await request.body()).decode())["paths"]
        return JSONResponse([files[path].entry(path) for path in paths if path in files])

    async def resolve(self, request: Request) -> Response:
        repo = self.repo(request)
        sha = self.sha(request, repo)
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        file = repo.commits[sha].get(self.part(request, "path"))
        if file is None:
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return JSONResponse({"error": "Entry not found"}, 404, headers)
        size = len(file.content)
        headers |= {"ETag": f'"{file.etag}"', "X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(size)}
        wanted = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if request.method == "HEAD":
            return Response(headers=headers | {"Content-Length": str(size)})
        if wanted:
            start, end = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
            return Response(file.content[start : end + 1], 206, headers)
        return Response(file.content, headers=headers, media_type="application/octet-stream")

    # -- writing files

    async def preupload(self, request: Request) -> Response:
        self.check_token(request)
        repo = self.repo(request)
        present = repo.commits[self.sha(request, repo)]
        answer = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_ENDINGS) else "regular",
                "shouldIgnore": False,
                "oid": present[file["path"]].etag if file["path"] in present else None,
            }
            for file in (await request.json())["files"]
        ]
        return JSONResponse({"files": answer})

    async def lfs_batch(self, request: Request) -> Response:
        self.check_token(request)
        objects = []
        for item in (await request.json())["objects"]:
            upload = {"upload": {"href": f"{self.url}/lfs/{item['oid']}", "header": {}}}
            objects.append({**item, **({} if item["oid"] in self.lfs else {"actions": upload})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def lfs_upload(self, request: Request) -> Response:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            raise HubError(400, "BadRequest", "the content is not what its sha256 says")
        self.lfs[request.path_params["oid"]] = content
        return Response()

    async def commit(self, request: Request) -> Response:
        self.check_token(request)
        repo = self.repo(request)
        files = dict(repo.commits[self.sha(request, repo)])
        title = ""
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    title = value["summary"]
                case "file":
                    files[value["path"]] = File(base64.b64decode(value["content"]))
                case "lfsFile":
                    files[value["path"]] = File(self.lfs[value["oid"]], is_lfs=True)
                case "deletedFile":
                    del files[value["path"]]
                case "deletedFolder":
                    files = {path: file for path, file in files.items() if not path.startswith(value["path"])}
        sha = repo.commit(self.part(request, "rev"), files, title)
        prefix = "" if request.path_params["kind"] == "models" else "datasets/"
        url = f"{self.url}/{prefix}{repo.id}/commit/{sha}"
        return JSONResponse({"success": True, "commitOid": sha, "commitUrl": url, "pullRequestUrl": None})
