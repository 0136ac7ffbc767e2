"""Results that outlive the process: in a folder, or in a bucket."""

from entrepot import flow, task
from entrepot.filesystems import S3, LocalFileSystem
from entrepot.serializers import JSONSerializer


# A folder is handy where one machine does everything. To name a storage is to ask that results are kept.
@task(result_storage=LocalFileSystem(basepath="/tmp/entrepot"))
def save_locally():
    return {"data": [1, 2, 3]}


# A bucket is for many machines. As JSON, results can be read by people and by other programs. This block has no keys:
# they are where they usually are, in the variables AWS_ACCESS_KEY_ID and so on, in a profile, in the machine's role.
@task(
    persist_result=True,
    result_storage=S3(bucket_path="my-bucket/results"),
    result_serializer=JSONSerializer(),
)
def save_to_s3():
    return {"large": "data"}


if __name__ == "__main__":
    save_locally()  # `save_to_s3` needs a bucket of yours
