import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerClient } from '@azure/storage-blob';
import type { NodeState } from '../scheduling/state';
import { credentialFor } from '../tasks/ownStorage';
import { hasIpv6, ipv6Loopback, loopback, sshPort } from '../wire/endpoints';
import { BatchError } from '../wire/errors';
import type { Wire } from '../wire/wire';
import {
  afterIndex,
  type Context,
  page,
  type Reply,
  type Request,
  type Route,
  shown,
  versioned,
} from './http/context';
import { mustBeUp, nodeOf } from './nodeRoutes';
import { validated } from './requests/validate';
import { checkUrl } from './resources/taskChecks';

/** Names of the users of each node. No accounts are created for them on this machine. */
const usersOf = new WeakMap<NodeState, Set<string>>();

/** Finds the users of a node. Throws the code of the node's state if it is not up. */
function users(context: Context, request: Request): { names: Set<string>; url: string } {
  const { node } = nodeOf(context, request);
  mustBeUp(node);
  const names = usersOf.get(node) ?? new Set();
  usersOf.set(node, names);
  return { names, url: `${node.wire.url}/users` };
}

function addUser(context: Context, request: Request): Reply {
  const name = String(validated('ComputeNodeUser', request.body, request.version).name);
  const { names, url } = users(context, request);
  if (names.has(name)) throw new BatchError('NodeUserExists');
  names.add(name);
  const user = `${url}/${encodeURIComponent(name)}`;
  return { status: 201, headers: { DataServiceId: user, Location: user } };
}

function updateUser(context: Context, request: Request): Reply {
  validated('NodeUpdateUserParameter', request.body, request.version);
  const { names, url } = users(context, request);
  const name = request.params[2] ?? '';
  if (!names.has(name)) throw new BatchError('NodeUserNotFound');
  return { status: 200, headers: { DataServiceId: `${url}/${encodeURIComponent(name)}` } };
}

function deleteUser(context: Context, request: Request): Reply {
  if (!users(context, request).names.delete(request.params[2] ?? ''))
    throw new BatchError('NodeUserNotFound');
  return { status: 200 };
}

/** Returns the address of this machine. Whether SSH listens there is up to the machine. */
function remoteLogin(context: Context, request: Request): Reply {
  const { pool, node } = nodeOf(context, request);
  return {
    status: 200,
    metadata: 'Microsoft.Azure.Batch.Protocol.Entities.RemoteLoginSettings',
    headers: { DataServiceId: `${node.wire.url}/remoteloginsettings` },
    body: {
      remoteLoginIPAddress: loopback,
      remoteLoginPort: sshPort,
      ...(hasIpv6(pool.wire) && { ipv6RemoteLoginIPAddress: ipv6Loopback, ipv6RemoteLoginPort: sshPort }),
    },
  };
}

/** Returns the file that connects Remote Desktop to this machine, for nodes with Windows. */
function remoteDesktop(context: Context, request: Request): Reply {
  const { wire } = nodeOf(context, request).pool;
  const { nodeAgentSKUId } = (wire.virtualMachineConfiguration ?? {}) as { nodeAgentSKUId?: string };
  if (wire.cloudServiceConfiguration === undefined && !/windows/i.test(nodeAgentSKUId ?? ''))
    throw new BatchError('OperationNotValidOnNode', { Reason: 'Linux nodes have no Remote Desktop.' });
  return {
    status: 200,
    headers: { 'Content-Type': 'application/octet-stream' },
    text: `full address:s:${loopback}\n`,
  };
}

/** The extension with which Azure prepares each node. Here, the service does that itself. */
const ownExtension: Wire = {
  name: 'batchNodeExtension',
  publisher: 'Microsoft.Azure.Extensions',
  type: 'CustomScript',
  typeHandlerVersion: '2.0',
  autoUpgradeMinorVersion: true,
};

