import { isFolderName } from '../../tasks/containers/settings';
import { durationMs } from '../../wire/time';
import type { Wire } from '../../wire/wire';

/**
 * Returns the reason why a value of the right type is invalid as a member of its owner at a version of the API; undefined
 * if it is valid.
 */
type Limit = (value: unknown, owner?: Wire, version?: string) => string | undefined;

const idPattern = /^[A-Za-z0-9_-]{1,64}$/;

const id: Limit = (value) =>
  idPattern.test(String(value))
    ? undefined
    : 'The value must be 1 to 64 letters, digits, hyphens and underscores.';
const ids: Limit = (value) =>
  (value as unknown[]).map((one) => id(one)).find((problem) => problem !== undefined);
/** https://learn.microsoft.com/rest/api/batchservice/job/add, autoPoolIdPrefix */
const idPrefix: Limit = (value) =>
  /^[A-Za-z0-9_-]{0,20}$/.test(String(value))
    ? undefined
    : 'The value must be at most 20 letters, digits, hyphens and underscores.';
/** A version of an application package is also a file name here. */
const packageVersion: Limit = (value) =>
  /^[A-Za-z0-9_.-]{1,64}$/.test(String(value)) && !String(value).startsWith('.')
    ? undefined
    : 'The value must be 1 to 64 letters, digits, dots, hyphens and underscores.';

const between =
  (min: number, max = 2 ** 31 - 1): Limit =>
  (value) =>
    Number(value) >= min && Number(value) <= max ? undefined : `The value must be between ${min} and ${max}.`;
const length =
  (min: number, max: number): Limit =>
  (value) => {
    const { length } = String(value);
    return length >= min && length <= max ? undefined : `The value must have ${min} to ${max} characters.`;
  };
const filled: Limit = (value) => (String(value).trim() === '' ? 'The value must not be empty.' : undefined);
const durationBetween =
  (min: number, max = Number.POSITIVE_INFINITY, words = ''): Limit =>
  (value) => {
    const ms = durationMs(String(value)) ?? Number.NaN;
    return ms >= min && ms <= max ? undefined : `The value must be ${words}.`;
  };
const positive = durationBetween(1, undefined, 'a positive duration');
const minutes = 60_000;
const releaseTime = durationBetween(1, 15 * minutes, 'a positive duration of at most 15 minutes');
const resizeTimeout = durationBetween(5 * minutes, undefined, 'at least 5 minutes');
/** -1 or more than 0. https://learn.microsoft.com/rest/api/batchservice/job/add, maxParallelTasks */
const parallelTasks: Limit = (value) =>
  Number(value) === -1 || Number(value) > 0 ? undefined : 'The value must be -1 or greater than 0.';
const retries = between(-1);
const fileMode: Limit = (value) =>
  /^(0o?)?[0-7]{3,4}$/.test(String(value)) ? undefined : 'The value must be a file mode in octal format.';
const containerType: Limit = (value) =>
  /^(docker|cri)compatible$/i.test(String(value))
    ? undefined
    : 'The value must be one of: dockerCompatible, criCompatible.';
const hostFolder: Limit = (value) =>
  isFolderName(String(value))
    ? undefined
    : 'The value must be one of: Shared, Startup, VfsMounts, Task, JobPrep, Applications.';
const thumbprint: Limit = (value) =>
  /^[0-9a-f]{40}$/i.test(String(value)) ? undefined : 'The value must be 40 hexadecimal digits.';
const sha1: Limit = (value) => (/^sha1$/i.test(String(value)) ? undefined : 'The value must be sha1.');
const displayName = length(0, 1024);
const countBetween =
  (min: number, max: number): Limit =>
  (value) => {
    const { length } = value as unknown[];
    return length >= min && length <= max ? undefined : `The list must have ${min} to ${max} items.`;
  };
const atMost =
  (count: number): Limit =>
  (value) =>
    (value as unknown[]).length <= count ? undefined : `The list must have at most ${count} items.`;

/** https://learn.microsoft.com/rest/api/batchservice/pool/add, inboundNATPools */
const natPools: Limit = (value) => {
  const pools = value as { name: string; backendPort: number }[];
  const isRepeated = (member: 'name' | 'backendPort') =>
    new Set(pools.map((one) => one[member])).size < pools.length;
  return isRepeated('name') || isRepeated('backendPort')
    ? 'The names and backend ports of a pool must be distinct.'
    : atMost(5)(value);
};
const natPoolName: Limit = (value) =>
  /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,75}[A-Za-z0-9_])?$/.test(String(value))
    ? undefined
    : 'The value must be 1 to 77 letters, digits, underscores, periods and hyphens.';
