import { diskUse } from './diskUse';
import { StartError } from './guard/startError';
import { help, type Options, optionsOf, UsageError } from './options';
import { reset } from './reset';
import { serve } from './serve';
import { keepLoopbackDirect } from './tasks/proxy';

/** Exit codes of sysexits.h. */
const usageCode = 64;
const configurationCode = 78;

try {
  await run(optionsOf(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exit(error instanceof UsageError ? usageCode : configurationCode);
}

async function run(options: Options): Promise<void> {
  switch (options.command) {
    case 'help':
      console.log(help);
      return;
    case 'diskUse':
      console.log(JSON.stringify(diskUse(options.dataDir)));
      return;
    case 'reset':
      console.log(JSON.stringify({ reset: true, freedBytes: await reset(options.dataDir) }));
      return;
    case 'serve':
      keepLoopbackDirect(process.env);
      await serve(options);
  }
}
