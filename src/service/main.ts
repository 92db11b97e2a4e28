import { writeSync } from 'node:fs';
import { diskUse } from './diskUse';
import { type FailedStart, failedStart, StartError } from './guard/startError';
import { help, type Options, optionsOf, UsageError } from './options';
import { reset } from './reset';
import { serve } from './serve';
import { ContainerEngine, type EngineChoice } from './tasks/containers/engine';
import { startWith } from './tasks/processes/processes';
import { keepLoopbackDirect } from './tasks/proxy';

/** Exit codes of sysexits.h. */
const usageCode = 64;
const softwareCode = 70;
const configurationCode = 78;

try {
  await run(optionsOf(process.argv.slice(2)));
} catch (error) {
  if (error instanceof UsageError || error instanceof StartError) {
    console.error(error.message);
    if (error instanceof StartError && error.canReset) {
      console.error('If the data folder is damaged, run the service with --reset to empty it.');
    }
    process.exit(error instanceof UsageError ? usageCode : configurationCode);
  }
  // Thrown on, it would be taken for an error of a service that runs, which survives it.
  console.error(error);
  process.exit(softwareCode);
}

async function run(options: Options): Promise<void> {
  switch (options.command) {
    case 'help':
      console.log(help);
      console.log(await engineLine(options.containerEngine));
      return;
    case 'diskUse':
      console.log(JSON.stringify(diskUse(options.dataDir)));
      return;
    case 'reset':
      console.log(JSON.stringify({ reset: true, freedBytes: await reset(options.dataDir) }));
      return;
    case 'serve':
      keepLoopbackDirect(process.env);
      startWith(options.perl);
      try {
        await serve(options);
      } catch (error) {
        tellClient(failedStart(error));
        throw error;
      }
  }
}

/** Writes a line to stdout at once: the process is about to exit. */
function tellClient(failed: FailedStart): void {
  try {
    writeSync(process.stdout.fd, `${JSON.stringify(failed)}\n`);
  } catch {
    // The client no longer reads. The exit code and stderr give the reason too.
  }
}

async function engineLine(choice: EngineChoice): Promise<string> {
  const engine = await ContainerEngine.find(choice);
  return engine
    ? `Container engine on this machine: ${engine}.`
    : 'Container engine on this machine: none answers, so pools and tasks with containers are refused.';
}
