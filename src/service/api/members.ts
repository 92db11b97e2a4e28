import { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper, Mapper } from '@azure/ms-rest-js';

type Mappers = Record<string, CompositeMapper>;

/** What the installed package's description of 2022-10-01.16.0 lacks: members by model, and the version they came with. */
const added: Record<string, Record<string, readonly string[]>> = {
  '2023-11-01.18.0': {
    PoolAddParameter: ['upgradePolicy'],
    PoolSpecification: ['upgradePolicy'],
    VirtualMachineConfiguration: ['securityProfile', 'serviceArtifactReference'],
    OSDisk: ['caching', 'diskSizeGB', 'managedDisk', 'writeAcceleratorEnabled'],
    NetworkConfiguration: ['enableAcceleratedNetworking'],
    VMExtension: ['enableAutomaticUpgrade'],
  },
  '2024-07-01.20.0': {
    ImageReference: ['sharedGalleryImageId', 'communityGalleryImageId'],
    PoolPatchParameter: [
      'displayName',
      'vmSize',
      'enableInterNodeCommunication',
      'virtualMachineConfiguration',
      'taskSlotsPerNode',
      'taskSchedulingPolicy',
      'networkConfiguration',
      'userAccounts',
      'mountConfiguration',
      'upgradePolicy',
    ],
    JobPatchParameter: ['networkConfiguration'],
    JobNetworkConfiguration: ['skipWithdrawFromVNet'],
    TaskContainerSettings: ['containerHostBatchBindMounts'],
  },
  '2025-06-01': {
    TaskSchedulingPolicy: ['jobDefaultOrder'],
    PublicIPAddressConfiguration: ['ipFamilies', 'ipTags'],
    DiskEncryptionConfiguration: ['customerManagedKey'],
    DataDisk: ['managedDisk'],
  },
};

/** Members that later versions no longer take. */
const removed: Record<string, Record<string, readonly string[]>> = {
  '2024-07-01.20.0': {
    PoolAddParameter: ['cloudServiceConfiguration', 'applicationLicenses'],
    PoolSpecification: ['cloudServiceConfiguration', 'applicationLicenses'],
  },
  '2025-06-01': {
    PoolAddParameter: ['certificateReferences', 'targetNodeCommunicationMode'],
    PoolSpecification: ['certificateReferences', 'targetNodeCommunicationMode'],
    PoolPatchParameter: ['certificateReferences', 'targetNodeCommunicationMode'],
    PoolUpdatePropertiesParameter: ['certificateReferences', 'targetNodeCommunicationMode'],
  },
};

/** The official package's mappers, with what later versions added. */
export const mappers = extended();

function extended(): Mappers {
  const copy = structuredClone(BatchServiceMappers) as unknown as Mappers;
  for (const models of Object.values(added)) {
    for (const [model, names] of Object.entries(models)) {
      const members = copy[model]?.type.modelProperties;
      if (members === undefined) throw new Error(`No model ${model}.`);
      for (const name of names) members[name] = { serializedName: name, type: { name: 'Object' } };
    }
  }
  const properties = copy.PoolUpdatePropertiesParameter?.type.modelProperties;
  if (properties?.certificateReferences) properties.certificateReferences.required = false;
  return copy;
}

/** Which versions know a member: from one on, until another. Versions sort as text. */
const windows = new Map<string, { from?: string; until?: string }>();
for (const [table, end] of [
  [added, 'from'],
  [removed, 'until'],
] as const) {
  for (const [version, models] of Object.entries(table)) {
    for (const [model, names] of Object.entries(models)) {
      for (const name of names) {
        const key = `${model}.${name}`;
        windows.set(key, { ...windows.get(key), [end]: version });
      }
    }
  }
}

/** The members of each model by their names on the wire. */
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
