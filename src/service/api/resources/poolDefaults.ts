import type { Wire } from '../../wire/wire';

/**
 * What Azure fills in for the members that the description of a pool leaves out, by the recorded replies. An auto pool
 * shows them in its job as well.
 */
export function withPoolDefaults(given: Wire): Wire {
  return {
    resizeTimeout: 'PT15M',
    enableAutoScale: false,
    enableInterNodeCommunication: false,
    taskSlotsPerNode: 1,
    taskSchedulingPolicy: { nodeFillType: 'Spread' },
    ...(given.enableAutoScale === true
      ? { autoScaleEvaluationInterval: 'PT15M' }
      : { targetDedicatedNodes: 0, targetLowPriorityNodes: 0 }),
    ...withInnerDefaults(given),
  };
}

/** What Azure fills in inside of the members that a description has. `pool` has the other members of the pool. */
export function withInnerDefaults(given: Wire, pool: Wire = given): Wire {
  const { virtualMachineConfiguration, cloudServiceConfiguration, networkConfiguration, startTask } =
    given as Record<string, Wire | undefined>;
  const userAccounts = given.userAccounts as Wire[] | undefined;
  return {
    ...given,
    ...(virtualMachineConfiguration && {
      virtualMachineConfiguration: withMachineDefaults(virtualMachineConfiguration),
    }),
    ...(cloudServiceConfiguration && {
      cloudServiceConfiguration: { osVersion: '*', ...cloudServiceConfiguration },
    }),
    ...(networkConfiguration && {
      networkConfiguration: withNetworkDefaults(networkConfiguration),
    }),
    ...(startTask && { startTask: withStartTaskDefaults(startTask) }),
    ...(userAccounts && {
      userAccounts: userAccounts.map((account) => withAccountDefaults(account, { ...pool, ...given })),
    }),
  };
}

/** An empty list of metadata or packages is not shown, by the recorded replies. */
export function dropEmptyLists(pool: Wire): void {
  for (const name of ['metadata', 'applicationPackageReferences'])
    if ((pool[name] as unknown[] | undefined)?.length === 0) delete pool[name];
}

/** A configuration of virtual machines with the version of its image and the kinds of its disks. */
function withMachineDefaults(configuration: Wire): Wire {
  const { imageReference, dataDisks } = configuration as { imageReference?: Wire; dataDisks?: Wire[] };
  return {
    ...configuration,
    imageReference: { version: 'latest', ...imageReference },
    ...(dataDisks && { dataDisks: dataDisks.map(withDiskDefaults) }),
  };
}

/** A disk whose kind is in `managedDisk` has no kind of its own. */
function withDiskDefaults(disk: Wire): Wire {
  return { caching: 'none', ...(disk.managedDisk ? {} : { storageAccountType: 'standard_lrs' }), ...disk };
}

interface NatPool extends Wire {
  readonly networkSecurityGroupRules?: readonly Wire[];
}

function withNetworkDefaults(configuration: Wire): Wire {
  const { inboundNATPools } = (configuration.endpointConfiguration ?? {}) as { inboundNATPools?: NatPool[] };
  return {
    dynamicVNetAssignmentScope: 'none',
    ...configuration,
    ...(inboundNATPools && {
      endpointConfiguration: {
        inboundNATPools: inboundNATPools.map(({ networkSecurityGroupRules, ...rest }) => ({
          ...rest,
          ...(networkSecurityGroupRules && {
            networkSecurityGroupRules: networkSecurityGroupRules.map((rule) => ({
              sourcePortRanges: ['*'],
              ...rule,
            })),
          }),
        })),
      },
    }),
  };
}

function withStartTaskDefaults(startTask: Wire): Wire {
  return {
    userIdentity: { autoUser: { scope: 'pool', elevationLevel: 'nonadmin' } },
    maxTaskRetryCount: 0,
    waitForSuccess: true,
    ...startTask,
  };
}

/** A user account of a pool. Those of Windows log in as a service does, in cloud services as a person does. */
function withAccountDefaults(account: Wire, pool: Wire): Wire {
  const { nodeAgentSKUId = '' } = (pool.virtualMachineConfiguration ?? {}) as { nodeAgentSKUId?: string };
  const loginMode = pool.cloudServiceConfiguration
    ? 'interactive'
    : /windows/i.test(nodeAgentSKUId)
      ? 'batch'
      : undefined;
  return {
    elevationLevel: 'nonadmin',
    ...(loginMode && { windowsUserConfiguration: { loginMode } }),
    ...account,
  };
}
