"""Microsoft's current Python package (azure-batch 15), sync and async, against the local Batch service.

Reads one line of JSON from stdin: batchName, batchKey, batchUrl, storageName, storageKey, blobUrl, inputs (paths of MP4s),
folder (where the MP3s go). Prints one line of JSON: what it observed.
"""

import asyncio
import datetime
import json
import os
import sys
import time

from azure.batch import BatchClient, models
from azure.batch.aio import BatchClient as AsyncBatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

POLL = 0.1


def main():
    given = json.loads(sys.stdin.readline())
    credential = AzureNamedKeyCredential(given["batchName"], given["batchKey"])
    client = BatchClient(endpoint=given["batchUrl"], credential=credential)
    saw = {}
    tutorial(client, given, saw)
    tasks(client, saw)
    multi_instance(client, given, saw)
    pools(client, saw)
    schedules(client, saw)
    asyncio.run(asynchronous(given["batchUrl"], credential, saw))
    print(json.dumps(saw))


def tutorial(client, given, saw):
    """The steps of Microsoft's tutorial: containers, uploads, a pool, a job, a task for each file, the outputs."""
    blobs = BlobServiceClient(given["blobUrl"], credential=given["storageKey"])
    for name in ("newinput", "newoutput"):
        blobs.create_container(name)
    for path in given["inputs"]:
        with open(path, "rb") as data:
            blobs.get_blob_client("newinput", os.path.basename(path)).upload_blob(data)
    image = newest_image(client)
    client.create_pool(
        models.BatchPoolCreateOptions(
            id="modern",
            **machine(image),
            target_low_priority_nodes=2,
            task_slots_per_node=2,
            start_task=models.BatchStartTask(
                command_line='/bin/bash -c "apt-get update && apt-get install -y ffmpeg"',
                wait_for_success=True,
                user_identity=models.UserIdentity(
                    auto_user=models.AutoUserSpecification(
                        scope=models.AutoUserScope.POOL, elevation_level=models.ElevationLevel.ADMIN
                    )
                ),
            ),
        )
    )
    client.create_job(
        models.BatchJobCreateOptions(id="modern", pool_info=models.BatchPoolInfo(pool_id="modern"))
    )
    source, target = sas(given, "newinput", "rl"), sas(given, "newoutput", "w")
    for index, path in enumerate(given["inputs"]):
        name = os.path.basename(path)
        output = os.path.splitext(name)[0] + ".mp3"
        client.create_task(
            "modern",
            models.BatchTaskCreateOptions(
                id=f"file{index}",
                command_line=f'/bin/bash -c "ffmpeg -i \\"{name}\\" \\"{output}\\""',
                resource_files=[models.ResourceFile(storage_container_url=source, blob_prefix=name)],
                output_files=[
                    models.OutputFile(
                        file_pattern=output,
                        destination=models.OutputFileDestination(
                            container=models.OutputFileBlobContainerDestination(container_url=target)
                        ),
                        upload_options=models.OutputFileUploadConfiguration(
                            upload_condition=models.OutputFileUploadCondition.TASK_SUCCESS
                        ),
                    )
                ],
            ),
        )
    wait(lambda: all(task.state == models.BatchTaskState.COMPLETED for task in client.list_tasks("modern")))
    saw["codes"] = [task.execution_info.exit_code for task in client.list_tasks("modern")]
    for path in given["inputs"]:
        name = os.path.splitext(os.path.basename(path))[0] + ".mp3"
        with open(os.path.join(given["folder"], name), "wb") as file:
            file.write(blobs.get_blob_client("newoutput", name).download_blob().readall())
    stderr = b"".join(client.download_task_file("modern", "file0", "stderr.txt")).decode()
    saw["stderr"] = "ffmpeg version" in stderr
    properties = client.get_task_file_properties("modern", "file0", "stderr.txt")
    saw["size"] = properties.content_length == len(stderr.encode())
    saw["files"] = sorted(
        file.name
        for file in client.list_task_files("modern", "file0", recursive=True)
        if file.name.endswith((".txt", ".mp3"))
    )


