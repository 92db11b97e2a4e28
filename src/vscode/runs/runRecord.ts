import { createHash } from 'node:crypto';
import type { WaitReason } from '../../core/errors';
import { type FileResult, isSubmitted, type Manifest, type Until } from '../../core/plan/manifest';

/** A run as the Transcodes view lists it, derived from its manifest and results in the account. */
export interface RunRecord {
  readonly runId: string;
  readonly accountId: string;
  readonly outputContainer: string;
  /** ISO 8601. */
  readonly created: string;
  /** The label of its preset in English, and its id. */
  readonly preset: string;
  readonly presetId?: string;
  readonly files: number;
  /** URIs of its sources: by them the uploads and outputs of a file are found. */
  readonly sources: readonly string[];
  /** Digests of further sources. */
  readonly otherSources?: string;
  /** URIs of its outputs, as far as they are known here. */
  readonly outputs?: readonly string[];
  /** Digests of further outputs. */
  readonly otherOutputs?: string;
  /** Without a dot; empty if each output is a folder. Undefined in records of earlier versions. */
  readonly outputExtension?: string;
  readonly status: RunStatus;
  /** Set while the user's cancellation of the run is carried out: a window that closes meanwhile leaves it to the next one. */
  readonly isCanceling?: boolean;
  /** Set while a run that stopped is to continue by itself: as soon as its account can be used again. */
  readonly waitsFor?: WaitReason;
  /** How far the user wants the run to go. Default: `fetched`. */
  readonly until?: Until;
  /** Set if some files of a run that was only to be submitted have no tasks yet. */
  readonly isHalfSubmitted?: boolean;
  readonly succeeded?: number;
  /** Files that failed or were refused, without those that a cancellation ended. */
  readonly failed?: number;
}

/**
 * `running`: this window worked on it when the record was written. `uploaded` and `submitted`: it is that far, as asked.
 * `stopped`: not finished, and this window does not work on it. `canceled` and `finished`: no task runs any more.
 */
export type RunStatus = 'running' | 'uploaded' | 'submitted' | 'stopped' | 'canceled' | 'finished';

/** Whether a run was only uploaded, or partly: it has no tasks, and fetching its outputs would submit it. */
export function isUpload({ until, status }: Pick<RunRecord, 'until' | 'status'>): boolean {
  return until === 'uploaded' && status !== 'canceled' && status !== 'finished';
}

/** Whether files of a run failed or were refused. */
export function hasFailures({ failed = 0 }: RunRecord): boolean {
  return failed > 0;
}

/** Whether a run has files that can be transcoded again. A cancellation ends files, which are no failures. */
export function isRetryable({ failed = 0, succeeded = 0, files, status }: RunRecord): boolean {
  return failed > 0 || (status === 'canceled' && succeeded < files);
}

/** Whether a run has outputs. */
export function hasOutputs({ succeeded = 0 }: RunRecord): boolean {
  return succeeded > 0;
}

/** Whether a run is continued without being asked: a window that worked on it has closed, or its account could not be used. */
export function isToContinue({ status, waitsFor }: RunRecord): boolean {
  return status === 'running' || waitsFor !== undefined;
}

/** Whether a run has not ended, or is to do something else: to fetch its outputs, or to be canceled. */
export function isUnended(record: RunRecord): boolean {
  return (record.status !== 'finished' && record.status !== 'canceled') || isToContinue(record);
}

/** Runs that the list keeps. */
export const maxRecords = 50;

/** URIs that a record keeps as they are. Of more it keeps digests, so that the runs of a workspace stay small. */
const maxUris = 500;

/** Bytes of a digest: among 100,000 URIs, one in 3 billion others has the digest of one of them. */
const digestBytes = 6;

/** What tells a URI from others, in Base64. */
export function digestOf(uri: string): string {
  return createHash('sha256').update(uri).digest().subarray(0, digestBytes).toString('base64');
}

/** The digests in a record. */
export function digestsIn(digests = ''): string[] {
  const length = (digestBytes / 3) * 4;
  return Array.from({ length: digests.length / length }, (_, index) =>
    digests.slice(index * length, (index + 1) * length),
  );
}

/** The digests of the URIs that a record does not keep as they are; undefined if there are none. */
function digestsOf(uris: readonly string[]): string | undefined {
  return uris.length > maxUris ? uris.slice(maxUris).map(digestOf).join('') : undefined;
}

