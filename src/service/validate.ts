import { BatchServiceMappers } from '@azure/batch';
import { Serializer } from '@azure/ms-rest-js';
import { BatchError, invalidProperty } from './errors';
import type { Wire } from './odata';

const serializer = new Serializer(BatchServiceMappers);

export type Model = keyof typeof BatchServiceMappers;

/**
 * A request body with only the members that the model has, checked by the official package's own description of it:
 * required members, types, enumerations, bounds.
 */
export function validated(model: Model, body: Wire | undefined): Wire {
  if (body === undefined) throw new BatchError('InvalidRequestBody', { Reason: 'A body is missing.' });
  const mapper = BatchServiceMappers[model] as Parameters<Serializer['serialize']>[0];
  try {
    return serializer.serialize(mapper, serializer.deserialize(mapper, body, ''), '') as Wire;
  } catch (error) {
    throw problemOf(error instanceof Error ? error.message : String(error));
  }
}

/** The serializer's sentences name the member first. */
function problemOf(message: string): BatchError {
  const name = (/^"?([\w.[\]$]+)"?/.exec(message)?.[1] ?? '').replace(/^\.+/, '');
  if (/cannot be null or undefined/.test(message)) {
    return new BatchError('MissingRequiredProperty', { PropertyName: name, Reason: message });
  }
  return invalidProperty(name, undefined, message);
}

const idPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** An id that Batch takes: letters, digits, hyphens and underscores, 64 at most. */
export function validId(id: unknown, name = 'id'): string {
  if (typeof id === 'string' && idPattern.test(id)) return id;
  throw invalidProperty(name, id, 'An id has 1 to 64 letters, digits, hyphens and underscores.');
}
