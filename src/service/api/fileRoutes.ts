import { constants, existsSync, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { removeTree } from '../guard/dataFolder';
import { retainedUntil } from '../scheduling/retention';
import type { NodeState } from '../scheduling/state';
import { BatchError } from '../wire/errors';
import type { Wire } from '../wire/wire';
import {
  type Context,
  checkConditions,
  page,
  type Reply,
  type Request,
  type Route,
  taskOf,
} from './http/context';
import { parseFilter } from './http/odata';
import { nodeOf } from './nodeRoutes';

/** A folder whose files are served, and the URL of its files. */
interface Served {
  readonly root: string;
  readonly url: string;
}

function ofTask(context: Context, { params }: Request): Served {
  const [jobId = '', taskId = ''] = params;
  const task = taskOf(context, jobId, taskId);
  const root = context.nodes.taskDir(task);
  if (root === undefined) throw new BatchError('TaskFilesUnavailable');
  if ((retainedUntil(task) ?? Number.POSITIVE_INFINITY) <= Date.now())
    throw new BatchError('TaskFilesCleanedup');
  const { poolId, nodeId } = task.facts.nodeInfo as { poolId: string; nodeId: string };
  mustServeFiles(context.state.pool(poolId)?.nodes.get(nodeId));
  // The node was reimaged since, or has not made the folder yet.
  if (!existsSync(root)) throw new BatchError('TaskFilesUnavailable');
  return { root, url: `${task.wire.url}/files` };
}

function ofNode(context: Context, request: Request): Served {
  const { pool, node } = nodeOf(context, request);
  mustServeFiles(node);
  return { root: context.nodes.root(pool.id, node.id), url: `${node.wire.url}/files` };
}

/** States in which a node can be reached and has its disk. */
const reachableStates: readonly unknown[] = [
  ...['waitingforstarttask', 'starttaskfailed', 'idle', 'running', 'offline', 'leavingpool'],
];

/** The node itself serves its files. Throws NodeNotFound if it has left its pool, NodeNotReady if it can't be reached. */
function mustServeFiles(node: NodeState | undefined): void {
  if (node === undefined) throw new BatchError('NodeNotFound');
  const { state } = node.wire;
  if (!reachableStates.includes(state))
    throw new BatchError('NodeNotReady', { Reason: `The node is ${state}.` });
}

function isOutside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '..' || way.startsWith(`..${sep}`);
}

/** Resolves a path to a file. Throws FileNotFound for one outside the folder, whether by dots or by a link. */
async function resolve({ root }: Served, path: string): Promise<string> {
  const target = join(root, path);
  if (path.includes('\0') || isOutside(root, target)) throw new BatchError('FileNotFound');
  try {
    const [realRoot, real] = await Promise.all([realpath(root), realpath(target)]);
    if (isOutside(realRoot, real)) throw new BatchError('FileNotFound');
    return real;
  } catch (error) {
    if (error instanceof BatchError) throw error;
    throw new BatchError('FileNotFound');
  }
}

async function fileWire({ root, url }: Served, path: string): Promise<Wire | undefined> {
  const name = relative(root, path).split(sep).join('/');
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined) return undefined;
  const fileUrl = `${url}/${name.split('/').map(encodeURIComponent).join('/')}`;
  if (stats.isDirectory()) return { name, url: fileUrl, isDirectory: true };
  return {
    name,
    url: fileUrl,
    isDirectory: false,
    properties: {
      lastModified: stats.mtime.toISOString(),
      contentLength: String(stats.size),
      contentType: contentType(name),
      fileMode: `0o${stats.mode.toString(8)}`,
    },
  };
}

async function* walk(folder: string, recursive: boolean): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    yield path;
    if (recursive && entry.isDirectory()) yield* walk(path, true);
  }
}

async function list(served: Served, context: Context, request: Request): Promise<Reply> {
  const recursive = request.query.get('recursive')?.toLowerCase() === 'true';
  const filterText = request.query.get('$filter');
  const filter = filterText ? parseFilter(filterText, 'files') : undefined;
  const wires: Wire[] = [];
  for await (const path of walk(served.root, recursive)) {
    const wire = await fileWire(served, path);
    if (wire && (filter === undefined || filter(wire))) wires.push(wire);
  }
  wires.sort((one, other) => (String(one.name) < String(other.name) ? -1 : 1));
  return page(context, request, 'files', (after) =>
    wires
      .map((wire) => [String(wire.name), wire] as const)
      .filter(([name]) => after === undefined || name > after),
  );
}

