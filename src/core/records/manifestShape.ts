import type { Manifest, ManifestFile, RefusedFile } from '../plan/manifest';

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem);
}

const isText = (value: unknown): value is string => typeof value === 'string';

const isCount = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0;

const isTime = (value: unknown): boolean => isText(value) && Number.isFinite(Date.parse(value));

function hasTexts(value: Members, ...names: readonly string[]): boolean {
  return names.every((name) => isText(value[name]));
}

function isAttempt(value: unknown): boolean {
  return (
    isObject(value) &&
    hasTexts(value, 'jobId', 'inputContainer') &&
    isTime(value.created) &&
    isListOf(value.fileIds, isText)
  );
}

function isPool(value: unknown): boolean {
  const isKnown = isObject(value) && ['run', 'scaleToZero', 'keep'].includes(String(value.lifetime));
  return isKnown && hasTexts(value, 'vmSize') && [value.dedicatedNodes, value.spotNodes].every(isCount);
}

function areLimits(value: unknown): boolean {
  const names = ['monitorMinutes', 'taskMinutes', 'jobMinutes'];
  return isObject(value) && names.every((name) => Number.isFinite(value[name]));
}

function isSplitFile(value: unknown): boolean {
  const isPart = (part: unknown) =>
    isObject(part) && ['startSeconds', 'endSeconds', 'bytes'].every((name) => Number.isFinite(part[name]));
  return (
    isObject(value) &&
    hasTexts(value, 'partCommandLine', 'partList', 'extension') &&
    isListOf(value.parts, isPart) &&
    isCount(value.headBytes)
  );
}

/** Whether a value has the members of a file of a manifest. */
export function isManifestFile(value: unknown): value is ManifestFile {
  return (
    isObject(value) &&
    hasTexts(value, 'path', 'uri', 'inputBlob', 'nodeInput', 'commandLine') &&
    isText(value.id) &&
    /^\d+$/.test(value.id) &&
    isCount(value.size) &&
    Number.isFinite(value.modified) &&
    isObject(value.output) &&
    hasTexts(value.output, 'nodePath', 'blob', 'name', 'proof') &&
    (value.split === undefined || isSplitFile(value.split))
  );
}

/** Whether a value has the members of a refused file of a manifest. */
export function isRefusedFile(value: unknown): value is RefusedFile {
  return (
    isObject(value) && hasTexts(value, 'path', 'uri') && isObject(value.problem) && isText(value.problem.kind)
  );
}

/** Whether a value has the members of a manifest, besides its files: anyone with access to the account can write one. */
export function isManifestHead(value: unknown): value is Omit<Manifest, 'version' | 'files' | 'refused'> {
  return (
    isObject(value) &&
    hasTexts(value, 'runId', 'workspace', 'outputContainer') &&
    isTime(value.created) &&
    isObject(value.preset) &&
    hasTexts(value.preset, 'id', 'label', 'extension') &&
    isPool(value.pool) &&
    areLimits(value.limits) &&
    Array.isArray(value.attempts) &&
    value.attempts.length > 0 &&
    value.attempts.every(isAttempt)
  );
}