def tasks(client, saw):
    """250 tasks in collections, counts, selections, and what is refused."""
    made = client.create_tasks(
        "modern",
        [models.BatchTaskCreateOptions(id=f"many{i:03}", command_line="/bin/true") for i in range(250)],
        max_concurrency=2,
    )
    saw["added"] = len(made.result_values)
    wait(lambda: client.get_job_task_counts("modern").task_counts.completed >= 250)
    some = client.list_tasks("modern", filter="startswith(id,'many00')", select=["id", "state"], max_results=4)
    saw["selected"] = [task.id for task in some]
    try:
        client.get_task("modern", "none")
    except ResourceNotFoundError as error:
        saw["missing"] = error.model.code
    try:
        client.create_task("modern", models.BatchTaskCreateOptions(id="many000", command_line="/bin/true"))
    except ResourceExistsError as error:
        saw["exists"] = error.model.code
    try:
        client.create_task(
            "modern",
            models.BatchTaskCreateOptions(
                id="container",
                command_line="/bin/true",
                container_settings=models.BatchTaskContainerSettings(image_name="alpine:3"),
            ),
        )
    except HttpResponseError as error:
        saw["refused"] = [error.model.code, error.model.error_values[0].value]
    client.begin_disable_job(
        "modern", models.BatchJobDisableOptions(disable_tasks="requeue"), polling_interval=POLL
    ).result()
    saw["disabled"] = client.get_job("modern").state
    client.begin_enable_job("modern", polling_interval=POLL).result()
    client.update_job("modern", models.BatchJobUpdateOptions(priority=5))
    # Gets a job, changes it, and puts it back.
    job = client.get_job("modern")
    job.priority += 1
    client.replace_job("modern", job)
    saw["priority"] = client.get_job("modern").priority
    client.create_task("modern", models.BatchTaskCreateOptions(id="changed", command_line="/bin/sleep 600"))
    task = client.get_task("modern", "changed")
    task.constraints.max_task_retry_count = 3
    client.replace_task("modern", "changed", task)
    saw["retries"] = client.get_task("modern", "changed").constraints.max_task_retry_count
    client.terminate_task("modern", "changed")
    saw["ended"] = client.get_task("modern", "changed").state


def multi_instance(client, given, saw):
    """The steps of Microsoft's sample: a pool of three nodes that communicate, a task on all of them, its subtasks' files."""
    blobs = BlobServiceClient(given["blobUrl"], credential=given["storageKey"])
    blobs.create_container("mpi")
    for name, text in (("coordinate.sh", "echo $1 from $AZ_BATCH_NODE_ID"), ("hosts.txt", "")):
        blobs.get_blob_client("mpi", name).upload_blob(text)
    image = newest_image(client)
    client.create_pool(
        models.BatchPoolCreateOptions(
            id="MultiInstanceSamplePool",
            **machine(image),
            target_dedicated_nodes=3,
            enable_inter_node_communication=True,
            task_slots_per_node=1,
        )
    )
    job, task = "MultiInstanceSampleJob", "MultiInstanceSampleTask"
    pool_info = models.BatchPoolInfo(pool_id="MultiInstanceSamplePool")
    client.create_job(models.BatchJobCreateOptions(id=job, pool_info=pool_info))
    signature = sas(given, "mpi", "r").split("?")[1]
    file = lambda name: models.ResourceFile(http_url=f"{given['blobUrl']}/mpi/{name}?{signature}", file_path=name)
    client.create_task(
        job,
        models.BatchTaskCreateOptions(
            id=task,
            command_line='/bin/sh -c "echo $AZ_BATCH_HOST_LIST > hosts.txt; cat hosts.txt"',
            resource_files=[file("hosts.txt")],
            multi_instance_settings=models.MultiInstanceSettings(
                number_of_instances=3,
                coordination_command_line='/bin/sh -c "sh $AZ_BATCH_TASK_SHARED_DIR/coordinate.sh hello"',
                common_resource_files=[file("coordinate.sh")],
            ),
        ),
    )
    wait(lambda: client.get_task(job, task).state == models.BatchTaskState.COMPLETED)
    main = client.get_task(job, task)
    subtasks = list(client.list_subtasks(job, task))
    saw["subtasks"] = [[one.id, one.state, one.exit_code] for one in subtasks]
    texts = [
        b"".join(
            client.download_node_file(
                one.node_info.pool_id, one.node_info.node_id, f"{one.node_info.task_root_directory}/stdout.txt"
            )
        ).decode()
        for one in [main, *subtasks]
    ]
    saw["coordinated"] = [
        f"hello from {one.node_info.node_id}" in text for one, text in zip([main, *subtasks], texts)
    ]
    addresses = [node.ip_address for node in client.list_nodes("MultiInstanceSamplePool")]
    saw["hosts"] = sorted(texts[0].splitlines()[1].split(",")) == sorted(addresses) and len(set(addresses)) == 3
    client.begin_delete_job(job, polling_interval=POLL).result()
    client.begin_delete_pool("MultiInstanceSamplePool", polling_interval=POLL).result()


