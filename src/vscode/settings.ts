import { type ConfigurationScope, type ConfigurationTarget, extensions, workspace } from 'vscode';
import { UserError } from '../core/errors';
import type { Limits, PoolLifetime, RunPool } from '../core/plan/manifest';
import { extensionId, section } from './contributions';

export { section };

/**
 * The settings of this extension as they are now, typed here and nowhere else. VS Code only marks a value that the manifest
 * doesn't allow: a number out of range becomes the nearest one in range, and any other such value, or a blank text, the
 * default.
 */
export function settings(scope?: ConfigurationScope) {
  const values = workspace.getConfiguration(section, scope);
  const get = <T>(name: string, fallback: T) =>
    allowed(schemas()[`${section}.${name}`], values.get<unknown>(name) ?? fallback, fallback);
  return {
    preset: get('preset', 'mp3'),
    presets: get<unknown[]>('presets', []),
    outputFolder: get('output.folder', ''),
    onConflict: get<'ask' | 'rename' | 'overwrite' | 'skip'>('output.onConflict', 'ask'),
    audio: get('audio', 'default'),
    split: get<'auto' | 'never'>('split', 'auto') === 'auto',
    /** Length of the parts of a split video, in seconds. */
    partSeconds: 60 * get('splitMinutes', 5),
    review: get<'azure' | 'always' | 'never'>('review', 'azure'),
    cleanUp: get<'ask' | 'delete' | 'keep'>('cleanUp', 'ask'),
    extensions: get<unknown[]>('media.extensions', []).flatMap(extensionIn),
    account: get('account', ''),
    ffmpegPath: get('local.ffmpegPath', ''),
    idleMinutes: get('local.idleMinutes', 60),
    parallel: get('transfers.parallel', 64),
    prices: { show: get('prices.show', true), currency: get('prices.currency', 'USD') },
    pool: {
      lifetime: get<PoolLifetime>('pool.lifetime', 'scaleToZero'),
      vmSize: get('pool.vmSize', 'Standard_D2s_v5'),
      dedicatedNodes: get('pool.dedicatedNodes', 0),
      spotNodes: get('pool.spotNodes', 5),
      slotsPerNode: get('pool.slotsPerNode', 1),
      subnetId: get('pool.subnetId', '') || undefined,
    } satisfies RunPool,
    limits: limitsOf(
      get('monitoring.timeLimitMinutes', 30),
      get('task.timeLimitMinutes', 240),
      get('task.retries', 1),
    ),
  };
}

/**
 * Changes a setting. Throws `settingNotSaved` with VS Code's reason: the file of the settings has errors or unsaved
 * changes, for example.
 */
export async function updateSetting(
  name: string,
  value: unknown,
  target: ConfigurationTarget,
): Promise<void> {
  try {
    await workspace.getConfiguration(section).update(name, value, target);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new UserError({ kind: 'settingNotSaved', setting: `${section}.${name}`, detail }, { cause: error });
  }
}

/** The members of a setting's declaration in the manifest that limit its values. */
interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
}

let declared: Readonly<Record<string, Schema>> | undefined;

/** The declarations of all settings, by their full names. */
function schemas(): Readonly<Record<string, Schema>> {
  if (declared !== undefined) return declared;
  const groups: readonly { readonly properties: Readonly<Record<string, Schema>> }[] =
    extensions.getExtension(extensionId)?.packageJSON.contributes.configuration ?? [];
  declared = Object.fromEntries(groups.flatMap(({ properties }) => Object.entries(properties)));
  return declared;
}

/** An extension without a dot, from what people write: `mp4`, `.mp4`, `*.mp4`. Empty for anything else. */
function extensionIn(value: unknown): string[] {
  const [, extension] = (typeof value === 'string' && /^\s*\*?\.?([a-z0-9]+)\s*$/i.exec(value)) || [];
  return extension ? [extension] : [];
}

function allowed<T>(schema: Schema = {}, value: unknown, fallback: T): T {
  const { type, enum: choices, minimum, maximum } = schema;
  if (Array.isArray(value) !== Array.isArray(fallback) || typeof value !== typeof fallback) return fallback;
  if (choices && !choices.includes(value)) return fallback;
  if (typeof value === 'string') return (value.trim() || fallback) as T;
  if (typeof value !== 'number') return value as T;
  const nearest = Math.min(Math.max(value, minimum ?? value), maximum ?? value);
  return (type === 'integer' ? Math.round(nearest) : nearest) as T;
}

/** Tasks can queue for the same slots, so a job may last longer than any one of them. */
function limitsOf(monitorMinutes: number, taskMinutes: number, retries: number): Limits {
  const jobMinutes = 2 * Math.max(monitorMinutes, taskMinutes) + 60;
  return { monitorMinutes, taskMinutes, jobMinutes, retries };
}
