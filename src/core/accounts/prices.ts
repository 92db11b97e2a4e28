import {
  createDefaultHttpClient,
  createEmptyPipeline,
  createPipelineRequest,
  proxyPolicy,
} from '@azure/core-rest-pipeline';
import { cloudOf } from '../azure/clouds';
import { type Log, noLog } from '../log';

/** Prices of one hour of a virtual machine that runs Linux, without discounts of the subscription. */
export interface VmPrices {
  /** ISO 4217: `USD`. */
  readonly currency: string;
  /** Undefined where the list has none. */
  readonly dedicated?: number;
  readonly spot?: number;
}

export interface PriceQuestion {
  /** As Azure names it: `Standard_D2s_v5`. */
  readonly vmSize: string;
  /** As Azure names it: `westeurope`. */
  readonly region: string;
  readonly currency: string;
}

/** Where prices are kept between sessions: VS Code's `Memento` is one. */
export interface PriceStore {
  get<T>(key: string): T | undefined;
  update(key: string, value: unknown): PromiseLike<void>;
}

interface Options {
  /** Instead of the list of the public cloud: for tests. */
  readonly endpoint?: string;
  readonly log?: Log;
  readonly now?: () => number;
}

interface Kept {
  readonly at: number;
  readonly prices: VmPrices;
}

const publicList = 'https://prices.azure.com';
const storeKey = 'retailPrices';
const keptMs = 24 * 60 * 60_000;
const maxKept = 50;

/** A list that could not be reached is asked again after this time. */
const pauseMs = 10 * 60_000;

const timeoutMs = 5_000;

/** A size in one region has some ten prices; a page has up to 1,000. */
const maxPages = 3;
const maxCharacters = 2_000_000;

/**
 * The public list of Azure's retail prices, which needs no sign-in:
 * https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices. Prices are kept for a day. What
 * is unknown stays unknown: nothing is thrown, since no run depends on its price.
 */
export class RetailPrices {
  readonly #asking = new Map<string, Promise<VmPrices | undefined>>();
  #failedAt: number | undefined;

  constructor(
    private readonly store: PriceStore,
    private readonly options: Options = {},
  ) {}

  /** The prices of a size in a region, or undefined where the list has none or cannot be reached. */
  async pricesOf(question: PriceQuestion): Promise<VmPrices | undefined> {
    const key = [question.vmSize, question.region, question.currency].join('|').toLowerCase();
    const now = this.#now();
    const kept = this.store.get<Record<string, Kept>>(storeKey)?.[key];
    if (kept && now - kept.at < keptMs) return kept.prices;
    if (this.#failedAt !== undefined && now - this.#failedAt < pauseMs) return undefined;
    const asking = this.#asking.get(key) ?? this.#ask(key, question);
    this.#asking.set(key, asking);
    return asking.finally(() => this.#asking.delete(key));
  }

  async #ask(key: string, question: PriceQuestion): Promise<VmPrices | undefined> {
    const { log = noLog } = this.options;
    try {
      const prices = pricesFrom(await this.#items(question), question);
      if (prices) await this.#keep(key, prices);
      else log.debug(`The price list has no ${question.vmSize} in ${question.region}.`);
      return prices;
    } catch (error) {
      this.#failedAt = this.#now();
      log.debug(`The price list could not be read: ${error instanceof Error ? error.message : error}`);
      return undefined;
    }
  }

  async #items({ vmSize, region, currency }: PriceQuestion): Promise<PriceItem[]> {
    const { endpoint = publicList } = this.options;
    const filter = [
      "serviceName eq 'Virtual Machines'",
      `armRegionName eq ${quoted(region)}`,
      `armSkuName eq ${quoted(vmSize)}`,
      "priceType eq 'Consumption'",
    ].join(' and ');
    const query = new URLSearchParams({ currencyCode: quoted(currency), $filter: filter });
    const items: PriceItem[] = [];
    let url: string | undefined = `${endpoint}/api/retail/prices?${query}`;
    for (let page = 0; url !== undefined && page < maxPages; page++) {
      const answer = await this.#page(url);
      items.push(...(answer.Items ?? []));
      url = nextPage(answer.NextPageLink, endpoint);
    }
    return items;
  }

  async #page(url: string): Promise<PricePage> {
    const { log = noLog } = this.options;
    const pipeline = createEmptyPipeline();
    pipeline.addPolicy(proxyPolicy());
    const started = performance.now();
    const request = createPipelineRequest({
      url,
      abortSignal: AbortSignal.timeout(timeoutMs),
      allowInsecureConnection: this.options.endpoint !== undefined,
    });
    const { status, bodyAsText = '' } = await pipeline.sendRequest(createDefaultHttpClient(), request);
    log.trace(
      `GET ${new URL(url).host}/api/retail/prices ${status} ${Math.round(performance.now() - started)} ms`,
    );
    if (status !== 200) throw new Error(`status ${status}`);
    if (bodyAsText === null || bodyAsText.length > maxCharacters) throw new Error('the answer is too long');
    return JSON.parse(bodyAsText) as PricePage;
  }