/** From 2024-07-01.20.0 on, nodes have no endpoints of their own for SSH and Remote Desktop. */
const backendPort: Limit = (value, _owner, version = '') => {
  const reserved = [29_876, 29_877, ...(version < '2024-07-01.20.0' ? [22, 3389] : [])];
  return reserved.includes(Number(value)) ? 'The port is reserved.' : between(1, 65_535)(value);
};
const minFrontendPorts = 40;
const frontendPort: Limit = (value, owner) => {
  const start = Number(owner?.frontendPortRangeStart ?? value);
  const end = Number(owner?.frontendPortRangeEnd ?? value);
  if (start <= 55_000 && end >= 50_000) return 'The ports from 50000 to 55000 are reserved.';
  if (owner?.frontendPortRangeEnd !== undefined && end - start + 1 < minFrontendPorts)
    return `The range must have at least ${minFrontendPorts} ports.`;
  return between(1, 65_534)(value);
};

const pool: Record<string, Limit> = {
  displayName,
  vmSize: filled,
  targetDedicatedNodes: between(0),
  targetLowPriorityNodes: between(0),
  resizeTimeout,
  // At most 256, and on a real node four times its cores.
  taskSlotsPerNode: between(1, 256),
  autoScaleEvaluationInterval: durationBetween(
    5 * minutes,
    168 * 60 * minutes,
    'between 5 minutes and 168 hours',
  ),
};
const job: Record<string, Limit> = {
  displayName,
  priority: between(-1000, 1000),
  maxParallelTasks: parallelTasks,
};
/** With an empty command line, a container runs the command of its image. */
const commandLine: Limit = (value, owner) => (owner?.containerSettings ? undefined : filled(value));
const command: Record<string, Limit> = { commandLine, maxTaskRetryCount: retries };

/** The limits that Azure documents, by model and member. https://learn.microsoft.com/rest/api/batchservice/ */
const limits: Readonly<Record<string, Readonly<Record<string, Limit>>>> = {
  PoolAddParameter: { ...pool, id },
  PoolSpecification: pool,
  PoolPatchParameter: pool,
  PoolResizeParameter: pool,
  PoolEnableAutoScaleParameter: pool,
  NodeRemoveParameter: { nodeList: countBetween(1, 100), resizeTimeout },
  PoolEndpointConfiguration: { inboundNATPools: natPools },
  InboundNATPool: {
    name: natPoolName,
    backendPort,
    frontendPortRangeStart: frontendPort,
    frontendPortRangeEnd: frontendPort,
  },
  NetworkSecurityGroupRule: { priority: between(150, 4096), sourceAddressPrefix: filled },
  RollingUpgradePolicy: {
    maxBatchInstancePercent: between(5, 100),
    maxUnhealthyInstancePercent: between(5, 100),
    maxUnhealthyUpgradedInstancePercent: between(0, 100),
    pauseTimeBetweenBatches: durationBetween(0, undefined, 'a duration in ISO 8601 format'),
  },
  StartTask: command,
  JobManagerTask: { ...command, id, displayName, requiredSlots: between(1, 256) },
  JobPreparationTask: { ...command, id },
  JobReleaseTask: { ...command, id, maxWallClockTime: releaseTime, retentionTime: durationBetween(0) },
  ResourceFile: { autoStorageContainerName: filled, fileMode, filePath: filled },
  ContainerConfiguration: { type: containerType },
  TaskContainerSettings: { imageName: filled },
  ContainerHostBatchBindMountEntry: { source: hostFolder },
  EnvironmentSetting: { name: filled },
  ApplicationPackageReference: { applicationId: id, version: packageVersion },
  DataDisk: { lun: between(0, 63) },
  UserAccount: { name: length(1, 20) },
  MetadataItem: { name: filled },
  CertificateAddParameter: { thumbprint, thumbprintAlgorithm: sha1, data: filled },
  JobAddParameter: { ...job, id },
  JobSpecification: job,
  JobPatchParameter: job,
  JobUpdateParameter: job,
  JobConstraints: { maxWallClockTime: positive, maxTaskRetryCount: retries },
  PoolInformation: { poolId: id },
  AutoPoolSpecification: { autoPoolIdPrefix: idPrefix },
  JobScheduleAddParameter: { id, displayName },
  Schedule: {
    startWindow: durationBetween(1 * minutes, undefined, 'at least 1 minute'),
    recurrenceInterval: durationBetween(1 * minutes, undefined, 'at least 1 minute'),
  },
  TaskAddParameter: { ...command, id, displayName, requiredSlots: between(1, 256) },
  TaskAddCollectionParameter: { value: atMost(100) },
  TaskConstraints: {
    maxWallClockTime: positive,
    retentionTime: durationBetween(0, undefined, 'a duration that is not negative'),
    maxTaskRetryCount: retries,
  },
  TaskDependencies: { taskIds: ids },
  TaskIdRange: { start: between(0), end: between(0) },
  OutputFile: { filePattern: filled },
  HttpHeader: { name: filled },
  ComputeNodeUser: { name: length(1, 32) },
  MultiInstanceSettings: { numberOfInstances: between(1), coordinationCommandLine: filled },
};

/** The check of a member's value beyond its type. */
export function limitOf(model: string, name: string): Limit | undefined {
  const ofModel = limits[model];
  return ofModel && Object.hasOwn(ofModel, name) ? ofModel[name] : undefined;
}
