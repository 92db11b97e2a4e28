import { BatchError, invalidProperty } from '../../wire/errors';
import type { Wire } from '../../wire/wire';

/** References to application packages of one pool. */
const maxPackages = 10;
/** Rules of network security groups over all endpoints of a pool. */
const maxRules = 25;

interface Range {
  readonly start: number;
  readonly end: number;
}

interface Rule {
  readonly priority: number;
  readonly sourcePortRanges?: readonly string[];
}

interface NatPool {
  readonly frontendPortRangeStart: number;
  readonly frontendPortRangeEnd: number;
  readonly networkSecurityGroupRules?: readonly Rule[];
}

/**
 * Refuses members of a pool that contradict each other, though each of them is valid. `given` are the members to check,
 * `pool` has the others. https://learn.microsoft.com/rest/api/batchservice/pool/add
 */
export function checkPoolMembers(given: Wire, pool: Wire = given): void {
  const { applicationPackageReferences, userAccounts, mountConfiguration } = given as Record<
    string,
    Wire[] | undefined
  >;
  const { networkConfiguration, virtualMachineConfiguration } = given as Record<string, Wire | undefined>;
  if ((applicationPackageReferences?.length ?? 0) > maxPackages)
    throw invalidProperty('applicationPackageReferences', undefined, `A pool has at most ${maxPackages}.`);
  if (virtualMachineConfiguration) checkMachine(virtualMachineConfiguration);
  if (networkConfiguration) checkNetwork(networkConfiguration);
  checkAccounts(userAccounts ?? [], isWindows({ ...pool, ...given }));
  for (const mount of mountConfiguration ?? []) {
    if (Object.keys(mount).length !== 1)
      throw invalidProperty('mountConfiguration', undefined, 'Each item must have exactly one file system.');
  }
}

/** Refuses a subnet for a pool with a cloud service configuration. Azure answers `Forbidden`, not that the value is invalid. */
export function checkSubnet({ cloudServiceConfiguration, networkConfiguration }: Wire = {}): void {
  const { subnetId } = (networkConfiguration ?? {}) as Wire;
  if (!cloudServiceConfiguration || !subnetId) return;
  throw new BatchError('Forbidden', {
    Reason: `Property subnetId with value ${subnetId} is not enabled for current account`,
  });
}

function isWindows({ virtualMachineConfiguration, cloudServiceConfiguration }: Wire): boolean {
  const { nodeAgentSKUId } = (virtualMachineConfiguration ?? {}) as { nodeAgentSKUId?: string };
  return cloudServiceConfiguration !== undefined || /windows/i.test(nodeAgentSKUId ?? '');
}

function checkMachine(configuration: Wire): void {
  if (configuration.windowsConfiguration && !isWindows({ virtualMachineConfiguration: configuration }))
    throw invalidProperty('windowsConfiguration', undefined, 'The image of the pool is a Linux image.');
  const luns = ((configuration.dataDisks ?? []) as { lun: number }[]).map(({ lun }) => lun);
  if (new Set(luns).size < luns.length)
    throw invalidProperty('lun', undefined, 'Each data disk must have a logical unit number of its own.');
  const { customerManagedKey } = (configuration.diskEncryptionConfiguration ?? {}) as Wire;
  // Azure gives a pool an identity through Resource Manager only.
  if (customerManagedKey !== undefined) {
    throw invalidProperty(
      'customerManagedKey',
      undefined,
      'Pool Identity is required when using CustomerManagedKey.',
    );
  }
}

function checkAccounts(accounts: readonly Wire[], isOnWindows: boolean): void {
  const names = accounts.map(({ name }) => String(name).toLowerCase());
  if (new Set(names).size < names.length)
    throw invalidProperty('userAccounts', undefined, 'The names of the accounts must be distinct.');
  for (const { name, linuxUserConfiguration, windowsUserConfiguration } of accounts as Record<
    string,
    Wire
  >[]) {
    if (windowsUserConfiguration && !isOnWindows) {
      throw invalidProperty(
        'windowsUserConfiguration',
        undefined,
        `The user configuration for user account '${name}' has a mismatch with the OS (Windows/Linux) configuration specified in VirtualMachineConfiguration`,
      );
    }
    const { uid, gid } = linuxUserConfiguration ?? {};
    if ((uid === undefined) !== (gid === undefined)) {
      throw invalidProperty(
        uid === undefined ? 'uid' : 'gid',
        undefined,
        'Either both uid and gid must be given, or neither.',
      );
    }
  }
}

function checkNetwork({ endpointConfiguration, publicIPAddressConfiguration }: Wire): void {
  const { inboundNATPools = [] } = (endpointConfiguration ?? {}) as { inboundNATPools?: NatPool[] };
  const { provision, ipAddressIds } = (publicIPAddressConfiguration ?? {}) as {
    provision?: string;
    ipAddressIds?: unknown[];
  };
  if (ipAddressIds?.length && provision?.toLowerCase() !== 'usermanaged')
    throw invalidProperty('ipAddressIds', undefined, 'The value needs the provision type usermanaged.');
  if (inboundNATPools.length > 0 && provision?.toLowerCase() === 'nopublicipaddresses')
    throw invalidProperty('inboundNATPools', undefined, 'The pool has no public IP addresses.');
  const frontends = inboundNATPools.map(({ frontendPortRangeStart: start, frontendPortRangeEnd: end }) => ({
    start,
    end,
  }));
  if (overlap(frontends))
    throw invalidProperty('frontendPortRangeStart', undefined, 'The ranges of a pool must not overlap.');
  checkRules(inboundNATPools.flatMap(({ networkSecurityGroupRules = [] }) => networkSecurityGroupRules));
}

function checkRules(rules: readonly Rule[]): void {
  if (rules.length > maxRules)
    throw invalidProperty('networkSecurityGroupRules', undefined, `A pool has at most ${maxRules}.`);
  const priorities = rules.map(({ priority }) => priority);
  const repeated = priorities.find((priority, index) => priorities.indexOf(priority) < index);
  if (repeated !== undefined)
    throw invalidProperty('priority', repeated, 'The priorities of the rules of a pool must be distinct.');
  for (const { sourcePortRanges = [] } of rules) {
    if (overlap(sourcePortRanges.map(portRange)))
      throw invalidProperty('sourcePortRanges', undefined, 'The entries must not overlap.');
  }
}

/** A port, such as `22`, a range, such as `22-80`, or `*`. */
function portRange(text: string): Range {
  if (text === '*') return { start: 0, end: 65_535 };
  const [, from = '', to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = { start: Number(from), end: Number(to) };
  if (from === '' || range.start > range.end || range.end > 65_535)
    throw invalidProperty('sourcePortRanges', text, 'The value must be a port, a range of ports, or *.');
  return range;
}

function overlap(ranges: readonly Range[]): boolean {
  const sorted = [...ranges].sort((one, other) => one.start - other.start);
  return sorted.some(({ end }, index) => end >= (sorted[index + 1]?.start ?? Number.POSITIVE_INFINITY));
}
