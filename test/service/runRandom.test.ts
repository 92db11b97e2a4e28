import { join } from 'node:path';
import { clip, ffmpeg, temporaryFolder } from '../media';
import { prepare, TestService } from './harness';
import { RandomRuns } from './randomRun';
import { scenarioOf } from './randomScenario';

/** Scenarios that are played quickly, and have all kinds of faults between them. */
const quickSeeds = [1041, 1044, 1049, 1085, 1087, 1121, 1126, 1134];

/** `TEST_SEEDS=100-199` plays others. */
const { TEST_SEEDS } = process.env;

function seeds(): readonly number[] {
  if (TEST_SEEDS === undefined) return quickSeeds;
  const [from = 1, to = from] = TEST_SEEDS.split('-').map(Number);
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const words = (text: string) => text.split(' ');

describe('A run under random faults', function () {
  this.timeout(240_000);
  let service: TestService;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let runs: RandomRuns;

  prepare(
    async () => {
      service = await TestService.start();
      root = await temporaryFolder('random');
      const short = await clip(join(root.path, 'short.mp4'), 0.5);
      const long = await ffmpeg(
        ...words('-f lavfi -i testsrc2=size=192x108:rate=25:duration=12 -f lavfi -i sine=duration=12'),
        ...words('-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 25 -c:a aac'),
        join(root.path, 'long.mp4'),
      );
      runs = new RandomRuns(service, root.path, { short, long });
    },
    async () => {
      await service.close();
      await root.remove();
    },
  );

  for (const seed of seeds()) {
    it(`ends with an output or a true reason for each file, and leaves nothing (seed ${seed})`, () =>
      runs.play(seed, scenarioOf(seed)));
  }
});
