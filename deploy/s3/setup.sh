#!/bin/sh
# Makes the buckets, the output's lifecycle, the worker's account and its two policies on a MinIO server. Runs again without harm.
# Reads S3_ENDPOINT, MINIO_ROOT_USER, MINIO_ROOT_PASSWORD, S3_KEY_ID, S3_SECRET, and the documents beside it.
set -eu
cd "$(dirname "$0")"
export MC_CONFIG_DIR="${TMPDIR:-/tmp}/mc"

# By pipe, from a command of the shell's own: a command line is everyone's to read.
printf '%s\n%s\n' "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" | mc alias set archive "$S3_ENDPOINT" >/dev/null
for bucket in autochrome-scans autochrome-colour; do
    mc mb --ignore-existing "archive/$bucket"
    mc version enable "archive/$bucket" # an overwritten object can be brought back
done
# Segments of films go; MinIO itself ends unfinished uploads, and removes marks with the last version.
mc ilm rule import archive/autochrome-colour <minio-lifecycle.json
printf '%s\n%s\n' "$S3_KEY_ID" "$S3_SECRET" | mc admin user add archive
for role in source output; do
    mc admin policy create archive "autochrome-$role" "$role-policy.json"
    # Refused where it is attached already; what counts is that it is.
    mc admin policy attach archive "autochrome-$role" --user "$S3_KEY_ID" || true
    mc admin policy entities archive --user "$S3_KEY_ID" | grep -q "autochrome-$role"
done