/** How many files a run has and how far they are: with the refused files, and without those that a cancellation ended. */
export function fileNumbers(
  { files, refused, canceled }: Pick<Manifest, 'files' | 'refused' | 'canceled'>,
  results: Iterable<FileResult>,
): { readonly files: number; readonly succeeded: number; readonly failed: number } {
  let succeeded = 0;
  let failed = refused.length;
  for (const { problem } of results) {
    if (problem === undefined) succeeded++;
    else if (!(canceled !== undefined && problem.kind === 'ended')) failed++;
  }
  return { files: files.length + refused.length, succeeded, failed };
}

/** The record of a run. `status` is used while the run is neither finished nor canceled. */
export function recordOf(
  accountId: string,
  manifest: Manifest,
  results: readonly FileResult[],
  status: Exclude<RunStatus, 'canceled' | 'finished'>,
  until = manifest.goal,
): RunRecord {
  const { runId, outputContainer, created, preset, files } = manifest;
  const sources = files.map(({ uri }) => uri);
  const outputs = results.flatMap(({ outputUri }) => outputUri ?? []);
  return {
    runId,
    accountId,
    outputContainer,
    created,
    preset: preset.label,
    presetId: preset.id,
    ...fileNumbers(manifest, results),
    sources: sources.slice(0, maxUris),
    otherSources: digestsOf(sources),
    outputs: outputs.slice(0, maxUris),
    otherOutputs: digestsOf(outputs),
    outputExtension: preset.folder ? '' : preset.extension,
    status: status === 'running' ? status : (endOf(manifest) ?? status),
    until,
    isHalfSubmitted: until === 'submitted' && !isSubmitted(manifest) && endOf(manifest) === undefined,
  };
}

/** How a run ended; undefined while it has not. */
function endOf({ canceled, finished }: Manifest): 'canceled' | 'finished' | undefined {
  if (canceled !== undefined) return 'canceled';
  return finished === undefined ? undefined : 'finished';
}

/**
 * What the list shows of a run that the account holds as `found`. The account does not know how far this window got, nor
 * that it works on the run or waits for the account. Another window may have been asked to take the run further.
 */
function updated(record: RunRecord, found: RunRecord): RunRecord {
  const { status, waitsFor, isCanceling } = record;
  // The account takes a cancellation before the jobs have ended, and tasks may still run.
  const isToCancel = isCanceling === true && isToContinue(record) && found.status === 'canceled';
  // What was asked of a run that has ended, such as its outputs, waits for the account too.
  if (waitsFor && !isCanceling && status === found.status) return { ...found, until: record.until, waitsFor };
  if (found.status !== 'stopped' && !isToCancel) return found;
  const isFurther =
    (status === 'uploaded' && (found.until === 'submitted' || found.until === 'fetched')) ||
    (status === 'submitted' && found.until === 'fetched');
  const until = waitsFor && record.until ? record.until : found.until;
  return { ...found, status: isFurther ? found.status : status, until, waitsFor, isCanceling };
}

/**
 * The records with those of one account brought up to date by `found`: replaced where both know a run, added, and dropped
 * where the account does not hold the run and `isKept` does not speak for it. Newest first.
 */
export function mergeRecords(
  records: readonly RunRecord[],
  accountId: string,
  found: readonly RunRecord[],
  isKept: (record: RunRecord) => boolean,
): RunRecord[] {
  const byId = new Map(found.map((record) => [record.runId, record]));
  const known = new Set(records.map(({ runId }) => runId));
  const kept = records.flatMap((record) => {
    if (record.accountId !== accountId) return record;
    const current = byId.get(record.runId);
    if (current === undefined) return isKept(record) ? record : [];
    return updated(record, current);
  });
  return newestFirst([...kept, ...found.filter(({ runId }) => !known.has(runId))]);
}

/** The records with this one, which replaces the one of the same run. */
export function withRecord(records: readonly RunRecord[], record: RunRecord): RunRecord[] {
  return newestFirst([...records.filter(({ runId }) => runId !== record.runId), record]);
}

function newestFirst(records: RunRecord[]): RunRecord[] {
  return records.sort((one, other) => other.created.localeCompare(one.created)).slice(0, maxRecords);
}
