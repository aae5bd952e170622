"""The JSON sidecar: provenance, tone and digests of an item's files, for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tasks.derivatives.policy import WrittenFile
from tasks.provenance import DIGITAL_SOURCE_TYPE, CorrectionStatement, Provenance

#: Changes when a field is renamed, moved or removed.
FORMAT_VERSION = 1


def write_sidecar(path: Path, files: Sequence[WrittenFile], *, provenance: Provenance) -> None:
    """Write what is known of *files* as JSON in UTF-8.

    Raises:
        OSError: The file cannot be written.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "note": provenance.note,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "provenance": {
            **asdict(provenance),
            "page": provenance.page + 1,
            "created_at": provenance.created_at.isoformat(timespec="seconds"),
            "correction": _correction(provenance.correction),
        },
        "files": [
            {
                "kind": file.kind,
                "content_type": file.content_type,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "made": file.note,
                "tone": asdict(file.tone) if file.tone else None,
            }
            for file in files
        ],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True)
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def _correction(said: CorrectionStatement | None) -> dict[str, object] | None:
    if said is None:
        return None
    return {
        **asdict(said),
        "made_at": said.made_at.isoformat(timespec="seconds"),
        "parts": [_correction(one) for one in said.parts],
    }
