import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type EngineChoice, isEngineChoice } from './tasks/containers/engine';

export const help = `The local Batch service: Azure Batch's REST API on this machine, with Azurite as its storage.

Usage: node service.js --data-dir DIR [options]

  --data-dir DIR          Folder for state, logs and task files. One service runs for each folder.
  --port N                Port of the Batch service (default 0: a free port).
  --blob-port N           Port of Blob Storage (default 0: a free port).
  --credentials WHERE     file (default): DIR/credentials.json, made at the first start, readable by you only.
                          stdin: one line of JSON with batchName, batchKey, storageName and storageKey.
  --trust-token TOKEN     Accept this bearer token in addition to signatures. May be repeated. For tests: other
                          users of the machine can see it in the list of processes.
  --idle-minutes N        End after N minutes without requests and tasks (default 0: never).
  --max-nodes N           Node quota of the account, over all pools (default 1000).
  --max-processes N       Tasks that run at a time over all nodes (default: the machine's cores, at least 4;
                          0: no limit other than the task slots).
  --node-step-ms N        Milliseconds that a node takes from one state to the next (default 150).
  --path-prepend DIR      Put DIR in front of the PATH of tasks. May be repeated.
  --packages DIR          Folder of application packages, APPLICATION/VERSION.zip (default: packages in the data folder).
  --container-engine WHO  Engine of tasks with containerSettings: docker, podman, none, or auto (default), the first
                          of docker and podman that answers.
  --perl PATH             Perl that starts the programs of tasks, which takes less memory and time than Node.js (default on
                          Linux: /usr/bin/perl), or none. Where it doesn't work, Node.js starts them.
  --allow-elevated        Run start tasks that ask for administrator rights, as the user that runs the service.
  --faults                Allow the signed route POST /_faults, which injects faults for tests.
  --quiet                 Write the log to DIR/service.log only, not to stderr as well.
  --disk-use              Print the disk use of DIR as one line of JSON, and end. Starts nothing.
  --reset                 End the service of DIR if one runs, delete all pools, jobs, task files and blobs, print
                          what was freed as one line of JSON, and end. Keys and ports are kept.
  --help                  Print this text.

Prints one line of JSON when it is ready. It listens on 127.0.0.1 only and answers signed requests only.
`;

export interface Options {
  readonly dataDir: string;
  readonly port: number;
  readonly blobPort: number;
  readonly credentials: 'file' | 'stdin';
  readonly trustTokens: readonly string[];
  readonly idleMinutes: number;
  readonly maxNodes: number;
  readonly maxProcesses: number;
  readonly nodeStepMs: number;
  readonly pathPrepend: readonly string[];
  readonly packagesDir?: string;
  readonly containerEngine: EngineChoice;
  /** The Perl interpreter that starts programs; undefined for Node.js. */
  readonly perl?: string;
  readonly allowElevated: boolean;
  readonly faults: boolean;
  readonly quiet: boolean;
  readonly command: 'serve' | 'diskUse' | 'reset' | 'help';
}

/** A command line that cannot be used. Its message is one sentence for the user. */
export class UsageError extends Error {}

/** Reads the command line. Throws a UsageError that names the flag. */
export function optionsOf(args: readonly string[]): Options {
  const { values } = parsed(args);
  const dataDir = values['data-dir'] ?? '';
  if (dataDir === '' && !values.help) throw new UsageError('Specify a data folder with --data-dir DIR.');
  const { credentials, 'container-engine': containerEngine } = values;
  if (credentials !== 'file' && credentials !== 'stdin') {
    throw new UsageError(`--credentials is file or stdin, not ${credentials}.`);
  }
  if (!isEngineChoice(containerEngine)) {
    throw new UsageError(`--container-engine is auto, docker, podman or none, not ${containerEngine}.`);
  }
  return {
    dataDir,
    port: portNumber('--port', values.port),
    blobPort: portNumber('--blob-port', values['blob-port']),
    credentials,
    trustTokens: values['trust-token'],
    idleMinutes: number('--idle-minutes', values['idle-minutes']),
    maxNodes: wholeNumber('--max-nodes', values['max-nodes']),
    maxProcesses: wholeNumber('--max-processes', values['max-processes']),
    nodeStepMs: number('--node-step-ms', values['node-step-ms']),
    pathPrepend: values['path-prepend'],
    packagesDir: values.packages,
    containerEngine,
    perl: values.perl === 'none' ? undefined : values.perl,
    allowElevated: values['allow-elevated'],
    faults: values.faults,
    quiet: values.quiet,
    command: commandOf(values),
  };
}

function commandOf(values: ReturnType<typeof parsed>['values']): Options['command'] {
  if (values.help) return 'help';
  if (values['disk-use']) return 'diskUse';
  return values.reset ? 'reset' : 'serve';
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        'data-dir': { type: 'string' },
        port: { type: 'string', default: '0' },
        'blob-port': { type: 'string', default: '0' },
        credentials: { type: 'string', default: 'file' },
        'trust-token': { type: 'string', multiple: true, default: [] },
        'idle-minutes': { type: 'string', default: '0' },
        'max-nodes': { type: 'string', default: '1000' },
        'max-processes': { type: 'string', default: String(Math.max(4, availableParallelism())) },
        'node-step-ms': { type: 'string', default: '150' },
        'path-prepend': { type: 'string', multiple: true, default: [] },
        packages: { type: 'string' },
        'container-engine': { type: 'string', default: 'auto' },
        perl: { type: 'string', default: process.platform === 'linux' ? '/usr/bin/perl' : 'none' },
        'allow-elevated': { type: 'boolean', default: false },
        faults: { type: 'boolean', default: false },
        quiet: { type: 'boolean', default: false },
        'disk-use': { type: 'boolean', default: false },
        reset: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function number(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new UsageError(`${flag} is a number that is not negative, not ${text}.`);
  }
  return value;
}

function portNumber(flag: string, text: string): number {
  const port = wholeNumber(flag, text);
  if (port > 65_535) throw new UsageError(`${flag} is at most 65535, not ${text}.`);
  return port;
}

function wholeNumber(flag: string, text: string): number {
  const value = number(flag, text);
  if (!Number.isSafeInteger(value)) throw new UsageError(`${flag} is a whole number, not ${text}.`);
  return value;
}
