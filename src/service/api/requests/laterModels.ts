import type { CompositeMapper, Mapper } from '@azure/ms-rest-js';

/** A member of a request that the installed package does not describe, without its name. */
export type Member = Mapper;

export const text: Member = { type: { name: 'String' } };
export const flag: Member = { type: { name: 'Boolean' } };
export const integer: Member = { type: { name: 'Number' } };
/** A member whose content has no description. It is stored as it is. */
export const anything: Member = { type: { name: 'Object' } };
export const one = (className: string): Member => ({ type: { name: 'Composite', className } });
export const many = (element: Member): Member => ({ type: { name: 'Sequence', element } });
export const oneOf = (...allowedValues: string[]): Member => ({ type: { name: 'Enum', allowedValues } });
export const diskKind = oneOf('standard_lrs', 'premium_lrs', 'standardssd_lrs');
const required = (member: Member): Member => ({ ...member, required: true });

/** Models that versions after 2022-10-01.16.0 added, by the same sources as the members. */
const models: Readonly<Record<string, Readonly<Record<string, Member>>>> = {
  ContainerHostBatchBindMountEntry: { source: text, isReadOnly: flag },
  UpgradePolicy: {
    mode: required(oneOf('automatic', 'manual', 'rolling')),
    automaticOSUpgradePolicy: one('AutomaticOSUpgradePolicy'),
    rollingUpgradePolicy: one('RollingUpgradePolicy'),
  },
  AutomaticOSUpgradePolicy: {
    disableAutomaticRollback: flag,
    enableAutomaticOSUpgrade: flag,
    useRollingUpgradePolicy: flag,
    osRollingUpgradeDeferral: flag,
  },
  RollingUpgradePolicy: {
    enableCrossZoneUpgrade: flag,
    maxBatchInstancePercent: integer,
    maxUnhealthyInstancePercent: integer,
    maxUnhealthyUpgradedInstancePercent: integer,
    // A duration that is returned as it was sent.
    pauseTimeBetweenBatches: text,
    prioritizeUnhealthyInstances: flag,
    rollbackFailedInstancesOnPolicyBreach: flag,
  },
  SecurityProfile: {
    encryptionAtHost: flag,
    securityType: oneOf('trustedlaunch', 'confidentialvm'),
    uefiSettings: one('UefiSettings'),
  },
  UefiSettings: { secureBootEnabled: flag, vTpmEnabled: flag },
  ServiceArtifactReference: { id: required(text) },
  ManagedDisk: { storageAccountType: diskKind },
  VMDiskSecurityProfile: {
    securityEncryptionType: oneOf('DiskWithVMGuestState', 'NonPersistedTPM', 'VMGuestStateOnly'),
  },
  IPTag: { ipTagType: text, tag: text },
};

/** These models as the package describes its own. */
export const laterModels: Readonly<Record<string, CompositeMapper>> = Object.fromEntries(
  Object.entries(models).map(([className, members]) => [
    className,
    {
      serializedName: className,
      type: {
        name: 'Composite',
        className,
        modelProperties: Object.fromEntries(
          Object.entries(members).map(([name, member]) => [name, { ...member, serializedName: name }]),
        ),
      },
    },
  ]),
);
