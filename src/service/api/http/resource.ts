import { type State, touch } from '../../scheduling/state';
import { BatchError, type ErrorCode } from '../../wire/errors';
import type { Wire } from '../../wire/wire';
import {
  type Context,
  checkConditions,
  etagHeaders,
  type Handler,
  type Reply,
  type Request,
  resourceHeaders,
  shown,
} from './context';

interface Resource {
  readonly wire: Wire;
}

/** Finds the resource that a request names. Throws if it does not exist. */
type Find<T> = (context: Context, request: Request) => T;

/**
 * Adds to a find what every change of a resource begins with: the conditional headers are checked, and a resource in one
 * of these states is refused with the error of its state.
 */
export function changeable<T extends Resource>(
  find: Find<T>,
  refusals: Readonly<Record<string, ErrorCode>> = {},
): Find<T> {
  return (context, request) => {
    const resource = find(context, request);
    checkConditions(request, resource.wire as { lastModified: unknown });
    const refusal = refusals[String(resource.wire.state)];
    if (refusal !== undefined) throw new BatchError(refusal);
    return resource;
  };
}

/** Stores a changed resource with a new ETag, and acknowledges the change. `action` is the last part of the path, if any. */
export function changed<T extends Resource>(
  { state }: Context,
  save: (state: State, resource: T) => void,
  resource: T,
  status: number,
  action?: string,
): Reply {
  touch(resource.wire);
  save(state, resource);
  return acknowledged(resource, status, action);
}

/** Acknowledges a change that gives the resource a new ETag before it begins. */
export function acknowledged({ wire }: Resource, status: number, action?: string): Reply {
  const url = String(wire.url);
  return { status, headers: resourceHeaders(wire, action === undefined ? url : `${url}/${action}`) };
}

/** Acknowledges a new resource. */
export function created({ wire }: Resource): Reply {
  return { status: 201, headers: resourceHeaders(wire, String(wire.url), true) };
}

/** Handles GET and HEAD of one resource. `wireOf` returns it as it is shown. */
export function reading<T extends Resource>(
  metadata: string,
  find: Find<T>,
  wireOf: (resource: T, request: Request, context: Context) => Wire = ({ wire }) => wire,
): Handler {
  const found = changeable(find);
  return (context, request) => {
    const resource = found(context, request);
    return {
      status: 200,
      metadata,
      headers: etagHeaders(resource.wire),
      ...(request.method === 'HEAD' ? {} : { body: shown(wireOf(resource, request, context), request) }),
    };
  };
}