  async #keep(key: string, prices: VmPrices): Promise<void> {
    const kept = this.store.get<Record<string, Kept>>(storeKey) ?? {};
    const newest = Object.entries({ ...kept, [key]: { at: this.#now(), prices } })
      .sort(([, one], [, other]) => other.at - one.at)
      .slice(0, maxKept);
    await this.store.update(storeKey, Object.fromEntries(newest));
  }

  #now(): number {
    return (this.options.now ?? Date.now)();
  }
}

/** An entry of the list, as far as it is read here. */
interface PriceItem {
  readonly currencyCode?: string;
  readonly retailPrice?: number;
  readonly armSkuName?: string;
  readonly armRegionName?: string;
  readonly productName?: string;
  readonly skuName?: string;
  readonly type?: string;
  readonly unitOfMeasure?: string;
}

interface PricePage {
  readonly Items?: PriceItem[];
  readonly NextPageLink?: string | null;
}

/** `Windows` is in the product name, `Spot` and `Low Priority` are in the name of the SKU. */
function pricesFrom(
  items: readonly PriceItem[],
  { vmSize, region, currency }: PriceQuestion,
): VmPrices | undefined {
  const linux = items.filter(
    ({ type, unitOfMeasure, productName = '', armSkuName, armRegionName, currencyCode, retailPrice }) =>
      type === 'Consumption' &&
      unitOfMeasure === '1 Hour' &&
      !/windows/i.test(productName) &&
      armSkuName?.toLowerCase() === vmSize.toLowerCase() &&
      armRegionName?.toLowerCase() === region.toLowerCase() &&
      currencyCode === currency &&
      Number.isFinite(retailPrice) &&
      (retailPrice ?? 0) > 0,
  );
  const lowest = (suits: (skuName: string) => boolean) => {
    const prices = linux
      .filter(({ skuName = '' }) => suits(skuName))
      .map(({ retailPrice = 0 }) => retailPrice);
    return prices.length > 0 ? Math.min(...prices) : undefined;
  };
  const dedicated = lowest((name) => !/\b(spot|low priority)$/i.test(name));
  const spot = lowest((name) => /\bspot$/i.test(name)) ?? lowest((name) => /\blow priority$/i.test(name));
  return dedicated === undefined && spot === undefined ? undefined : { currency, dedicated, spot };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The next page is on the same server: the list names itself with a port, `https://prices.azure.com:443/…`. */
function nextPage(link: string | null | undefined, endpoint: string): string | undefined {
  if (!link) return undefined;
  return new URL(link).origin === new URL(endpoint).origin ? link : undefined;
}

/**
 * The region of a Batch account by its URL (`https://name.region.batch.azure.com`), or undefined where the public list
 * has no prices: other clouds, the local account, URLs of another shape.
 */
export function pricedRegion(batchUrl: string): string | undefined {
  const { hostname } = new URL(batchUrl);
  const [, region, ...rest] = hostname.split('.');
  return cloudOf(batchUrl).name === 'public' && rest.join('.') === 'batch.azure.com' ? region : undefined;
}

/** What node-hours cost; undefined if a price that is needed is unknown. */
export function costOf(
  { dedicated: dedicatedHours, spot: spotHours }: { readonly dedicated: number; readonly spot: number },
  prices: VmPrices | undefined,
): number | undefined {
  if (prices === undefined) return undefined;
  if (dedicatedHours > 0 && prices.dedicated === undefined) return undefined;
  if (spotHours > 0 && prices.spot === undefined) return undefined;
  return dedicatedHours * (prices.dedicated ?? 0) + spotHours * (prices.spot ?? 0);
}
