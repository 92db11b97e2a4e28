import type { Limits, Manifest, ManifestFile } from '../plan/manifest';
import { sasExpiryFor } from '../plan/manifest';
import type { PlanNote } from '../plan/plan';

/** A user delegation SAS lasts at most seven days, and a job must end before its SAS does. */
const maxJobMinutes = 7 * 24 * 60 - 60;

/** A job is ended only if it takes so many times as long as expected: estimates are rough, and nodes come late. */
const jobSlack = 3;

/** The same for the time for which a run is monitored. Nothing ends then, so it may be shorter. */
const monitorSlack = 2;

/** The limits of a run that is expected to take so many minutes: at least `limits`, and at most what a SAS allows. */
export function limitsFor(limits: Limits, expectedMinutes: number): Limits {
  if (!Number.isFinite(expectedMinutes)) return limits;
  return {
    ...limits,
    monitorMinutes: Math.max(limits.monitorMinutes, Math.ceil(monitorSlack * expectedMinutes)),
    jobMinutes: Math.min(Math.max(limits.jobMinutes, Math.ceil(jobSlack * expectedMinutes)), maxJobMinutes),
  };
}

/** Returns the manifest of a run that has not started, with other limits. */
export function withLimits(manifest: Manifest, limits: Limits): Manifest {
  const attempts = manifest.attempts.map((attempt) => ({
    ...attempt,
    sasExpiry: sasExpiryFor(limits, new Date(attempt.created)),
  }));
  return { ...manifest, limits, attempts };
}

/** What does not fit into the limits of a run. `tasks` are the seconds of the tasks of each file. */
export function limitNotes(
  files: readonly ManifestFile[],
  tasks: readonly (readonly number[])[],
  minutes: number,
  { taskMinutes }: Limits,
): PlanNote[] {
  const run: PlanNote[] = minutes > maxJobMinutes ? [{ kind: 'tooLongForJob', minutes }] : [];
  const tooLong = files.flatMap(({ path: file }, index): PlanNote[] => {
    const expected = Math.max(...(tasks[index] ?? []), 0) / 60;
    return expected > taskMinutes
      ? [{ kind: 'tooLongForTask', file, minutes: expected, limit: taskMinutes }]
      : [];
  });
  return [...run, ...tooLong];
}
