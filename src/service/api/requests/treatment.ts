/**
 * What this service does with each member of each request:
 * - `done`: it has the effect that it has in Azure,
 * - `engine`: so it does where a container engine answers; elsewhere it is refused by name,
 * - `stored`: it is checked, kept and returned, and has no effect on this machine,
 * - `discarded`: a secret that nothing here uses; it is checked, and neither kept nor returned,
 * - `refused`: a request that sets it is refused by name, rather than carried out without it.
 *
 * `docs/local-service.md` is generated from this table, and a test fails for a member that is missing here.
 */
export type Treatment = 'done' | 'engine' | 'stored' | 'discarded' | 'refused';

/** Members of a model by treatment, separated by blanks; a refused member has its reason. */
interface ModelTreatment {
  readonly done?: string;
  readonly engine?: string;
  readonly stored?: string;
  readonly discarded?: string;
  readonly refused?: Readonly<Record<string, string>>;
}

const identities = 'The local Batch service has no managed identities. Use a SAS instead.';
const networks = 'The local Batch service has no virtual networks.';
const galleries = 'The local Batch service has no images of your own. Use one of the supported images.';

const changeablePool: ModelTreatment = {
  done: 'virtualMachineConfiguration startTask applicationPackageReferences enableInterNodeCommunication taskSlotsPerNode taskSchedulingPolicy',
  stored:
    'displayName vmSize networkConfiguration userAccounts metadata targetNodeCommunicationMode resourceTags upgradePolicy mountConfiguration certificateReferences',
};

const pool: ModelTreatment = {
  ...changeablePool,
  done: `${changeablePool.done} targetDedicatedNodes targetLowPriorityNodes enableAutoScale autoScaleFormula autoScaleEvaluationInterval`,
  stored: `${changeablePool.stored} cloudServiceConfiguration resizeTimeout applicationLicenses`,
};

const job: ModelTreatment = {
  done: 'priority maxParallelTasks allowTaskPreemption constraints poolInfo onAllTasksComplete',
  stored: 'metadata',
  refused: { networkConfiguration: networks },
};

const newJob: ModelTreatment = {
  done: `${job.done} onTaskFailure usesTaskDependencies commonEnvironmentSettings jobManagerTask jobPreparationTask jobReleaseTask`,
  stored: `${job.stored} displayName`,
  refused: job.refused,
};

