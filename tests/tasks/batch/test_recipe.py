"""What the settings say of pixels reaches the code that heeds it, and the recipe."""

import pytest

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from tasks.batch.recipe import output_policy, read_limits, recipe_of
from tasks.scans.header import ReadLimits
from tasks.settings import Settings

CHECKPOINT = read_checkpoint(DEFAULT_CHECKPOINT)

OUTPUT = {
    "grey_jpeg": "interleaved",
    "write_master": False,
    "write_access": False,
    "write_sidecar": True,
    "access_px": 2000,
    "thumbnail_px": 300,
    "access_jpeg_quality": 80,
    "access_jpeg_subsampling": False,
    "chroma_jpeg_quality": 70,
    "rights_statement": "No known restrictions",
    "fade": 0.5,
}


@pytest.mark.parametrize(("name", "value"), OUTPUT.items())
def test_output_settings_make_another_recipe(name: str, value: object) -> None:
    """Whatever decides a derivative's pixels is part of the digest, so nothing is overwritten."""
    usual = recipe_of(CHECKPOINT.digest, Settings())
    changed = recipe_of(CHECKPOINT.digest, Settings.model_validate({name: value}))
    assert changed.digest != usual.digest
    assert recipe_of(CHECKPOINT.digest, Settings()).digest == usual.digest


def test_defaults_are_those_of_the_code_that_heeds_them() -> None:
    """Which others call with its own."""
    assert read_limits(Settings()) == ReadLimits()


def test_the_policy_is_what_the_settings_say() -> None:
    """No setting is read and then forgotten."""
    given = {name: value for name, value in OUTPUT.items() if name != "write_access"}
    policy = output_policy(Settings.model_validate(given))
    assert (policy.grey_jpeg, policy.master, policy.access, policy.sidecar) == (
        "interleaved",
        False,
        True,
        True,
    )
    assert (policy.access_px, policy.thumbnail_px) == (2000, 300)
    assert (policy.jpeg_quality, policy.chroma_quality, policy.subsample) == (80, 70, False)
    assert policy.rights == "No known restrictions"
