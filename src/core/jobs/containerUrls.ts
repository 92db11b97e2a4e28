import type { Storage } from '../azure/storage';
import { type Attempt, type Manifest, sasExpiryFor } from '../plan/manifest';
import type { Clock } from '../wait';
import type { ContainerUrls } from './taskSpec';

/** A SAS made so long ago is still good for the next tasks. */
const reuseMs = 10 * 60_000;

/** The URLs of the containers of an attempt, signed anew every ten minutes: many tasks are added in that time. */
export class SignedUrls {
  #signed: { readonly urls: ContainerUrls; readonly expiry: string; readonly at: number } | undefined;

  /** `clock` has the time of the service. */
  constructor(
    private readonly storage: Storage,
    private readonly manifest: Pick<Manifest, 'limits' | 'outputContainer'>,
    private readonly attempt: Pick<Attempt, 'inputContainer'>,
    private readonly clock: Clock,
  ) {}

  /** Returns the URLs, and when their SAS expires (ISO 8601). */
  async get(signal: AbortSignal): Promise<{ readonly urls: ContainerUrls; readonly expiry: string }> {
    const now = this.clock.now();
    if (this.#signed && now - this.#signed.at < reuseMs) return this.#signed;
    const expiry = sasExpiryFor(this.manifest.limits, new Date(now));
    const sign = (container: string, permissions: string) =>
      this.storage.sasUrl(container, permissions, new Date(expiry), signal);
    const { outputContainer } = this.manifest;
    const urls = {
      input: await sign(this.attempt.inputContainer, 'r'),
      output: await sign(outputContainer, 'w'),
      encoded: await sign(outputContainer, 'r'),
    };
    this.#signed = { urls, expiry, at: now };
    return this.#signed;
  }

  /** Signs anew the next time. */
  forget(): void {
    this.#signed = undefined;
  }
}