const models: Readonly<Record<string, ModelTreatment>> = {
  PoolAddParameter: { ...pool, done: `id ${pool.done}` },
  PoolSpecification: pool,
  PoolPatchParameter: changeablePool,
  PoolUpdatePropertiesParameter: {
    done: 'startTask applicationPackageReferences',
    stored: 'metadata targetNodeCommunicationMode certificateReferences',
  },
  PoolResizeParameter: {
    done: 'targetDedicatedNodes targetLowPriorityNodes nodeDeallocationOption',
    stored: 'resizeTimeout',
  },
  PoolEnableAutoScaleParameter: { done: 'autoScaleFormula autoScaleEvaluationInterval' },
  PoolEvaluateAutoScaleParameter: { done: 'autoScaleFormula' },
  NodeRemoveParameter: { done: 'nodeList nodeDeallocationOption', stored: 'resizeTimeout' },
  NodeRebootParameter: { done: 'nodeRebootOption' },
  NodeReimageParameter: { done: 'nodeReimageOption' },
  NodeDisableSchedulingParameter: { done: 'nodeDisableSchedulingOption' },
  ComputeNodeUser: { stored: 'name isAdmin expiryTime', discarded: 'password sshPublicKey' },
  NodeUpdateUserParameter: { stored: 'expiryTime', discarded: 'password sshPublicKey' },
  UploadBatchServiceLogsConfiguration: {
    done: 'containerUrl startTime endTime',
    refused: { identityReference: identities },
  },
  CloudServiceConfiguration: { stored: 'osFamily osVersion' },
  VirtualMachineConfiguration: {
    done: 'imageReference nodeAgentSKUId',
    engine: 'containerConfiguration',
    stored:
      'windowsConfiguration dataDisks licenseType diskEncryptionConfiguration nodePlacementConfiguration osDisk securityProfile serviceArtifactReference extensions',
  },
  VMExtension: {
    stored:
      'name publisher type typeHandlerVersion autoUpgradeMinorVersion enableAutomaticUpgrade settings provisionAfterExtensions',
    discarded: 'protectedSettings',
  },
  ContainerConfiguration: { engine: 'type containerImageNames containerRegistries' },
  ContainerRegistry: {
    engine: 'username password registryServer',
    refused: { identityReference: identities },
  },
  TaskContainerSettings: {
    engine: 'containerRunOptions imageName registry workingDirectory containerHostBatchBindMounts',
  },
  ContainerHostBatchBindMountEntry: { engine: 'source isReadOnly' },
  ImageReference: {
    done: 'publisher offer sku',
    stored: 'version',
    refused: {
      virtualMachineImageId: galleries,
      sharedGalleryImageId: galleries,
      communityGalleryImageId: galleries,
    },
  },
  WindowsConfiguration: { stored: 'enableAutomaticUpdates' },
  DataDisk: { stored: 'lun caching diskSizeGB storageAccountType managedDisk' },
  DiskEncryptionConfiguration: { stored: 'targets customerManagedKey' },
  NodePlacementConfiguration: { stored: 'policy' },
  OSDisk: { stored: 'ephemeralOSDiskSettings caching diskSizeGB managedDisk writeAcceleratorEnabled' },
  DiffDiskSettings: { stored: 'placement' },
  ManagedDisk: { stored: 'storageAccountType securityProfile diskEncryptionSet' },
  VMDiskSecurityProfile: { stored: 'securityEncryptionType' },
  SecurityProfile: { stored: 'encryptionAtHost securityType uefiSettings proxyAgentSettings' },
  UefiSettings: { stored: 'secureBootEnabled vTpmEnabled' },
  ServiceArtifactReference: { stored: 'id' },
  UpgradePolicy: { stored: 'mode automaticOSUpgradePolicy rollingUpgradePolicy' },
  AutomaticOSUpgradePolicy: {
    stored:
      'disableAutomaticRollback enableAutomaticOSUpgrade useRollingUpgradePolicy osRollingUpgradeDeferral',
  },
  RollingUpgradePolicy: {
    stored:
      'enableCrossZoneUpgrade maxBatchInstancePercent maxUnhealthyInstancePercent maxUnhealthyUpgradedInstancePercent pauseTimeBetweenBatches prioritizeUnhealthyInstances rollbackFailedInstancesOnPolicyBreach',
  },
  NetworkConfiguration: {
    done: 'endpointConfiguration',
    stored: 'dynamicVNetAssignmentScope publicIPAddressConfiguration enableAcceleratedNetworking',
    refused: { subnetId: networks },
  },
  PoolEndpointConfiguration: { done: 'inboundNATPools' },
  InboundNATPool: {
    done: 'name protocol backendPort',
    stored: 'frontendPortRangeStart frontendPortRangeEnd networkSecurityGroupRules',
  },
  NetworkSecurityGroupRule: { stored: 'priority access sourceAddressPrefix sourcePortRanges' },
  PublicIPAddressConfiguration: { stored: 'provision ipAddressIds ipFamilies ipTags' },
  IPTag: { stored: 'ipTagType tag' },
  StartTask: {
    done: 'commandLine resourceFiles environmentSettings userIdentity maxTaskRetryCount waitForSuccess',
    engine: 'containerSettings',
  },
  ResourceFile: {
    done: 'autoStorageContainerName storageContainerUrl httpUrl blobPrefix filePath fileMode',
    refused: { identityReference: identities },
  },
  EnvironmentSetting: { done: 'name value' },
  UserIdentity: { done: 'autoUser', stored: 'username' },
  AutoUserSpecification: { done: 'elevationLevel', stored: 'scope' },
  ApplicationPackageReference: { done: 'applicationId version' },
  CertificateReference: { stored: 'thumbprint thumbprintAlgorithm storeLocation storeName visibility' },
  CertificateAddParameter: {
    stored: 'thumbprint thumbprintAlgorithm data certificateFormat',
    discarded: 'password',
  },
  TaskSchedulingPolicy: { done: 'nodeFillType jobDefaultOrder' },
  UserAccount: {
    stored: 'name elevationLevel linuxUserConfiguration windowsUserConfiguration',
    discarded: 'password',
  },
  MountConfiguration: {
    stored:
      'azureBlobFileSystemConfiguration nfsMountConfiguration cifsMountConfiguration azureFileShareConfiguration',
  },
  AzureBlobFileSystemConfiguration: {
    stored: 'accountName containerName blobfuseOptions relativeMountPath',
    discarded: 'accountKey sasKey',
    refused: { identityReference: identities },
  },
  NFSMountConfiguration: { stored: 'source relativeMountPath mountOptions' },
  CIFSMountConfiguration: {
    stored: 'username source relativeMountPath mountOptions',
    discarded: 'password',
  },
  AzureFileShareConfiguration: {
    stored: 'accountName azureFileUrl relativeMountPath mountOptions',
    discarded: 'accountKey',
  },
  LinuxUserConfiguration: { stored: 'uid gid', discarded: 'sshPrivateKey' },
  WindowsUserConfiguration: { stored: 'loginMode' },
  MetadataItem: { stored: 'name value' },
  JobAddParameter: { ...newJob, done: `id ${newJob.done}` },
  JobSpecification: newJob,
  JobPatchParameter: job,
  JobUpdateParameter: { done: job.done, stored: job.stored },
  JobManagerTask: {
    done: 'id commandLine resourceFiles outputFiles environmentSettings constraints requiredSlots killJobOnCompletion userIdentity runExclusive applicationPackageReferences authenticationTokenSettings allowLowPriorityNode',
    engine: 'containerSettings',
    stored: 'displayName',
  },
  AuthenticationTokenSettings: { done: 'access' },
  JobPreparationTask: {
    done: 'id commandLine resourceFiles environmentSettings constraints waitForSuccess userIdentity rerunOnNodeRebootAfterSuccess',
    engine: 'containerSettings',
  },
  JobReleaseTask: {
    done: 'id commandLine resourceFiles environmentSettings maxWallClockTime userIdentity',
    engine: 'containerSettings',
    stored: 'retentionTime',
  },
  JobConstraints: { done: 'maxWallClockTime maxTaskRetryCount' },
  PoolInformation: { done: 'poolId autoPoolSpecification' },
  AutoPoolSpecification: { done: 'autoPoolIdPrefix poolLifetimeOption keepAlive pool' },
  JobDisableParameter: { done: 'disableTasks' },
  JobTerminateParameter: { done: 'terminateReason' },
  JobScheduleAddParameter: { done: 'id schedule jobSpecification', stored: 'displayName metadata' },
  JobSchedulePatchParameter: { done: 'schedule jobSpecification', stored: 'metadata' },
  JobScheduleUpdateParameter: { done: 'schedule jobSpecification', stored: 'metadata' },
  Schedule: { done: 'doNotRunUntil doNotRunAfter startWindow recurrenceInterval' },
  TaskAddParameter: {
    done: 'id commandLine exitConditions resourceFiles outputFiles environmentSettings constraints requiredSlots userIdentity dependsOn applicationPackageReferences authenticationTokenSettings multiInstanceSettings affinityInfo',
    engine: 'containerSettings',
    stored: 'displayName',
  },
  MultiInstanceSettings: { done: 'numberOfInstances coordinationCommandLine commonResourceFiles' },
  TaskAddCollectionParameter: { done: 'value' },
  TaskUpdateParameter: { done: 'constraints' },
  TaskConstraints: { done: 'maxWallClockTime retentionTime maxTaskRetryCount' },
  ExitConditions: { done: 'exitCodes exitCodeRanges preProcessingError fileUploadError default' },
  ExitCodeMapping: { done: 'code exitOptions' },
  ExitCodeRangeMapping: { done: 'start end exitOptions' },
  ExitOptions: { done: 'jobAction dependencyAction' },
  AffinityInformation: { done: 'affinityId' },
  TaskDependencies: { done: 'taskIds taskIdRanges' },
  TaskIdRange: { done: 'start end' },
  OutputFile: { done: 'filePattern destination uploadOptions' },
  OutputFileDestination: { done: 'container' },
  OutputFileBlobContainerDestination: {
    done: 'path containerUrl uploadHeaders',
    refused: { identityReference: identities },
  },
  HttpHeader: { done: 'name value' },
  OutputFileUploadOptions: { done: 'uploadCondition' },
};

