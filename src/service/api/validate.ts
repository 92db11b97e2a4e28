import type { BatchServiceMappers } from '@azure/batch';
import { type CompositeMapper, type Mapper, type SequenceMapper, Serializer } from '@azure/ms-rest-js';
import { BatchError, invalidProperty } from '../wire/errors';
import type { Wire } from '../wire/wire';
import { mappers, memberOf } from './members';

const serializer = new Serializer(mappers);

export type Model = keyof typeof BatchServiceMappers;

/**
 * A request body, checked by the official package's own description of it: members, types, enumerations, bounds.
 * A member that the model does not have at this version of the API is refused by name, as Batch does.
 */
export function validated(model: Model, body: Wire | undefined, version: string): Wire {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new BatchError('InvalidRequestBody', { Reason: 'A body is missing, or is no object.' });
  const mapper = mappers[model] as CompositeMapper;
  refuseUnknown(mapper, body, version);
  try {
    return serializer.serialize(mapper, serializer.deserialize(mapper, body, ''), '') as Wire;
  } catch (error) {
    throw problemOf(error instanceof Error ? error.message : String(error));
  }
}

function refuseUnknown(mapper: Mapper, value: unknown, version: string): void {
  if (mapper.type.name === 'Sequence' && Array.isArray(value)) {
    const { element } = (mapper as SequenceMapper).type;
    for (const item of value) refuseUnknown(element, item, version);
  }
  if (mapper.type.name !== 'Composite' || typeof value !== 'object' || value === null) return;
  const { className = '' } = (mapper as CompositeMapper).type;
  for (const [name, inner] of Object.entries(value)) {
    // Annotations (`odata.metadata`) are no members.
    if (name.includes('.')) continue;
    const member = memberOf(className, name, version);
    if (member === undefined) {
      throw new BatchError('InvalidRequestBody', {
        Reason: `The property '${name}' does not exist on type '${className}' at api-version ${version}.`,
      });
    }
    refuseUnknown(member, inner, version);
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
