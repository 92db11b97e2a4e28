import { spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Run } from '../src/core/runs/run';
import { blockBytes } from '../src/core/transfers/buffers';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { encoding, ffmpegArguments, JobAccount, mp3Of, nameOf, type Place } from './jobAccount';
import { Floor } from './transferFloor';

const { signal } = new AbortController();

/** Makes an MP3 beside each MP4. */
export type Way = (paths: readonly string[], place: Place) => Promise<void>;

/** ffmpeg on the same files and cores, without a service. */
export async function floor(paths: readonly string[]): Promise<void> {
  const script = `exec ffmpeg ${ffmpegArguments.join(' ')} "$1" ${encoding.join(' ')} "\${1%.mp4}.mp3"`;
  const args = ['-0', `-P${availableParallelism()}`, '-n1', 'sh', '-c', script, 'sh'];
  const { status } = spawnSync('xargs', args, { input: paths.join('\0') });
  if (status !== 0) throw new Error(`xargs ended with ${status}`);
}

export async function thisExtension(
  paths: readonly string[],
  { service, batchUrl, blobUrl, nodes }: Place,
): Promise<void> {
  const { account, ...credentials } = service.connection;
  const { parts } = partsOf({ connection: { account: { ...account, batchUrl, blobUrl }, ...credentials } });
  const run = await Run.create(parts, await manifestOf(paths, { spotNodes: nodes }), signal);
  const summary = await run.advance('fetched', signal);
  await run.close();
  if (summary.succeeded !== paths.length) throw new Error(JSON.stringify(summary));
}

/** The tutorial's sequence: uploads, pool, job, tasks, a list of all tasks each second, downloads. */
export async function tutorial(paths: readonly string[], place: Place): Promise<void> {
  const account = new JobAccount(place);
  const { batch, input, output } = account;
  await input.createIfNotExists();
  await output.createIfNotExists();
  for (const path of paths) await input.getBlockBlobClient(basename(path)).uploadData(await readFile(path));
  await account.addJob();
  const tasks = paths.map((path) => account.taskOf(basename(path)));
  for (let at = 0; at < tasks.length; at += 100)
    await batch.task.addCollection('job', tasks.slice(at, at + 100));
  for (;;) {
    const all = await batch.task.list('job', { taskListOptions: { select: 'id,state' } });
    if (all.every(({ state }) => state === 'completed')) break;
    await new Promise((done) => setTimeout(done, 1_000));
  }
  const folder = dirname(paths[0] ?? '');
  for await (const { name } of output.listBlobsFlat()) {
    const { readableStreamBody } = await output.getBlobClient(name).download();
    if (readableStreamBody) await pipeline(readableStreamBody, createWriteStream(join(folder, name)));
  }
  await input.delete();
}

/** Requests for blobs at a time of `bareRequests`, and milliseconds between two polls and two additions of tasks. */
const parallel = 8;
const pollMs = 250;
const pauseMs = 10;

/**
 * The same work with the fewest requests, sent without an SDK where there are many, everything at the same time. Nothing is
 * probed, hashed, verified, retried, or flushed to disk, no log is kept, and no run could be continued. Whole files are
 * uploaded, as by the tutorial's method: this extension leaves the pictures out, so it can be faster where they are large.
 */
export async function bareRequests(paths: readonly string[], place: Place): Promise<void> {
  const account = new JobAccount(place);
  const { batch, input, output } = account;
  const folder = dirname(paths[0] ?? '');
  await Promise.all([input.create(), output.create()]);
  const uploads = new Floor(account.sasUrl(input, 'input', 'w'), parallel);
  const downloads = new Floor(account.sasUrl(output, 'output', 'r'), parallel);
  const waiting: string[] = [];
  const adding = account.addJob();
  const uploading = uploads.upload(folder, (name) => waiting.push(name));
  const stop = new AbortController();
  uploading.catch((error) => stop.abort(error));
  await adding;
  const fetched = new Set<string>();
  const fetching: Promise<void>[] = [];
  let polledAt = 0;
  while (fetched.size < paths.length) {
    stop.signal.throwIfAborted();
    const tasks = waiting.splice(0, 100).map((name) => account.taskOf(name));
    if (tasks.length > 0) await batch.task.addCollection('job', tasks);
    await new Promise((done) => setTimeout(done, pauseMs));
    if (Date.now() - polledAt < pollMs) continue;
    polledAt = Date.now();
    const filter = "state eq 'completed'";
    for (const { id = '' } of await batch.task.list('job', { taskListOptions: { filter, select: 'id' } })) {
      if (fetched.has(id)) continue;
      fetched.add(id);
      // An MP3 is shorter than a block: one request reads it, whatever its length.
      fetching.push(downloads.download(folder, [{ name: mp3Of(nameOf(id)), size: blockBytes }]));
    }
  }
  await Promise.all([uploading, ...fetching]);
}
