// A program that a task runs: it adds tasks to its job with the token that the task was given, by the official client.
import { BatchServiceClient } from '@azure/batch';
import { TokenCredentials } from '@azure/ms-rest-js';

const {
  AZ_BATCH_ACCOUNT_URL: url = '',
  AZ_BATCH_AUTHENTICATION_TOKEN: token = '',
  AZ_BATCH_JOB_ID: jobId = '',
} = process.env;

const client = new BatchServiceClient(new TokenCredentials(token), url, { noRetryPolicy: true });
await client.task.addCollection(
  jobId,
  ['a', 'b', 'c'].map((id) => ({ id, commandLine: '/bin/true' })),
);
console.log((await client.job.get(jobId)).id);
for (const call of [() => client.pool.list(), () => client.job.get('other'), () => client.job.list()]) {
  await call().then(
    () => console.log('allowed'),
    ({ statusCode }) => console.log(statusCode),
  );
}
// A test tries the token once this program has ended.
console.error(token);
