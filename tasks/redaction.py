"""What no message may show: names and passwords in the URLs that it quotes."""

import re

#: From the scheme to the last "@" of the word: a password may hold an "@" or "/" that nobody
#: escaped. The keys of scans may hold one, too, and theirs are no secrets.
_USER = re.compile(r"\b(?!(?:s3|file)://)([A-Za-z][A-Za-z0-9+.-]*://)\S*@")
_PARAMETER = re.compile(
    r"""((?:^|[?&;\s{,"'])(?:\w*password|passwd|pwd|\w*token|\w*secret\w*|api_?key)(?:\s*=\s*|["']\s*:\s*))"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s&;"']+)""",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """*text* with `***` for what stands before the host in URLs, and for secret parameters."""
    if not {":", "="} & set(text):
        return text
    return _PARAMETER.sub(r"\1***", _USER.sub(r"\1***@", text))
