/** Differences between Azure's clouds. Account endpoints are not built from them: they come from Resource Manager or the user. */
export interface Cloud {
  readonly name: 'public' | 'china' | 'usGovernment';
  /** Last part of the host of a Batch account: https://learn.microsoft.com/azure/batch/batch-service-workflow-features */
  readonly batchSuffix: string;
  /** For China: https://learn.microsoft.com/azure/china/resources-developer-guide */
  readonly storageSuffix: string;
  /** Token audience of Batch, with a slash at the end; the scope is `audience + '/.default'`. */
  readonly batchAudience: string;
  readonly authority: string;
  readonly arm: string;
  readonly portal: string;
}

export const clouds: readonly Cloud[] = [
  {
    name: 'public',
    batchSuffix: 'batch.azure.com',
    storageSuffix: 'core.windows.net',
    batchAudience: 'https://batch.core.windows.net/',
    authority: 'https://login.microsoftonline.com',
    arm: 'https://management.azure.com',
    portal: 'https://portal.azure.com',
  },
  {
    name: 'china',
    batchSuffix: 'batch.chinacloudapi.cn',
    storageSuffix: 'core.chinacloudapi.cn',
    batchAudience: 'https://batch.chinacloudapi.cn/',
    authority: 'https://login.chinacloudapi.cn',
    arm: 'https://management.chinacloudapi.cn',
    portal: 'https://portal.azure.cn',
  },
  {
    name: 'usGovernment',
    batchSuffix: 'batch.usgovcloudapi.net',
    storageSuffix: 'core.usgovcloudapi.net',
    batchAudience: 'https://batch.core.usgovcloudapi.net/',
    authority: 'https://login.microsoftonline.us',
    arm: 'https://management.usgovcloudapi.net',
    portal: 'https://portal.azure.us',
  },
];

/** Returns the cloud of an account URL; the public cloud for custom endpoints. */
export function cloudOf(accountUrl: string): Cloud {
  const host = new URL(accountUrl).hostname.toLowerCase();
  return (
    clouds.find(
      (cloud) => host.endsWith(`.${cloud.batchSuffix}`) || host.endsWith(`.${cloud.storageSuffix}`),
    ) ?? publicCloud
  );
}

const [publicCloud] = clouds as [Cloud];
