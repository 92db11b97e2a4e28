"""The tutorial's steps with Microsoft's Python SDK, unchanged, against the local Batch service.

Reads one line of JSON from stdin: batchName, batchKey, batchUrl, storageName, storageKey, blobUrl, inputs (paths of MP4s),
folder (where the MP3s go). Prints one line of JSON: what it observed.
"""

import datetime
import json
import os
import sys
import time

from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    generate_blob_sas,
    generate_container_sas,
)

POOL, JOB = "python-pool", "python-job"


def main():
    given = json.loads(sys.stdin.readline())
    blobs = BlobServiceClient(given["blobUrl"], credential=given["storageKey"])
    batch = BatchServiceClient(
        SharedKeyCredentials(given["batchName"], given["batchKey"]), batch_url=given["batchUrl"]
    )
    for container in ("pyinput", "pyoutput"):
        blobs.create_container(container)
    until = datetime.datetime.utcnow() + datetime.timedelta(hours=2)
    files = [upload(blobs, given, path, until) for path in given["inputs"]]
    output = container_url(blobs, given, until)

    image = newest_image(batch)
    batch.pool.add(
        models.PoolAddParameter(
            id=POOL,
            vm_size="STANDARD_D2S_V5",
            virtual_machine_configuration=models.VirtualMachineConfiguration(
                image_reference=image.image_reference, node_agent_sku_id=image.node_agent_sku_id
            ),
            target_low_priority_nodes=2,
            start_task=models.StartTask(
                command_line='/bin/bash -c "apt-get update && apt-get install -y ffmpeg"',
                wait_for_success=True,
                user_identity=models.UserIdentity(
                    auto_user=models.AutoUserSpecification(
                        scope=models.AutoUserScope.pool, elevation_level=models.ElevationLevel.admin
                    )
                ),
            ),
        )
    )
    batch.job.add(models.JobAddParameter(id=JOB, pool_info=models.PoolInformation(pool_id=POOL)))
    tasks = [task(index, file, output) for index, file in enumerate(files)]
    added = batch.task.add_collection(JOB, tasks).value

    deadline = time.time() + 200
    while any(one.state != models.TaskState.completed for one in batch.task.list(JOB)):
        if time.time() > deadline:
            raise SystemExit("The tasks did not complete.")
        time.sleep(0.2)
    codes = {one.id: one.execution_info.exit_code for one in batch.task.list(JOB)}
    stderr = b"".join(batch.file.get_from_task(JOB, "task0", "stderr.txt")).decode()

    for path in given["inputs"]:
        name = output_name(path)
        with open(os.path.join(given["folder"], name), "wb") as file:
            file.write(blobs.get_blob_client("pyoutput", name).download_blob().readall())
    missing = None
    try:
        batch.task.get(JOB, "none")
    except models.BatchErrorException as error:
        missing = error.error.code
    exists = batch.pool.exists(POOL)
    batch.job.delete(JOB)
    batch.pool.delete(POOL)
    blobs.delete_container("pyinput")
    blobs.delete_container("pyoutput")
    while batch.pool.exists(POOL):
        time.sleep(0.1)
    print(
        json.dumps(
            {
                "added": [one.status.value for one in added],
                "codes": codes,
                "stderr": "ffmpeg version" in stderr,
                "missing": missing,
                "exists": exists,
            }
        )
    )


def newest_image(batch):
    """The newest verified Ubuntu, as the account lists it."""
    images = batch.account.list_supported_images(
        models.AccountListSupportedImagesOptions(filter="verificationType eq 'verified' and osType eq 'linux'")
    )
    ubuntu = [one for one in images if "ubuntu" in one.node_agent_sku_id]
    return max(ubuntu, key=lambda one: one.node_agent_sku_id)


def upload(blobs, given, path, until):
    name = os.path.basename(path)
    with open(path, "rb") as data:
        blobs.get_blob_client("pyinput", name).upload_blob(data)
    sas = generate_blob_sas(
        given["storageName"], "pyinput", name, account_key=given["storageKey"],
        permission=BlobSasPermissions(read=True), expiry=until,
    )
    return models.ResourceFile(http_url=f"{given['blobUrl']}/pyinput/{name}?{sas}", file_path=name)


def container_url(blobs, given, until):
    sas = generate_container_sas(
        given["storageName"], "pyoutput", account_key=given["storageKey"],
        permission=ContainerSasPermissions(write=True), expiry=until,
    )
    return f"{given['blobUrl']}/pyoutput?{sas}"


def output_name(path):
    return os.path.splitext(os.path.basename(path))[0] + ".mp3"


def task(index, file, output):
    name = output_name(file.file_path)
    return models.TaskAddParameter(
        id=f"task{index}",
        command_line=f'/bin/bash -c "ffmpeg -i {file.file_path} {name}"',
        resource_files=[file],
        output_files=[
            models.OutputFile(
                file_pattern=name,
                destination=models.OutputFileDestination(
                    container=models.OutputFileBlobContainerDestination(container_url=output)
                ),
                upload_options=models.OutputFileUploadOptions(
                    upload_condition=models.OutputFileUploadCondition.task_success
                ),
            )
        ],
    )


main()
