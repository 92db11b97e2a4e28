import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.microsoft.azure.PagedList;
import com.microsoft.azure.batch.BatchClient;
import com.microsoft.azure.batch.DetailLevel;
import com.microsoft.azure.batch.auth.BatchSharedKeyCredentials;
import com.microsoft.azure.batch.protocol.models.*;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.joda.time.Period;

/**
 * Microsoft's Java client (azure-batch 11), unchanged, against the local Batch service. Reads one line of JSON from
 * stdin: batchName, batchKey, batchUrl. Prints one line of JSON: what it observed.
 */
public class Client {
  static final int MANY = 12;

  public static void main(String[] args) throws Exception {
    ObjectMapper json = new ObjectMapper();
    JsonNode given = json.readTree(System.in);
    BatchClient client =
        BatchClient.open(
            new BatchSharedKeyCredentials(
                given.get("batchUrl").asText(),
                given.get("batchName").asText(),
                given.get("batchKey").asText()));
    Map<String, Object> saw = new LinkedHashMap<>();
    pool(client, saw);
    tasks(client, saw);
    preparation(client, saw);
    schedule(client, saw);
    ends(client, saw);
    System.out.println(json.writeValueAsString(saw));
    System.exit(0);
  }

  static void pool(BatchClient client, Map<String, Object> saw) throws Exception {
    ImageInformation image = null;
    for (ImageInformation one : client.accountOperations().listSupportedImages())
      if ("ubuntu-24_04-lts".equals(one.imageReference().offer())) image = one;
    VirtualMachineConfiguration machine =
        new VirtualMachineConfiguration()
            .withImageReference(image.imageReference())
            .withNodeAgentSKUId(image.nodeAgentSKUId());
    client.poolOperations().createPool("java", "Standard_D2s_v5", machine, 1);
    while (client.poolOperations().getPool("java").allocationState() != AllocationState.STEADY)
      Thread.sleep(50);
    saw.put("nodes", client.computeNodeOperations().listComputeNodes("java").size());
  }

  static void tasks(BatchClient client, Map<String, Object> saw) throws Exception {
    client.jobOperations().createJob("java", new PoolInformation().withPoolId("java"));
    // Its createTasks waits forever for a collection that is added faster than it begins to wait.
    for (int index = 0; index < MANY; index++)
      client
          .taskOperations()
          .createTask(
              "java",
              new TaskAddParameter()
                  .withId(String.format("task%03d", index))
                  .withCommandLine(
                      index < 3 ? "/bin/sh -c 'echo from Java; exit " + index + "'" : "/bin/true"));
    PagedList<CloudTask> pages =
        client
            .taskOperations()
            .listTasks("java", new DetailLevel.Builder().withSelectClause("id,state").build());
    pages.loadAll();
    saw.put("added", pages.size());
    List<Integer> codes = new ArrayList<>();
    for (String id : new String[] {"task000", "task001", "task002"}) codes.add(ended(client, "java", id));
    saw.put("codes", codes);
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    client.fileOperations().getFileFromTask("java", "task001", "stdout.txt", text);
    saw.put("stdout", text.toString("UTF-8"));
    try {
      client.taskOperations().getTask("java", "none");
    } catch (BatchErrorException error) {
      saw.put("missing", error.body().code());
    }
    client.jobOperations().terminateJob("java", "done");
  }

  static int ended(BatchClient client, String job, String id) throws Exception {
    for (; ; Thread.sleep(50)) {
      CloudTask task = client.taskOperations().getTask(job, id);
      if (task.state() == TaskState.COMPLETED) return task.executionInfo().exitCode();
    }
  }

  static void preparation(BatchClient client, Map<String, Object> saw) throws Exception {
    client
        .jobOperations()
        .createJob(
            new JobAddParameter()
                .withId("prepared")
                .withPoolInfo(new PoolInformation().withPoolId("java"))
                .withJobPreparationTask(
                    new JobPreparationTask().withCommandLine("/bin/sh -c 'echo common > data'"))
                .withJobReleaseTask(new JobReleaseTask().withCommandLine("/bin/sh -c 'rm $AZ_BATCH_JOB_PREP_WORKING_DIR/data'")));
    client
        .taskOperations()
        .createTask(
            "prepared",
            new TaskAddParameter()
                .withId("reader")
                .withCommandLine("/bin/sh -c 'cat $AZ_BATCH_JOB_PREP_WORKING_DIR/data'"));
    saw.put("reader", ended(client, "prepared", "reader"));
    client.jobOperations().terminateJob("prepared", "done");
    while (client.jobOperations().getJob("prepared").state() != JobState.COMPLETED) Thread.sleep(50);
    JobPreparationAndReleaseTaskExecutionInformation node =
        client.jobOperations().listPreparationAndReleaseTaskStatus("prepared").get(0);
    saw.put("prepared", node.jobPreparationTaskExecutionInfo().exitCode());
    saw.put("released", node.jobReleaseTaskExecutionInfo().exitCode());
  }

  static void schedule(BatchClient client, Map<String, Object> saw) throws Exception {
    client
        .jobScheduleOperations()
        .createJobSchedule(
            "hourly",
            new Schedule().withRecurrenceInterval(Period.hours(1)),
            new JobSpecification().withPoolInfo(new PoolInformation().withPoolId("java")));
    saw.put("schedule", client.jobScheduleOperations().getJobSchedule("hourly").executionInfo().recentJob().id());
    client.jobScheduleOperations().disableJobSchedule("hourly");
    client.jobScheduleOperations().enableJobSchedule("hourly");
    client.jobScheduleOperations().deleteJobSchedule("hourly");
    while (client.jobScheduleOperations().existsJobSchedule("hourly")) Thread.sleep(50);
  }

  static void ends(BatchClient client, Map<String, Object> saw) throws Exception {
    for (String id : new String[] {"java", "prepared"}) client.jobOperations().deleteJob(id);
    client.poolOperations().deletePool("java");
    while (client.poolOperations().existsPool("java")) Thread.sleep(50);
    saw.put("gone", true);
  }
}
