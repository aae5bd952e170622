"""Scripts and styles: files of the package, read once, under a name that changes with them."""

import functools
import hashlib
from importlib.resources import files

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@functools.cache
def _assets() -> tuple[str, dict[str, tuple[bytes, str]]]:
    """Their common version, and each one's bytes and type by its name."""
    found = {}
    digest = hashlib.sha256()
    for file in sorted(files("flows.desk").joinpath("static").iterdir(), key=lambda f: f.name):
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            digest.update(file.name.encode() + content)
            found[file.name] = (content, kind)
    return digest.hexdigest()[:12], found


def asset(name: str) -> str:
    """The address of a script or style."""
    version, found = _assets()
    assert name in found, name  # noqa: S101  a template names what is not there
    return f"/static/{version}/{name}"


@router.get("/static/{version}/{name}")
def serve_asset(version: str, name: str) -> Response:
    """A script or style, to be kept for a year."""
    current, found = _assets()
    if version != current or name not in found:
        raise HTTPException(404)
    content, kind = found[name]
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=kind, headers=kept)


@router.get("/favicon.ico")
def icon() -> Response:
    """The mark that browsers show beside the title."""
    content, kind = _assets()[1]["mark.svg"]
    return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=86400"})
