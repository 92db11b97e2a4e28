import { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper, Mapper } from '@azure/ms-rest-js';
import type { Wire } from '../../wire/wire';

type Mappers = Record<string, CompositeMapper>;
type Added = Record<string, Record<string, Record<string, Mapper>>>;

const text: Mapper = { type: { name: 'String' } };
const flag: Mapper = { type: { name: 'Boolean' } };
const integer: Mapper = { type: { name: 'Number' } };
/** A member whose content has no description. It is stored as it is. */
const anything: Mapper = { type: { name: 'Object' } };
const one = (className: string): Mapper => ({ type: { name: 'Composite', className } });
const many = (element: Mapper): Mapper => ({ type: { name: 'Sequence', element } });
const oneOf = (...allowedValues: string[]): Mapper => ({ type: { name: 'Enum', allowedValues } });

/**
 * Members that the installed package's description of 2022-10-01.16.0 lacks, by the version they came with and by
 * model. Sources: the change logs of Microsoft's packages, and the service descriptions of these versions.
 */
const added: Added = {
  '2023-11-01.18.0': {
    PoolAddParameter: { upgradePolicy: anything, resourceTags: anything },
    PoolSpecification: { upgradePolicy: anything, resourceTags: anything },
    PoolPatchParameter: { resourceTags: anything },
    VirtualMachineConfiguration: { securityProfile: anything, serviceArtifactReference: anything },
    OSDisk: {
      caching: oneOf('none', 'readonly', 'readwrite'),
      diskSizeGB: integer,
      managedDisk: anything,
      writeAcceleratorEnabled: flag,
    },
    NetworkConfiguration: { enableAcceleratedNetworking: flag },
    VMExtension: { enableAutomaticUpgrade: flag },
  },
  '2024-07-01.20.0': {
    ImageReference: { sharedGalleryImageId: text, communityGalleryImageId: text },
    PoolPatchParameter: {
      displayName: text,
      vmSize: text,
      enableInterNodeCommunication: flag,
      virtualMachineConfiguration: one('VirtualMachineConfiguration'),
      taskSlotsPerNode: integer,
      taskSchedulingPolicy: one('TaskSchedulingPolicy'),
      networkConfiguration: one('NetworkConfiguration'),
      userAccounts: many(one('UserAccount')),
      mountConfiguration: many(one('MountConfiguration')),
      upgradePolicy: anything,
    },
    JobPatchParameter: { networkConfiguration: one('JobNetworkConfiguration') },
    JobNetworkConfiguration: { skipWithdrawFromVNet: flag },
    TaskContainerSettings: { containerHostBatchBindMounts: many(one('ContainerHostBatchBindMountEntry')) },
  },
  '2025-06-01': {
    TaskSchedulingPolicy: { jobDefaultOrder: oneOf('none', 'creationtime') },
    PublicIPAddressConfiguration: { ipFamilies: many(text), ipTags: many(anything) },
    DiskEncryptionConfiguration: { customerManagedKey: anything },
    DataDisk: { managedDisk: anything },
  },
};

/** Members that later versions no longer take. */
const removed: Record<string, Record<string, readonly string[]>> = {
  '2024-07-01.20.0': {
    PoolAddParameter: ['cloudServiceConfiguration', 'applicationLicenses'],
    PoolSpecification: ['cloudServiceConfiguration', 'applicationLicenses'],
  },
  '2025-06-01': {
    PoolAddParameter: ['certificateReferences', 'targetNodeCommunicationMode', 'resourceTags'],
    PoolSpecification: ['certificateReferences', 'targetNodeCommunicationMode', 'resourceTags'],
    PoolPatchParameter: ['certificateReferences', 'targetNodeCommunicationMode', 'resourceTags'],
    PoolUpdatePropertiesParameter: ['certificateReferences', 'targetNodeCommunicationMode'],
  },
};

/** Models that later versions added. */
const later: Mappers = {
  ContainerHostBatchBindMountEntry: {
    serializedName: 'ContainerHostBatchBindMountEntry',
    type: {
      name: 'Composite',
      className: 'ContainerHostBatchBindMountEntry',
      modelProperties: {
        source: { ...text, serializedName: 'source' },
        isReadOnly: { ...flag, serializedName: 'isReadOnly' },
      },
    },
  },
};

/** The official package's mappers, with what later versions added. */
export const mappers: Readonly<Mappers> = extended();

function extended(): Mappers {
  const copy = structuredClone({ ...BatchServiceMappers, ...later }) as unknown as Mappers;
  for (const models of Object.values(added)) {
    for (const [model, members] of Object.entries(models)) {
      const known = copy[model]?.type.modelProperties;
      if (known === undefined) throw new Error(`No model ${model}.`);
      for (const [name, mapper] of Object.entries(members)) known[name] = { ...mapper, serializedName: name };
    }
  }
  // Required until 2025-06-01, which removed it: checked where the version is known.
  const properties = copy.PoolUpdatePropertiesParameter?.type.modelProperties;
  if (properties?.certificateReferences) properties.certificateReferences.required = false;
  return copy;
}

/** Which versions know a member: from one on, until another. Versions sort as text. */
const windows = new Map<string, { from?: string; until?: string }>();
for (const [version, models] of Object.entries(added)) {
  for (const [model, members] of Object.entries(models)) {
    for (const name of Object.keys(members)) windows.set(`${model}.${name}`, { from: version });
  }
}
for (const [version, models] of Object.entries(removed)) {
  for (const [model, names] of Object.entries(models)) {
    for (const name of names) {
      const key = `${model}.${name}`;
      windows.set(key, { ...windows.get(key), until: version });
    }
  }
}

/** The version that renamed a member of pools, and its name until then. */
const slotsVersion = '2020-09-01.12.0';
const oldSlots = 'maxTasksPerNode';

/** The present name of a member of a request. Clients of old versions send the name that their version has. */
export function presentName(name: string, version: string): string {
  return name === oldSlots && version < slotsVersion ? 'taskSlotsPerNode' : name;
}

/** A pool with the member names of a version. */
export function named(pool: Wire, version: string): Wire {
  if (version >= slotsVersion) return pool;
  const { taskSlotsPerNode, ...rest } = pool;
  return { ...rest, [oldSlots]: taskSlotsPerNode };
}

/** The members of each model by their names in JSON. */
const byName = new Map(
  Object.entries(mappers).map(([model, { type }]) => [
    model,
    new Map(
      Object.values(type.modelProperties ?? {}).map(
        (member) => [member.serializedName ?? '', member] as const,
      ),
    ),
  ]),
);

/** A member of a model at a version of the API; undefined where that version does not have it. */
export function memberOf(model: string, name: string, version: string): Mapper | undefined {
  const { from = '', until = '~' } = windows.get(`${model}.${name}`) ?? {};
  return version >= from && version < until ? byName.get(model)?.get(name) : undefined;
}

/** All members of a model, of whatever version, by their names in JSON. */
export function membersOf(model: string): ReadonlyMap<string, Mapper> {
  return byName.get(model) ?? new Map();
}