function extensionWire(vmExtension: Wire, status: Wire): Wire {
  const isInstalled = vmExtension === ownExtension;
  return {
    provisioningState: isInstalled ? 'Succeeded' : 'Failed',
    instanceView: {
      name: vmExtension.name,
      statuses: [{ level: isInstalled ? 'Info' : 'Error', ...status }],
    },
    vmExtension,
  };
}

/** The extensions of a node: those of its pool, which are not installed, and the one of Batch. */
function extensionsOf(context: Context, request: Request): readonly Wire[] {
  const { wire } = nodeOf(context, request).pool;
  const { extensions = [] } = (wire.virtualMachineConfiguration ?? {}) as { extensions?: Wire[] };
  return [
    ...extensions.map((extension) =>
      extensionWire(extension, {
        code: 'ProvisioningState/failed',
        displayStatus: 'Provisioning failed',
        message: 'The local Batch service installs no extensions of virtual machines.',
      }),
    ),
    extensionWire(ownExtension, {
      code: 'ProvisioningState/succeeded',
      displayStatus: 'Provisioning succeeded',
    }),
  ];
}

function getExtension(context: Context, request: Request): Reply {
  const [, , name] = request.params;
  const found = extensionsOf(context, request).find(
    ({ vmExtension }) => String((vmExtension as Wire).name).toLowerCase() === name?.toLowerCase(),
  );
  if (found === undefined) throw new BatchError('ExtensionNotFound');
  return { status: 200, metadata: 'extensions/@Element', body: shown(found, request) };
}

/**
 * Uploads what the service has logged within a time range, in place of the logs of a node agent. As in Azure, the reply
 * does not wait for the upload.
 */
async function uploadLogs(context: Context, request: Request): Promise<Reply> {
  const { containerUrl, startTime, endTime } = validated(
    'UploadBatchServiceLogsConfiguration',
    request.body,
    request.version,
  ) as Record<string, string | undefined>;
  const url = String(containerUrl);
  checkUrl('containerUrl', url);
  const { pool, node } = nodeOf(context, request);
  const from = Date.parse(String(startTime));
  const to = endTime === undefined ? Number.POSITIVE_INFINITY : Date.parse(endTime);
  const log = await readFile(join(context.nodes.folder.path, 'service.log'), 'utf8').catch(() => '');
  const lines = log.split('\n').filter((line) => {
    const time = Date.parse(line.split(' ', 1)[0] ?? '');
    return time >= from && time <= to;
  });
  const virtualDirectoryName = `${context.accountName}/${pool.id}/${node.id}/${randomUUID()}`;
  const text = lines.map((line) => `${line}\n`).join('');
  const about = `the upload of the logs of node ${node.id}`;
  context.supervisor.run({ about }, async () => {
    const blob = new ContainerClient(url, credentialFor(context.storage, url)).getBlockBlobClient(
      `${virtualDirectoryName}/service.log`,
    );
    await blob.upload(text, Buffer.byteLength(text), { abortSignal: context.supervisor.signal });
  });
  return {
    status: 200,
    metadata: 'Microsoft.Azure.Batch.Protocol.Entities.UploadBatchServiceLogsResult',
    body: { virtualDirectoryName, numberOfFilesUploaded: 1 },
  };
}

export const nodeAccessRoutes: Route[] = [
  ['POST', '/pools/{}/nodes/{}/users', addUser],
  ['PUT', '/pools/{}/nodes/{}/users/{}', updateUser],
  ['DELETE', '/pools/{}/nodes/{}/users/{}', deleteUser],
  ['GET', '/pools/{}/nodes/{}/remoteloginsettings', remoteLogin],
  ['GET', '/pools/{}/nodes/{}/rdp', versioned({ until: '2024-07-01.20.0' }, remoteDesktop)],
  ['POST', '/pools/{}/nodes/{}/uploadbatchservicelogs', uploadLogs],
  [
    'GET',
    '/pools/{}/nodes/{}/extensions',
    (context, request) => {
      const items = extensionsOf(context, request);
      return page(context, request, 'extensions', (after) => afterIndex(items, after));
    },
  ],
  ['GET', '/pools/{}/nodes/{}/extensions/{}', getExtension],
];
