// Runs Azurite's blob service in a process of its own, and saves its tables on demand.
import './azuriteLimits';
import { link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobServer, BlobServerFactory, type Loki } from 'azurite/dist/src/blob/BlobServerFactory';
import { extentFolder, previousOf, type StorageOrder, type StorageReply } from './messages';

/** Azurite itself saves every 5 seconds, and ends the process if it cannot. */
const saveMs = 2_000;
/** The location that Azurite gives its extents unless it is configured otherwise. */
const locationId = 'Default';
const extentCollection = '$EXTENTS_COLLECTION$';

let server: BlobServer | undefined;
let saving: Promise<void> = Promise.resolve();
let ending = false;
/** Tables whose last save failed: LokiJS no longer knows that they have changed. */
const unsaved = new Set<Loki>();

for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
process.on('message', (order: StorageOrder) => {
  if (order.kind === 'start') start(order).catch((error) => fail(error));
  else answerSave(order.id);
});
// The service has died. What is in memory only is saved before this process follows.
process.on('disconnect', end);
// Not once: without a handler, one more signal would end this process while it saves.
process.on('SIGTERM', end);
// The service ends this process in its own time when both get a signal from a terminal.
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);

async function start({ folder, port, account }: StorageOrder & { kind: 'start' }): Promise<void> {
  process.env.AZURITE_ACCOUNTS = account;
  const created = await new BlobServerFactory().createServer({
    blobHost: () => '127.0.0.1',
    blobPort: () => port,
    blobKeepAliveTimeout: () => 65,
    location: async () => folder,
    silent: () => true,
    loose: () => false,
    skipApiVersionCheck: () => true,
    cert: () => undefined,
    key: () => undefined,
    pwd: () => undefined,
    oauth: () => undefined,
    disableProductStyleUrl: () => false,
    disableTelemetry: () => true,
    inMemoryPersistence: () => false,
    extentMemoryLimit: () => undefined,
    debug: async () => undefined,
  });
  const { metadataStore, extentMetadataStore } = created;
  for (const { db } of [metadataStore, extentMetadataStore]) {
    db.autosaveDisable();
    db.persistenceAdapter = {
      loadDatabase(path, done) {
        readFile(path, 'utf8').then(
          (text) => done(text),
          (error) => done(error.code === 'ENOENT' ? null : error),
        );
      },
      saveDatabase(path, text, done) {
        writeTable(path, text).then(() => done(), done);
      },
    };
  }
  // Azurite leaves the time out of an extent that it writes once, and then takes it for an old one.
  const update = extentMetadataStore.updateExtent.bind(extentMetadataStore);
  extentMetadataStore.updateExtent = (extent) =>
    update({ ...extent, LastModifyInMS: extent.lastModifiedInMS });
  await created.start();
  for (const { db } of [metadataStore, extentMetadataStore]) db.autosaveDisable();
  await adoptExtents(created, join(folder, extentFolder));
  server = created;
  setInterval(() => {
    save().catch((error) => send({ kind: 'trouble', message: String(error) }));
  }, saveMs);
  send({ kind: 'listening', url: created.getHttpServerAddress() });
}

/**
 * Enters the files that the table of extents does not have: it was damaged, or not saved before a crash. Those that no
 * blob uses are removed later by Azurite itself.
 */
async function adoptExtents({ extentMetadataStore }: BlobServer, folder: string): Promise<void> {
  const collection = extentMetadataStore.db.getCollection(extentCollection);
  for (const id of await readdir(folder)) {
    if (collection.findOne({ id })) continue;
    const { size, mtimeMs } = await stat(join(folder, id));
    await extentMetadataStore.updateExtent({
      id,
      locationId,
      path: id,
      size,
      lastModifiedInMS: Math.floor(mtimeMs),
    });
  }
}

function answerSave(id: number): void {
  save().then(
    () => send({ kind: 'saved', id }),
    (error) => send({ kind: 'saved', id, error: String(error) }),
  );
}

/** Writes what has changed, the bytes' table first. Saves one after another; each holds all changes before it. */
function save(): Promise<void> {
  const next = saving.then(async () => {
    if (server === undefined) return;
    const { extentMetadataStore, metadataStore } = server;
    for (const { db } of [extentMetadataStore, metadataStore]) await saveTable(db);
  });
  saving = next.catch(() => undefined);
  return next;
}

async function saveTable(db: Loki): Promise<void> {
  if (!db.autosaveDirty() && !unsaved.has(db)) return;
  unsaved.add(db);
  db.autosaveClearFlags();
  await writeTable(db.filename, db.serialize());
  unsaved.delete(db);
}

/** Replaces a table as a whole, on the disk and not only in the cache of the system, and keeps the one before. */
async function writeTable(path: string, text: string): Promise<void> {
  const draft = `${path}~`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rm(previousOf(path), { force: true });
  await link(path, previousOf(path)).catch(() => undefined);
  await rename(draft, path);
}

/** Ends the process once, whether the service asks for it, has died, or both. */
function end(): void {
  if (ending) return;
  ending = true;
  saveAndExit().catch((error) => fail(error));
}

async function saveAndExit(): Promise<void> {
  try {
    await server?.close();
    await save();
  } catch (error) {
    console.error(error);
  }
  process.exit(0);
}

function fail(error: unknown): void {
  send({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }, () =>
    process.exit(1),
  );
}

function send(reply: StorageReply, then: () => void = () => undefined): void {
  if (process.connected) process.send?.(reply, undefined, undefined, then);
  else then();
}
