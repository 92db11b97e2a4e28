#!/usr/bin/env node
// Prints the variables that connect clients to the running service, one NAME=VALUE a line:
//   export $(node env.mjs)                  in a shell
//   node env.mjs >> "$GITHUB_ENV"           in a GitHub Actions step
// `--data-dir DIR` names the data folder if it isn't `data` in this folder. The output contains the account keys.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { 'data-dir': { type: 'string', default: join(dirname(fileURLToPath(import.meta.url)), 'data') } },
});
const dataDir = values['data-dir'];

const { batchUrl, blobUrl } = read(
  'service.json',
  'The service is not running: start it with start.mjs first.',
);
const { batchName, batchKey, storageName, storageKey } = read('credentials.json', 'The keys are missing.');
const storage = [
  'DefaultEndpointsProtocol=http',
  `AccountName=${storageName}`,
  `AccountKey=${storageKey}`,
  `BlobEndpoint=${blobUrl}`,
].join(';');
for (const [name, value] of Object.entries({
  AZURE_BATCH_ACCOUNT: batchName,
  AZURE_BATCH_ENDPOINT: batchUrl,
  AZURE_BATCH_ACCESS_KEY: batchKey,
  AZURE_STORAGE_CONNECTION_STRING: storage,
}))
  console.log(`${name}=${value}`);

function read(name, missing) {
  try {
    return JSON.parse(readFileSync(join(dataDir, name), 'utf8'));
  } catch (error) {
    console.error(`${missing} (${error.message})`);
    process.exit(1);
  }
}
