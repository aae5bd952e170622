"""Passing large values to Prefect tasks."""

from typing import TypeVar, cast

from prefect.utilities.annotations import quote

T = TypeVar("T")


def unsearched(value: T) -> T:
    """Quote an argument of a task: Prefect would search it for futures, field by field.

    The task gets *value* itself, which is why this is typed as if nothing were done.
    """
    return cast("T", quote(value))
