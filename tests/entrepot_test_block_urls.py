"""A saved block for the S3 server of the tests."""

from typing import Any

from entrepot.filesystems import S3


def save_s3(server: Any, path: str, **options: Any) -> S3:
    block = S3(
        **{
            "bucket_path": path,
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "region_name": server.region,
            "endpoint_url": server.endpoint_url,
            "addressing_style": "path",
        }
        | options
    )
    block.save("prod", overwrite=True)
    return block
