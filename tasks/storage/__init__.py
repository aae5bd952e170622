"""Where scans come from and derivatives go: a folder or S3, behind one small protocol."""

from tasks.storage.keys import safe_key
from tasks.storage.location import check_apart
from tasks.storage.objects import (
    ChangedSinceListing,
    Link,
    ListingIncomplete,
    ObjectArchived,
    ObjectInfo,
    ObjectMissing,
    ObjectRefused,
    ObjectStore,
    Watch,
)
from tasks.storage.opening import address_of, open_for_reading, open_store
