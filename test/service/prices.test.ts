import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { costOf, pricedRegion, RetailPrices } from '../../src/core/accounts/prices';

const question = { vmSize: 'Standard_D2s_v5', region: 'westeurope', currency: 'USD' };

/** An entry with the members that the service sends for a virtual machine. */
function item(skuName: string, retailPrice: number, others: Record<string, unknown> = {}) {
  return {
    currencyCode: 'USD',
    tierMinimumUnits: 0,
    retailPrice,
    unitPrice: retailPrice,
    armRegionName: 'westeurope',
    location: 'EU West',
    effectiveStartDate: '2026-01-01T00:00:00Z',
    meterName: skuName,
    productName: 'Virtual Machines Dsv5 Series',
    skuName,
    serviceName: 'Virtual Machines',
    serviceFamily: 'Compute',
    unitOfMeasure: '1 Hour',
    type: 'Consumption',
    isPrimaryMeterRegion: true,
    armSkuName: 'Standard_D2s_v5',
    ...others,
  };
}

const linux = [item('D2s v5', 0.115), item('D2s v5 Spot', 0.023), item('D2s v5 Low Priority', 0.03)];
const windows = { productName: 'Virtual Machines Dsv5 Series Windows' };

/** Answers as prices.azure.com does: pages of items, a link to the next page, no sign-in. */
class PriceList {
  readonly asked: URL[] = [];
  pages: unknown[][] = [[...linux, item('D2s v5', 0.2, windows), item('D2s v5 Spot', 0.001, windows)]];
  status = 200;
  nextHost: string | undefined;

  private constructor(private readonly server: Server) {
    server.on('request', (request, reply) => {
      const url = new URL(request.url ?? '/', this.endpoint);
      this.asked.push(url);
      const page = Number(url.searchParams.get('$skip') ?? 0);
      const Items = this.pages[page] ?? [];
      const next = new URL(url);
      next.searchParams.set('$skip', String(page + 1));
      if (this.nextHost) next.host = this.nextHost;
      reply.writeHead(this.status, { 'content-type': 'application/json; charset=utf-8' });
      reply.end(
        JSON.stringify({
          BillingCurrency: 'USD',
          CustomerEntityId: 'Default',
          CustomerEntityType: 'Retail',
          Items,
          NextPageLink: this.pages[page + 1] ? next.href : null,
          Count: Items.length,
        }),
      );
    });
  }

  static async start(): Promise<PriceList> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return new PriceList(server);
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

class Store {
  readonly values = new Map<string, unknown>();
  get<T>(key: string): T | undefined {
    return this.values.get(key) as T | undefined;
  }
  async update(key: string, value: unknown): Promise<void> {
    this.values.set(key, JSON.parse(JSON.stringify(value)));
  }
}

describe('The list of retail prices', () => {
  let list: PriceList;
  let store: Store;
  let now: number;
  const ask = (others = {}) =>
    new RetailPrices(store, { endpoint: list.endpoint, now: () => now }).pricesOf({ ...question, ...others });

  beforeEach(async () => {
    list = await PriceList.start();
    store = new Store();
    now = Date.parse('2026-11-26T12:00:00Z');
  });

  afterEach(() => list.close());

  it('has the price of a size in a region, dedicated and Spot, for Linux', async () => {
    assert.deepEqual(await ask(), { currency: 'USD', dedicated: 0.115, spot: 0.023 });
    const [asked] = list.asked;
    assert.equal(asked?.pathname, '/api/retail/prices');
    assert.equal(asked?.searchParams.get('currencyCode'), "'USD'");
    assert.equal(
      asked?.searchParams.get('$filter'),
      "serviceName eq 'Virtual Machines' and armRegionName eq 'westeurope' and armSkuName eq 'Standard_D2s_v5' and priceType eq 'Consumption'",
    );
  });

  it('is read to its end, but not from another server', async () => {
    list.pages = [[linux[1]], [linux[0]]];
    assert.deepEqual(await ask(), { currency: 'USD', dedicated: 0.115, spot: 0.023 });
    list.nextHost = 'localhost:1';
    assert.deepEqual(await ask({ region: 'westeurope', vmSize: 'standard_d2s_v5' }), {
      currency: 'USD',
      dedicated: 0.115,
      spot: 0.023,
    });
    store.values.clear();
    assert.deepEqual(await ask(), { currency: 'USD', dedicated: undefined, spot: 0.023 });
  });

  it('is requested once a day, for any number of simultaneous calls and of sessions', async () => {
    const prices = new RetailPrices(store, { endpoint: list.endpoint, now: () => now });
    await Promise.all([prices.pricesOf(question), prices.pricesOf(question)]);
    now += 23 * 60 * 60_000;
    await ask();
    assert.equal(list.asked.length, 1);
    now += 2 * 60 * 60_000;
    await ask();
    assert.equal(list.asked.length, 2);
  });

  it('takes low priority for Spot where there is no Spot price, and leaves out what is unknown', async () => {
    list.pages = [[linux[0], linux[2]]];
    assert.deepEqual(await ask(), { currency: 'USD', dedicated: 0.115, spot: 0.03 });
    list.pages = [[item('D2s v5', 0.1, { type: 'Reservation', unitOfMeasure: '1 Hour' })]];
    assert.equal(await ask({ currency: 'EUR' }), undefined);
  });

  it('gives no price, and no error, if it is unreachable or invalid, and is not requested again at once', async () => {
    const prices = new RetailPrices(store, { endpoint: list.endpoint, now: () => now });
    list.status = 503;
    assert.equal(await prices.pricesOf(question), undefined);
    assert.equal(await prices.pricesOf(question), undefined);
    assert.equal(list.asked.length, 1);
    list.status = 200;
    now += 11 * 60_000;
    assert.equal((await prices.pricesOf(question))?.spot, 0.023);
    const { endpoint } = list;
    await list.close();
    const away = new RetailPrices(new Store(), { endpoint });
    assert.equal(await away.pricesOf(question), undefined);
    list = await PriceList.start();
  });

  it('is for accounts of the public cloud, whose region is in their URL', () => {
    assert.equal(pricedRegion('https://media.westeurope.batch.azure.com'), 'westeurope');
    for (const url of [
      'https://media.chinaeast2.batch.chinacloudapi.cn',
      'https://media.usgovvirginia.batch.usgovcloudapi.net',
      'http://127.0.0.1:5000',
      'https://batch.example.com',
    ])
      assert.equal(pricedRegion(url), undefined, url);
  });

  it('makes a cost of node-hours only where every price that is needed is known', () => {
    const prices = { currency: 'USD', dedicated: 0.1, spot: 0.02 };
    assert.equal(costOf({ dedicated: 1, spot: 10 }, prices), 0.1 + 0.2);
    assert.equal(costOf({ dedicated: 0, spot: 1 }, { currency: 'USD', spot: 0.02 }), 0.02);
    assert.equal(costOf({ dedicated: 1, spot: 1 }, { currency: 'USD', spot: 0.02 }), undefined);
    assert.equal(costOf({ dedicated: 0, spot: 0 }, undefined), undefined);
  });
});
