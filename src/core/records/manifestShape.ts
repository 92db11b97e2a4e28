import type { FileResult, Manifest, ManifestFile, RefusedFile } from '../plan/manifest';

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

const isSize = (value: unknown): boolean => Number.isFinite(value) && Number(value) >= 0;

/** Whether a value is the id of a file, which is also that of its task. */
export function isFileId(value: unknown): value is string {
  return isText(value) && /^\d+$/.test(value);
}

function isOptional(isMember: (value: unknown) => boolean, value: unknown): boolean {
  return value === undefined || isMember(value);
}

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
  return (
    isKnown &&
    hasTexts(value, 'vmSize') &&
    (value.subnetId === undefined || isText(value.subnetId)) &&
    [value.dedicatedNodes, value.spotNodes].every(isCount)
  );
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
    isFileId(value.id) &&
    isCount(value.size) &&
    Number.isFinite(value.modified) &&
    isObject(value.output) &&
    hasTexts(value.output, 'nodePath', 'blob', 'name', 'proof') &&
    isOptional(isFolderUri, value.output.folder) &&
    (value.split === undefined || isSplitFile(value.split))
  );
}

/** Kinds of problems that contain another problem. They are not nested more than once. */
const wrappers = ['partFailed', 'runWaits'];

/** Whether a value has the members of a problem that code relies on. Later versions have other kinds. */
function isProblem(value: unknown, { isInner = false } = {}): boolean {
  if (!isObject(value) || !isText(value.kind)) return false;
  if (!wrappers.includes(value.kind)) return value.problem === undefined;
  return !isInner && isProblem(value.problem, { isInner: true });
}

/** Whether a value has the members of a refused file of a manifest. */
export function isRefusedFile(value: unknown): value is RefusedFile {
  return isObject(value) && hasTexts(value, 'path', 'uri') && isProblem(value.problem);
}

function isTaskRun(value: Members): boolean {
  return (
    isOptional(isText, value.node) &&
    isOptional(isCount, value.retries) &&
    isOptional(isTime, value.startTime) &&
    isOptional(isTime, value.endTime)
  );
}

function isTimeSpan(value: unknown): boolean {
  return isObject(value) && isTime(value.start) && isTime(value.end);
}

/** Whether a value is a URI whose parts can be decoded. */
function isUri(value: unknown): boolean {
  if (!isText(value) || !URL.canParse(value)) return false;
  try {
    decodeURIComponent(value);
    return true;
  } catch {
    return false;
  }
}

/** Whether a value is the URI of a folder, with a final slash. VS Code can't parse or join an empty path or a double slash. */
function isFolderUri(value: unknown): boolean {
  return (
    isText(value) &&
    /^[a-z][a-z\d+.-]*:(\/\/[^/?#]*)?\/(?!\/)/i.test(value) &&
    value.endsWith('/') &&
    isUri(value)
  );
}

/** Whether a value has the members of the result of a file: anyone with access to the account, nodes too, can write one. */
export function isFileResult(value: unknown): value is FileResult {
  return (
    isObject(value) &&
    isFileId(value.id) &&
    isTaskRun(value) &&
    isOptional(isProblem, value.problem) &&
    isOptional(isText, value.failedAt) &&
    isOptional(isUri, value.outputUri) &&
    isOptional(isSize, value.outputBytes) &&
    isOptional(isSize, value.outputSeconds) &&
    (value.pieces === undefined || isListOf(value.pieces, (piece) => isObject(piece) && isTaskRun(piece))) &&
    isOptional(isTimeSpan, value.uploaded) &&
    isOptional(isTimeSpan, value.fetched)
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
