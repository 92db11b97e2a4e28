import type { Wire } from './wire';

/** The loopback address of this machine. Nodes that have no address of their own share it: on macOS, all of them. */
export const loopback = '127.0.0.1';

/** The address of a node of a pool with IPv6, which all of them share. */
export const ipv6Loopback = '::1';

/** Where SSH listens on a machine that has it. */
export const sshPort = 22;

/** Whether the nodes of a pool have IPv6 addresses too. */
export function hasIpv6({ networkConfiguration }: Wire): boolean {
  const { publicIPAddressConfiguration } = (networkConfiguration ?? {}) as Record<string, Wire | undefined>;
  const families = (publicIPAddressConfiguration?.ipFamilies ?? []) as string[];
  return families.some((family) => family.toLowerCase() === 'ipv6');
}

/**
 * The inbound endpoints of a new node: those of its pool and, on Linux, one for SSH if the pool has none.
 * Since a node has an address of its own on this machine, a program that listens there is reached without a translation
 * of ports. `index` is its place among the nodes of the pool.
 */
export function endpointsOf(wire: Wire, index: number, ipAddress: unknown): Wire[] {
  const { endpointConfiguration } = (wire.networkConfiguration ?? {}) as {
    endpointConfiguration?: { inboundNATPools?: Wire[] };
  };
  const { nodeAgentSKUId } = (wire.virtualMachineConfiguration ?? {}) as { nodeAgentSKUId?: string };
  const endpoint = (name: unknown, protocol: unknown, address: unknown, port: unknown): Wire => ({
    name: `${name}.${index}`,
    protocol,
    publicIPAddress: address,
    publicFQDN: address,
    frontendPort: port,
    backendPort: port,
  });
  const given = endpointConfiguration?.inboundNATPools ?? [];
  const needsRule =
    !/windows/i.test(nodeAgentSKUId ?? '') && given.every(({ backendPort }) => backendPort !== sshPort);
  return [
    ...given.map(({ name, protocol, backendPort }) => endpoint(name, protocol, ipAddress, backendPort)),
    ...(needsRule ? [endpoint('SSHRule', 'tcp', loopback, sshPort)] : []),
  ];
}
