import assert from 'node:assert/strict';
import { builtInPresets } from '../src/core/presets/builtIn';
import type { Preset } from '../src/core/presets/preset';

/** The built-in preset with this id. Fails if there is none. */
export function preset(id: string): Preset {
  const found = builtInPresets.find((one) => one.id === id);
  assert.ok(found, id);
  return found;
}
