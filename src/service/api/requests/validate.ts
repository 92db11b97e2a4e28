import type { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper, EnumMapper, Mapper, SequenceMapper } from '@azure/ms-rest-js';
import type { Registries } from '../../tasks/containers/registries';
import { noEngine } from '../../tasks/containerTask';
import { BatchError, invalidProperty } from '../../wire/errors';
import { durationMs, durationText, timeText } from '../../wire/time';
import type { Wire } from '../../wire/wire';
import { limitOf } from './limits';
import { memberOf, membersOf } from './members';
import { presentName } from './oldNames';
import { treatmentOf } from './treatment';

export type Model = keyof typeof BatchServiceMappers;

/** Keeps the passwords of container registries out of what is returned. Undefined where no container engine answers. */
type Containers = { readonly registries: Pick<Registries, 'keep'> } | undefined;

/**
 * A request body, checked against the official package's own description of it (members, types, enumerations, what is
 * required) and against the limits that Azure documents. The copy that is returned has enumerations in their canonical
 * case and no secrets. A member that the model does not have at this version of the API, or that this service does not
 * carry out, is refused by name.
 */
export function validated(
  model: Model,
  body: Wire | undefined,
  version: string,
  containers?: Containers,
): Wire {
  if (body === undefined) throw new BatchError('InvalidRequestBody', { Reason: 'The request has no body.' });
  return composite(model, body, { path: '', name: '', version, containers }) as Wire;
}

/** Where in a body the validation is. */
interface Place {
  /** From the body on: `startTask.resourceFiles[0].filePath`. */
  readonly path: string;
  /** The last member name of the path, which Azure's errors give as PropertyName. */
  readonly name: string;
  readonly version: string;
  readonly containers: Containers;
}

/** Its reason names the whole path where the member is not of the body itself. */
function refuse({ path, name }: Place, value: unknown, reason: string): BatchError {
  return invalidProperty(name, value, path === name ? reason : `${path}: ${reason}`);
}

function composite(model: string, value: unknown, place: Place): Wire {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrongType(place, 'an object');
  const result: Wire = {};
  for (const [sentName, inner] of Object.entries(value)) {
    const name = presentName(sentName, place.version);
    // Annotations (`odata.metadata`) are no members, and null is an absent value.
    if (name.includes('.') || inner == null) continue;
    const mapper = memberOf(model, name, place.version);
    if (mapper === undefined) {
      throw new BatchError('InvalidRequestBody', {
        Reason: `The property '${sentName}' does not exist on type '${model}' at api-version ${place.version}.`,
      });
    }
    const at = {
      ...place,
      path: place.path === '' ? sentName : `${place.path}.${sentName}`,
      name: sentName,
    };
    const { treatment, reason = '' } = treatmentOf(model, name) ?? {};
    if (treatment === 'refused' && !isEmpty(inner)) throw refuse(at, undefined, reason);
    if (treatment === 'engine' && !place.containers && !isEmpty(inner)) throw refuse(at, undefined, noEngine);
    const checked = checkedValue(mapper, inner, at);
    const problem = limitOf(model, name)?.(checked, value as Wire, place.version);
    if (problem !== undefined) throw refuse(at, describable(checked), problem);
    if (treatment !== 'discarded') result[name] = checked;
  }
  if (model === 'ContainerRegistry') keepPassword(result, place);
  for (const [name, { required }] of membersOf(model)) {
    if (required && (value as Wire)[name] == null && memberOf(model, name, place.version)) {
      const path = place.path === '' ? name : `${place.path}.${name}`;
      throw new BatchError('MissingRequiredProperty', {
        PropertyName: name,
        Reason: `The property '${path}' is required.`,
      });
    }
  }
  return result;
}

/** No resource holds the password of a registry. */
function keepPassword(registry: Wire, { containers }: Place): void {
  if (typeof registry.password === 'string') containers?.registries.keep(registry, registry.password);
  delete registry.password;
}

/** Whether a value is empty: a refused member with an empty value has no effect and is accepted. */
function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function describable(value: unknown): unknown {
  return typeof value === 'object' ? undefined : value;
}

function checkedValue(mapper: Mapper, value: unknown, place: Place): unknown {
  const { type } = mapper;
  switch (type.name) {
    case 'Composite':
      return composite((mapper as CompositeMapper).type.className ?? '', value, place);
    case 'Sequence': {
      if (!Array.isArray(value)) throw wrongType(place, 'an array');
      const { element } = (mapper as SequenceMapper).type;
      return value.map((item, index) =>
        checkedValue(element, item, { ...place, path: `${place.path}[${index}]` }),
      );
    }
    case 'Enum':
      return enumeration((mapper as EnumMapper).type.allowedValues, value, place);
    case 'String':
      if (typeof value !== 'string') throw wrongType(place, 'a string');
      if (/\p{Surrogate}/u.test(value)) throw wrongType(place, 'valid Unicode');
      return value;
    case 'Number':
      // int64 travels as a string.
      if (typeof value === 'string' && /^-?\d{1,15}$/.test(value)) return Number(value);
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw wrongType(place, 'an integer');
      return value;
    case 'Boolean':
      if (typeof value !== 'boolean') throw wrongType(place, 'a Boolean');
      return value;
    case 'TimeSpan':
      return durationOf(value, place);
    case 'DateTime':
      return timeOf(value, place);
    default:
      return value;
  }
}

function durationOf(value: unknown, place: Place): string {
  const ms = typeof value === 'string' ? durationMs(value) : undefined;
  if (ms === undefined) throw wrongType(place, 'a duration in ISO 8601 format, such as PT15M');
  return durationText(ms);
}

function timeOf(value: unknown, place: Place): string {
  const time = typeof value === 'string' ? timeText(value) : undefined;
  if (time === undefined) throw wrongType(place, 'a time in ISO 8601 format');
  return time;
}

/** Values that Azure returns in another case than its description has, by member: recorded replies. */
const spellings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  caching: { readonly: 'ReadOnly', readwrite: 'ReadWrite' },
  nodeFillType: { pack: 'Pack', spread: 'Spread' },
  policy: { regional: 'Regional', zonal: 'Zonal' },
  uploadCondition: {
    tasksuccess: 'TaskSuccess',
    taskfailure: 'TaskFailure',
    taskcompletion: 'TaskCompletion',
  },
};

/** Clients write enumerations in any case; the service compares the canonical one. */
function enumeration(allowed: readonly unknown[], value: unknown, place: Place): unknown {
  const folded = typeof value === 'string' ? value.toLowerCase() : '';
  const found = allowed.find((one) => String(one).toLowerCase() === folded);
  if (found === undefined)
    throw refuse(place, describable(value), `The value must be one of: ${allowed.join(', ')}.`);
  return spellings[place.name]?.[folded] ?? found;
}

function wrongType(place: Place, expected: string): BatchError {
  if (place.path === '')
    return new BatchError('InvalidRequestBody', { Reason: 'The body must be a JSON object.' });
  return refuse(place, undefined, `The value must be ${expected}.`);
}
