import { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper, Mapper } from '@azure/ms-rest-js';
import {
  anything,
  diskKind,
  flag,
  integer,
  laterModels,
  type Member,
  many,
  one,
  oneOf,
  text,
} from './laterModels';

type Mappers = Record<string, CompositeMapper>;
type Added = Record<string, Record<string, Record<string, Member>>>;

/**
 * Members that the installed package's description of 2022-10-01.16.0 lacks, by the version they came with and by
 * model. Sources: the change logs of Microsoft's packages, and the service descriptions of these versions.
 */
const added: Added = {
  '2023-11-01.18.0': {
    PoolAddParameter: { upgradePolicy: one('UpgradePolicy'), resourceTags: anything },
    PoolSpecification: { upgradePolicy: one('UpgradePolicy'), resourceTags: anything },
    PoolPatchParameter: { resourceTags: anything },
    VirtualMachineConfiguration: {
      securityProfile: one('SecurityProfile'),
      serviceArtifactReference: one('ServiceArtifactReference'),
    },
    OSDisk: {
      caching: oneOf('none', 'readonly', 'readwrite'),
      diskSizeGB: integer,
      managedDisk: one('ManagedDisk'),
      writeAcceleratorEnabled: flag,
    },
    NetworkConfiguration: { enableAcceleratedNetworking: flag },
    VMExtension: { enableAutomaticUpgrade: flag },
  },
  '2024-07-01.20.0': {
    ManagedDisk: { securityProfile: one('VMDiskSecurityProfile') },
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
      upgradePolicy: one('UpgradePolicy'),
    },
    JobPatchParameter: { networkConfiguration: one('JobNetworkConfiguration') },
    JobNetworkConfiguration: { skipWithdrawFromVNet: flag },
    TaskContainerSettings: { containerHostBatchBindMounts: many(one('ContainerHostBatchBindMountEntry')) },
  },
  '2025-06-01': {
    TaskSchedulingPolicy: { jobDefaultOrder: oneOf('none', 'creationtime') },
    PublicIPAddressConfiguration: { ipFamilies: many(text), ipTags: many(one('IPTag')) },
    DiskEncryptionConfiguration: { customerManagedKey: anything },
    DataDisk: { managedDisk: one('ManagedDisk') },
    ManagedDisk: { diskEncryptionSet: anything },
    SecurityProfile: { proxyAgentSettings: anything },
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

/** The official package's mappers, with what later versions added. */
export const mappers: Readonly<Mappers> = extended();

function extended(): Mappers {
  const copy = structuredClone({ ...BatchServiceMappers, ...laterModels }) as unknown as Mappers;
  for (const models of Object.values(added)) {
    for (const [model, members] of Object.entries(models)) {
      const known = copy[model]?.type.modelProperties;
      if (known === undefined) throw new Error(`No model ${model}.`);
      for (const [name, mapper] of Object.entries(members)) known[name] = { ...mapper, serializedName: name };
    }
  }
  // Its value for standard SSDs came later.
  const kind = copy.DataDisk?.type.modelProperties?.storageAccountType;
  if (kind) kind.type = diskKind.type;
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
