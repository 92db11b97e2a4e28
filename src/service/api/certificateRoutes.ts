import { setState } from '../scheduling/state';
import { BatchError } from '../wire/errors';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  page,
  type Reply,
  type Request,
  type Route,
  shown,
  versioned,
} from './http/context';
import { validated } from './requests/validate';

/** The version that removed certificates. */
const end = '2025-06-01';
/** A deletion can be watched, as in Azure. */
const deletionMs = 3_000;

interface Named {
  readonly thumbprintAlgorithm: string;
  readonly thumbprint: string;
}

/** The path of a certificate, as the service writes it. */
const pathOf = ({ thumbprintAlgorithm, thumbprint }: Named) =>
  `/certificates(thumbprintAlgorithm=${thumbprintAlgorithm},thumbprint=${thumbprint})`;

/** Finds the certificate that a path names, and the action behind it, if any. */
function find({ state }: Context, { params: [rest = ''] }: Request): { wire: Wire; action?: string } {
  const [, algorithm, thumbprint = '', action] =
    /^\(thumbprintAlgorithm=(\w+),thumbprint=([0-9a-f]+)\)(?:\/(\w+))?$/i.exec(rest) ?? [];
  if (algorithm === undefined) throw new BatchError('ResourceNotFound');
  const wire =
    algorithm.toLowerCase() === 'sha1' ? state.certificates.get(thumbprint.toLowerCase()) : undefined;
  if (wire === undefined) throw new BatchError('CertificateNotFound');
  return { wire, action };
}

/**
 * Adds a certificate. Nodes do not get it, so only the thumbprint is kept of a certificate with a private key. A `cer` file is
 * kept whole: it contains the public part only.
 */
function add({ state, base }: Context, { body, version }: Request): Reply {
  const given = validated('CertificateAddParameter', body, version);
  const {
    thumbprint,
    thumbprintAlgorithm,
    data,
    certificateFormat = 'pfx',
  } = given as Record<string, string>;
  const named = {
    thumbprintAlgorithm: String(thumbprintAlgorithm),
    thumbprint: String(thumbprint).toLowerCase(),
  };
  if (state.certificates.has(named.thumbprint)) throw new BatchError('CertificateExists');
  const url = `${base()}${pathOf(named)}`;
  state.saveCertificate({
    thumbprint: named.thumbprint,
    thumbprintAlgorithm: named.thumbprintAlgorithm,
    url,
    state: 'active',
    stateTransitionTime: timestamp(),
    ...(certificateFormat === 'cer' && { publicData: data }),
  });
  return { status: 201, headers: { DataServiceId: url, Location: url } };
}

/** Deletes a certificate a moment later, unless a pool refers to it then. */
function remove(context: Context, request: Request): Reply {
  const { wire } = find(context, request);
  if (wire.state === 'deleting') throw new BatchError('CertificateBeingDeleted');
  delete wire.deleteCertificateError;
  setState(wire, 'deleting');
  context.state.saveCertificate(wire);
  const about = `the deletion of certificate ${wire.thumbprint}`;
  context.supervisor.after(deletionMs, { about }, () => settle(context, wire));
  return { status: 202 };
}

function settle({ state }: Context, wire: Wire): void {
  const users = [...state.pools.values()].filter((pool) => refersTo(pool.wire, wire)).map(({ id }) => id);
  if (users.length === 0) {
    state.removeCertificate(wire);
    return;
  }
  setState(wire, 'deletefailed');
  wire.deleteCertificateError = {
    code: 'PoolsReferencingCertificate',
    message: 'The specified certificate is being used by the below mentioned pool(s)',
    values: [{ name: 'Pools', value: users.join(',') }],
  };
  state.saveCertificate(wire);
}

function refersTo({ certificateReferences = [] }: Wire, { thumbprint }: Wire): boolean {
  return (certificateReferences as Wire[]).some((one) => String(one.thumbprint).toLowerCase() === thumbprint);
}

/** Makes a certificate active again whose deletion has failed. */
function cancelDeletion(context: Context, request: Request): Reply {
  const { wire, action } = find(context, request);
  if (action !== 'canceldelete') throw new BatchError('ResourceNotFound');
  if (wire.state === 'active') throw new BatchError('CertificateStateActive');
  if (wire.state === 'deleting') throw new BatchError('CertificateBeingDeleted');
  delete wire.deleteCertificateError;
  setState(wire, 'active');
  context.state.saveCertificate(wire);
  return { status: 204, headers: { DataServiceId: `${wire.url}/canceldelete` } };
}

function list(context: Context, request: Request): Reply {
  const { certificates } = context.state;
  return page(context, request, 'certificates', (after) =>
    afterId([...certificates.keys()].sort(), after, (thumbprint) => certificates.get(thumbprint)),
  );
}

function get(context: Context, request: Request): Reply {
  return {
    status: 200,
    metadata: 'certificates/@Element',
    body: shown(find(context, request).wire, request),
  };
}

export const certificateRoutes: Route[] = [
  ['POST', '/certificates', versioned({ until: end }, add)],
  ['GET', '/certificates', versioned({ until: end }, list)],
  ['GET', '/certificates{*}', versioned({ until: end }, get)],
  ['DELETE', '/certificates{*}', versioned({ until: end }, remove)],
  ['POST', '/certificates{*}', versioned({ until: end }, cancelDeletion)],
];
