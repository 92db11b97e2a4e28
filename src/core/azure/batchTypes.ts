import type { BatchServiceModels } from '@azure/batch';

export type Pool = BatchServiceModels.CloudPool;
export type PoolSpec = BatchServiceModels.PoolSpecification;
export type PoolAdd = BatchServiceModels.PoolAddParameter;
export type Node = BatchServiceModels.ComputeNode;
export type Job = BatchServiceModels.CloudJob;
export type JobAdd = BatchServiceModels.JobAddParameter;
export type Task = BatchServiceModels.CloudTask;
export type TaskAdd = BatchServiceModels.TaskAddParameter;
export type TaskAddResult = BatchServiceModels.TaskAddResult;
export type TaskCounts = BatchServiceModels.TaskCounts;
export type NodeCounts = BatchServiceModels.NodeCounts;
export type NodeFile = BatchServiceModels.NodeFile;
export type Image = BatchServiceModels.ImageInformation;
export type AutoScaleRun = BatchServiceModels.AutoScaleRun;
export type NodeAction = 'reboot' | 'reimage' | 'disableScheduling' | 'enableScheduling';
export type PoolNodeCounts = BatchServiceModels.PoolNodeCounts;
export type PoolSize = BatchServiceModels.PoolResizeParameter;
export type DisableJobOption = BatchServiceModels.DisableJobOption;
export type JobPatch = BatchServiceModels.JobPatchParameter;

export interface ListOptions {
  /** An OData filter, which the service evaluates. */
  readonly filter?: string;
  readonly select?: string;
  readonly expand?: string;
  /** 1 to 1000 items a page. */
  readonly pageSize?: number;
  readonly signal?: AbortSignal;
}

/** Where a file is: with its task, or on a node of a pool. Paths use slashes, relative to the task's or node's root. */
export type FilePlace =
  | { readonly jobId: string; readonly taskId: string }
  | { readonly poolId: string; readonly nodeId: string };
