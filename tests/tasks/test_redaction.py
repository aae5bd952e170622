"""No message shows a password, however odd the URL that it is in."""

import pytest
from pydantic import SecretStr

from tasks.errors import AutochromeError, DatabaseUnavailable, UsageError
from tasks.ledger import Ledger, RunEnding
from tasks.redaction import without_secrets
from tasks.settings import Settings
from tasks.storage import open_store


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hush@db/ledger refuses",
        "(postgresql+psycopg://me:hu@hush@db:5432/ledger)",
        "postgresql://me:hu/hush@db/ledger",
        "postgresql://hush@db/ledger",
        "http://me:hush@proxy:3128 cannot be reached; try http://other:hush@host",
        "'https://me:hush@127.0.0.1:4200/api' does not answer",
        "tcp://:hush@scheduler:8786",
        "mailtos://me:hush@smtp.example.org?from=a@b.c",
        "postgresql://db/ledger?user=me&password=hush&sslmode=require",
        "host=db password=hush dbname=ledger",
        "https://hooks.example.org/x?token=hush",
        """postgresql://me:it's>"hush@db/ledger""",
        "host=db password='two words: hush' dbname=ledger",
        'refused: {"user": "me", "password": "two \\"words\\" hush"}',
    ],
)
def test_secrets_are_left_out(text: str) -> None:
    """Wherever an error says it: its text is what logs, records and people are given."""
    assert "hush" not in without_secrets(text)
    assert "hush" not in str(DatabaseUnavailable(text))
    assert "hush" not in f"{AutochromeError(text)}"


@pytest.mark.parametrize(
    "text",
    [
        "s3://scans/box@7/a@b.jpg: the file ends early; rescan it",
        "file:///scans/a@b.jpg: it is gone",
        "http://127.0.0.1:4200/api does not answer",
        "a@b.jpg has a = in its name",
        "",
    ],
)
def test_the_rest_is_said_as_it_is(text: str) -> None:
    """Scans have keys of any kind."""
    assert without_secrets(text) == text
    assert str(UsageError(text)) == text


def test_a_database_url_with_an_unescaped_at_is_refused() -> None:
    """What follows the first one would be taken for the host, and shown."""
    with pytest.raises(UsageError, match="%40") as told:
        Ledger.open("postgresql://me:hu@hush@127.0.0.1:1/ledger")
    assert "hush" not in str(told.value)


def test_an_endpoint_with_a_password_is_refused() -> None:
    """Before it is asked, and without being repeated."""
    settings = Settings(
        s3_endpoint_url="http://me:hush@127.0.0.1:1",
        s3_access_key_id=SecretStr("k"),
        s3_secret_access_key=SecretStr("s"),
    )
    with pytest.raises(UsageError, match="AUTOCHROME_S3_ACCESS_KEY_ID") as told:
        open_store("s3://bucket", settings=settings)
    assert "hush" not in str(told.value)


def test_the_ledger_records_none(ledger: Ledger) -> None:
    """Of errors of other libraries either."""
    run_id = ledger.start_run("nightly", "a night")
    ledger.finish_run(run_id, RunEnding.ABORTED, detail="http://me:hush@proxy failed")
    run = ledger.get_run(run_id)
    assert run is not None
    assert run.detail == "http://***@proxy failed"
