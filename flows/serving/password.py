"""The one password of UI, API, metrics and reports: the settings', or one that is made and kept."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from tasks.errors import UsageError
from tasks.settings import Settings

#: Whom the password that is made belongs to.
NAME = "autochrome"


def password_file(settings: Settings) -> Path:
    """Where the password is kept that was made: it alone, as Prometheus's `password_file` reads."""
    return settings.home.absolute() / "password"


def with_password(settings: Settings) -> Settings:
    """The settings with a password: their own, or that in the home folder, made if need be.

    Raises:
        UsageError: Somebody else can read it, or it cannot be read or made.
    """
    if settings.api_auth is not None:
        return settings
    file = password_file(settings)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _make(file)
        password = _read(file)
    except OSError as error:
        raise UsageError(
            f"{file}: {(error.strerror or 'unreadable').lower()}; set AUTOCHROME_HOME to a folder "
            "of your own, or AUTOCHROME_API_AUTH to name:password"
        ) from error
    return settings.model_copy(update={"api_auth": SecretStr(f"{NAME}:{password}")})


def _make(file: Path) -> None:
    """Make it, whole or not at all; of two processes that do so at once, the first one's stands."""
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_urlsafe(24))
        with suppress(FileExistsError):
            os.link(part, file)
    finally:
        part.unlink()


def _read(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor) as kept:
        status = os.fstat(descriptor)
        password = kept.read().strip()
    is_open = stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid not in {os.geteuid(), 0}
    if is_open or not stat.S_ISREG(status.st_mode) or not password:
        raise UsageError(
            f"{file} is not only yours to read, or empty; delete it, and a new one is made"
        )
    return password