def pools(client, saw):
    """Updates, resizes and node actions with their pollers."""
    client.update_pool("modern", models.BatchPoolUpdateOptions(metadata=[models.BatchMetadataItem(name="a", value="b")]))
    saw["metadata"] = client.get_pool("modern").metadata[0].value
    client.begin_resize_pool(
        "modern",
        models.BatchPoolResizeOptions(target_dedicated_nodes=1, target_low_priority_nodes=0),
        polling_interval=POLL,
    ).result()
    wait(lambda: [node.state for node in client.list_nodes("modern")] == ["idle"])
    node = next(iter(client.list_nodes("modern")))
    client.create_node_user("modern", node.id, models.BatchNodeUserCreateOptions(name="someone", password="secret"))
    client.replace_node_user("modern", node.id, "someone", models.BatchNodeUserReplaceOptions(password="other"))
    saw["login"] = client.get_node_remote_login_settings("modern", node.id).remote_login_ip_address
    client.delete_node_user("modern", node.id, "someone")
    saw["extensions"] = [one.vm_extension.name for one in client.list_node_extensions("modern", node.id)]
    saw["applications"] = list(client.list_applications())
    saw["usage"] = list(client.list_pool_usage_metrics())
    client.begin_reboot_node("modern", node.id, {"nodeRebootOption": "requeue"}, polling_interval=POLL).result()
    wait(lambda: client.get_node("modern", node.id).state == "idle")
    client.begin_deallocate_node(
        "modern", node.id, {"nodeDeallocateOption": "requeue"}, polling_interval=POLL
    ).result()
    client.begin_start_node("modern", node.id, polling_interval=POLL).result()
    wait(lambda: client.get_node("modern", node.id).state == "idle")
    saw["counts"] = [
        count.dedicated.total for count in client.list_pool_node_counts(filter="poolId eq 'modern'")
    ]
    client.begin_remove_nodes(
        "modern", models.BatchNodeRemoveOptions(node_ids=[node.id]), polling_interval=POLL
    ).result()
    client.enable_pool_auto_scale(
        "modern", models.BatchPoolEnableAutoScaleOptions(auto_scale_formula="$TargetDedicatedNodes=0")
    )
    run = client.evaluate_pool_auto_scale(
        "modern", models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="$TargetDedicatedNodes=2")
    )
    saw["autoscale"] = run.results
    client.begin_terminate_job("modern", {"terminateReason": "Done"}, polling_interval=POLL).result()
    saw["terminated"] = client.get_job("modern").state
    client.begin_delete_job("modern", polling_interval=POLL).result()
    client.begin_delete_pool("modern", polling_interval=POLL).result()
    try:
        saw["gone"] = not client.pool_exists("modern")
    except ResourceNotFoundError:
        # What 15.1 raises instead of returning False.
        saw["gone"] = True


