import { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper } from '@azure/ms-rest-js';

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

/** Whether a model has a member at a version of the API; versions sort as text. */
export function hasMember(model: string, name: string, version: string): boolean {
  const listed = (table: typeof added, isOf: (since: string) => boolean) =>
    Object.entries(table).some(([since, models]) => isOf(since) && models[model]?.includes(name));
  return !listed(added, (since) => version < since) && !listed(removed, (since) => version >= since);
}