async function get(served: Served, request: Request): Promise<Reply> {
  const path = request.params.at(-1) ?? '';
  const real = await resolve(served, path);
  const stats = await statOf(real);
  checkConditions(request, { lastModified: stats.mtime.toISOString() });
  const headers: Record<string, string> = {
    'Content-Type': contentType(path),
    'Last-Modified': stats.mtime.toUTCString(),
    'ocp-batch-file-isdirectory': stats.isDirectory() ? 'True' : 'False',
    'ocp-batch-file-mode': `0o${stats.mode.toString(8)}`,
    'ocp-batch-file-url': encodeURIComponent(`${served.url}/${path}`),
  };
  if (request.method === 'HEAD' || stats.isDirectory()) {
    return {
      status: 200,
      headers: { ...headers, 'Content-Length': String(stats.isDirectory() ? 0 : stats.size) },
    };
  }
  const { start, end } = range(request.headers['ocp-range'] as string | undefined, stats.size);
  const stream = end >= start ? (await opened(real)).createReadStream({ start, end }) : undefined;
  return {
    status: 200,
    headers: { ...headers, 'Content-Length': String(Math.max(0, end - start + 1)) },
    ...(stream && { stream }),
  };
}

/** A file that its task removes at this moment does not exist. */
async function statOf(path: string): Promise<Stats> {
  return stat(path).catch(() => {
    throw new BatchError('FileNotFound');
  });
}

/** Opens a file before any of the answer is sent. Opening waits for nothing, even if the file has become a pipe. */
async function opened(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NONBLOCK = 0 } = constants;
  return open(path, O_RDONLY | O_NONBLOCK).catch((error: { code?: string }) => {
    throw error.code === 'ENOENT'
      ? new BatchError('FileNotFound')
      : new BatchError('IOError', { Reason: `The file cannot be read: ${error.code}.` });
  });
}

/** Parses `ocp-range`. A range is answered with 200, since 206 breaks the official clients. */
function range(text: string | undefined, size: number): { start: number; end: number } {
  if (text === undefined) return { start: 0, end: size - 1 };
  const [, from, to] = /^bytes=(\d+)-(\d*)$/i.exec(text) ?? [];
  if (from === undefined || (to && Number(to) < Number(from)))
    throw new BatchError('InvalidHeaderValue', { HeaderName: 'ocp-range', HeaderValue: text });
  const start = Number(from);
  if (start >= size) throw new BatchError('InvalidRange');
  return { start, end: Math.min(to ? Number(to) : size - 1, size - 1) };
}

/** Deletes a file or a folder; of a link, only the link, wherever it leads. The folder that is served stays. */
async function remove(served: Served, request: Request): Promise<Reply> {
  const name = request.params.at(-1) ?? '';
  const path = join(served.root, name);
  if (name.includes('\0') || isOutside(served.root, path) || relative(served.root, path) === '')
    throw new BatchError('FileNotFound');
  const folder = await resolve(served, relative(served.root, dirname(path)));
  const link = join(folder, basename(path));
  if (await isLink(link)) {
    await rm(link, { force: true });
    return { status: 200 };
  }
  const real = await resolve(served, name);
  const recursive = request.query.get('recursive')?.toLowerCase() === 'true';
  const stats = await statOf(real);
  if (stats.isDirectory() && !recursive && (await readdir(real)).length > 0) {
    throw new BatchError('OperationInvalidForCurrentState', { Reason: 'The directory is not empty.' });
  }
  await removeTree(real);
  return { status: 200 };
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
}

function contentType(path: string): string {
  return basename(path).toLowerCase().endsWith('.txt') ? 'text/plain' : 'application/octet-stream';
}

function routesOf(prefix: string, served: (context: Context, request: Request) => Served): Route[] {
  return [
    ['GET', `${prefix}/files`, (context, request) => list(served(context, request), context, request)],
    ['GET', `${prefix}/files/{*}`, (context, request) => get(served(context, request), request)],
    ['HEAD', `${prefix}/files/{*}`, (context, request) => get(served(context, request), request)],
    ['DELETE', `${prefix}/files/{*}`, (context, request) => remove(served(context, request), request)],
  ];
}

export const fileRoutes: Route[] = [
  ...routesOf('/jobs/{}/tasks/{}', ofTask),
  ...routesOf('/pools/{}/nodes/{}', ofNode),
];