def schedules(client, saw):
    """A job schedule from its creation to its deletion."""
    client.create_job_schedule(
        models.BatchJobScheduleCreateOptions(
            id="nightly",
            schedule=models.BatchJobScheduleConfiguration(recurrence_interval=datetime.timedelta(hours=1)),
            job_specification=models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="later")),
        )
    )
    wait(lambda: [job.id for job in client.list_jobs_from_schedule("nightly")] == ["nightly:job-1"])
    schedule = client.get_job_schedule("nightly")
    schedule.schedule.recurrence_interval = datetime.timedelta(hours=2)
    client.replace_job_schedule("nightly", schedule)
    client.disable_job_schedule("nightly")
    client.enable_job_schedule("nightly")
    saw["schedule"] = client.get_job_schedule("nightly").execution_info.recent_job.id
    client.begin_terminate_job_schedule("nightly", polling_interval=POLL).result()
    client.begin_delete_job_schedule("nightly", polling_interval=POLL).result()
    saw["schedules"] = [schedule.id for schedule in client.list_job_schedules()]


async def asynchronous(url, credential, saw):
    """A pool, a job and twenty tasks with the asynchronous client."""
    async with AsyncBatchClient(endpoint=url, credential=credential) as client:
        images = [image async for image in client.list_supported_images(filter="osType eq 'linux'")]
        image = max((one for one in images if "ubuntu" in one.node_agent_sku_id), key=lambda one: one.node_agent_sku_id)
        await client.create_pool(
            models.BatchPoolCreateOptions(
                id="modern-async",
                **machine(image),
                target_dedicated_nodes=1,
            )
        )
        await client.create_job(
            models.BatchJobCreateOptions(
                id="modern-async",
                pool_info=models.BatchPoolInfo(pool_id="modern-async"),
                all_tasks_complete_mode=models.BatchAllTasksCompleteMode.NO_ACTION,
            )
        )
        await client.create_tasks(
            "modern-async",
            [models.BatchTaskCreateOptions(id=f"t{i}", command_line=f"/bin/echo {i}") for i in range(20)],
        )
        while (await client.get_job_task_counts("modern-async")).task_counts.completed < 20:
            await asyncio.sleep(POLL)
        chunks = [chunk async for chunk in await client.download_task_file("modern-async", "t7", "stdout.txt")]
        saw["asyncOutput"] = b"".join(chunks).decode()
        await (await client.begin_terminate_job("modern-async", {"terminateReason": "Done"}, polling_interval=POLL)).result()
        await (await client.begin_delete_job("modern-async", polling_interval=POLL)).result()
        await (await client.begin_delete_pool("modern-async", polling_interval=POLL)).result()
        saw["asyncGone"] = [pool.id async for pool in client.list_pools()] == []


def machine(image):
    """The size and the image of every pool of this program."""
    return {
        "vm_size": "Standard_D2s_v5",
        "virtual_machine_configuration": models.VirtualMachineConfiguration(
            image_reference=image.image_reference, node_agent_sku_id=image.node_agent_sku_id
        ),
    }


def newest_image(client):
    """The newest verified Ubuntu, as the account lists it."""
    images = client.list_supported_images(filter="verificationType eq 'verified' and osType eq 'linux'")
    ubuntu = [one for one in images if "ubuntu" in one.node_agent_sku_id]
    return max(ubuntu, key=lambda one: one.node_agent_sku_id)


def sas(given, container, permission):
    signature = generate_container_sas(
        given["storageName"],
        container,
        account_key=given["storageKey"],
        permission=ContainerSasPermissions.from_string(permission),
        expiry=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1),
    )
    return f"{given['blobUrl']}/{container}?{signature}"


def wait(is_so):
    deadline = time.time() + 200
    while not is_so():
        if time.time() > deadline:
            raise SystemExit("Still not so after 200 seconds.")
        time.sleep(POLL)


main()
