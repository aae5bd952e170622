"""What all tests share."""

pytest_plugins = [
    "tests.databases",
    "tests.s3server",
    "tests.workshops",
    "tests.prefectserver",
    "tests.schools",
]