interface MemberTreatment {
  readonly treatment: Treatment;
  /** Why a refused member is refused. */
  readonly reason?: string;
}

const members = new Map<string, MemberTreatment>();
for (const [model, { refused = {}, ...rest }] of Object.entries(models)) {
  for (const [treatment, names] of Object.entries(rest)) {
    for (const name of names.split(' '))
      members.set(`${model}.${name}`, { treatment: treatment as Treatment });
  }
  for (const [name, reason] of Object.entries(refused))
    members.set(`${model}.${name}`, { treatment: 'refused', reason });
}

/** How a member is treated; undefined for a member that is not in the table. */
export function treatmentOf(model: string, name: string): MemberTreatment | undefined {
  return members.get(`${model}.${name}`);
}

/** The models of the table, in its order. */
export const treatedModels: readonly string[] = Object.keys(models);

/** The table as Markdown, for `docs/local-service.md`. */
export function treatmentTable(): string {
  const cell = (names: Iterable<string>) => [...names].map((name) => `\`${name}\``).join(', ');
  const rows = Object.entries(models).map(([model, { done, engine, stored, discarded, refused = {} }]) => {
    const cells = [done, engine, stored, discarded].map((names) => cell(names?.split(' ') ?? []));
    return `| ${model} | ${[...cells, cell(Object.keys(refused))].join(' | ')} |`;
  });
  return [
    '| request or part | done | done with a container engine, else refused | stored only | discarded | refused |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
