import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { descendantsOf, processesWith, startersOf } from './descendants';
import { eventually, machine, TestService } from './harness';

/** In the command lines of this test alone, on the whole machine. */
const mark = `4322.${process.pid}`;

for (const [language, ...args] of [['Perl'], ['Node.js', '--perl', 'none']]) {
  describe(`The processes that start programs for the local Batch service in ${language}`, function () {
    this.timeout(240_000);
    let service: TestService;

    beforeEach(async () => {
      service = await TestService.start(...args);
      const client = service.client();
      await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 3 });
      await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    });

    afterEach(() => service.close());

    const sleeper = { id: 'sleeper', commandLine: '/bin/sleep 321' };

    const completed = (id: string) =>
      eventually(
        () => service.client().task.get('job', id),
        ({ state }) => state === 'completed',
      );

    async function outputOf(id: string, name: string): Promise<string> {
      const { nodeInfo } = await service.client().task.get('job', id);
      const root = join(service.dataDir, 'nodes', 'pool', nodeInfo?.nodeId ?? '');
      return readFile(join(root, nodeInfo?.taskRootDirectory ?? '', name), 'utf8');
    }

    async function whileSleeping(): Promise<number> {
      await service.client().task.add('job', sleeper);
      return eventually(
        async () => descendantsOf(service.ready.pid, '321')[0] ?? 0,
        (pid) => pid > 0,
      );
    }

    it('leave no daemon of a task behind, whether the service is asked to end or killed and started again', async () => {
      const isThere = () => processesWith(mark).length > 0;
      const add = async (id: string) => {
        // A daemon that has not left the process group yet when its task ends would end with it.
        const daemon = `setsid sh -c 'touch began; sleep ${mark} & sleep ${mark}' > /dev/null 2>&1 &`;
        const commandLine = `/bin/sh -c "${daemon} while [ ! -e began ]; do sleep 0.02; done"`;
        await service.client().task.add('job', { id, commandLine });
        await eventually(
          () => service.client().task.get('job', id),
          ({ state }) => state === 'completed',
        );
        await eventually(async () => isThere(), Boolean);
      };
      await add('killed');
      await service.kill();
      await service.start();
      await eventually(async () => !isThere(), Boolean);
      await add('ended');
      process.kill(service.ready.pid, 'SIGTERM');
      await service.ended();
      await eventually(async () => !isThere(), Boolean);
    });

    it('end what they started when the service is killed', async () => {
      const pid = await whileSleeping();
      await service.kill();
      await eventually(
        async () => existsSync(`/proc/${pid}`),
        (isThere) => !isThere,
      );
      await service.start();
      await eventually(
        () => service.client().task.get('job', 'sleeper'),
        ({ state, executionInfo }) => state === 'running' && executionInfo?.requeueCount === 1,
      );
    });

    it('are started again when they are killed, and what they had started has ended', async () => {
      await whileSleeping();
      const [starter = 0] = startersOf(service.ready.pid);
      process.kill(starter, 'SIGKILL');
      const client = service.client();
      const ended = await eventually(
        () => client.task.get('job', 'sleeper'),
        ({ state }) => state === 'completed',
      );
      assert.equal(ended.executionInfo?.result, 'failure');
      assert.deepEqual(descendantsOf(service.ready.pid, '321'), []);
      await client.task.add('job', { id: 'next', commandLine: '/bin/true' });
      const next = await eventually(
        () => client.task.get('job', 'next'),
        ({ state }) => state === 'completed',
      );
      assert.equal(next.executionInfo?.exitCode, 0);
    });

    it('leave nothing when a program kills the one that is starting it', async () => {
      const client = service.client();
      const mark = `654.${process.pid}`;
      const tasks = ['1', '2', '3', '4', '5', '6'].map((id) => ({
        id,
        commandLine: `/bin/sh -c 'kill -9 $PPID; exec sleep ${mark}'`,
      }));
      await client.task.addCollection('job', tasks);
      const { taskCounts } = await eventually(
        () => client.job.getTaskCounts('job'),
        (read) => read.taskCounts.completed === tasks.length,
      );
      assert.equal(taskCounts.failed, tasks.length);
      await eventually(
        async () => processesWith(mark),
        (pids) => pids.length === 0,
      );
    });

    it('do not wait for each other', async () => {
      await whileSleeping();
      const client = service.client();
      const [first = 0] = startersOf(service.ready.pid);
      process.kill(first, 'SIGSTOP');
      const tasks = ['one', 'two'].map((id) => ({ id, commandLine: '/bin/true' }));
      await client.task.addCollection('job', tasks);
      const completed = () =>
        Promise.all(tasks.map(({ id }) => client.task.get('job', id))).then((read) =>
          read
            .filter(({ state }) => state === 'completed')
            .map(({ executionInfo }) => executionInfo?.exitCode),
        );
      await eventually(completed, (codes) => codes.length === 1);
      process.kill(first, 'SIGCONT');
      assert.deepEqual(await eventually(completed, (codes) => codes.length === 2), [0, 0]);
    });

    it('give a program its arguments, its environment and its output files unchanged', async () => {
      const client = service.client();
      const variables = {
        quoted: `it's "so"`,
        lines: 'one\ntwo',
        empty: '',
        equal: 'a=b',
        'with-dash': 'ü €',
        PERL5OPT: '-d',
      };
      const program =
        'for (const text of [...process.argv.slice(1), ...Object.keys(process.env).sort()]) console.log(JSON.stringify([text, process.env[text]]));';
      await client.task.add('job', {
        id: 'exact',
        commandLine: `'${process.execPath}' -e '${program}' -- one 'two words' '' "it's" 'ü' '*' '$HOME'`,
        environmentSettings: Object.entries(variables).map(([name, value]) => ({ name, value })),
      });
      await completed('exact');
      const lines = (await outputOf('exact', 'stdout.txt'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as [string, string?]);
      assert.deepEqual(
        lines.slice(0, 7).map(([text]) => text),
        ['one', 'two words', '', "it's", 'ü', '*', '$HOME'],
      );
      const environment = Object.fromEntries(lines.slice(7));
      for (const [name, value] of Object.entries(variables)) assert.equal(environment[name], value, name);
      const inherited =
        /^(AZ_BATCH_\w+|LOCAL_BATCH_NODE_ADDRESS|HOME|PATH|LANG|LC_ALL|TMPDIR|TMP|TEMP|USER|LOGNAME)$/;
      assert.deepEqual(
        Object.keys(environment).filter((name) => !(name in variables) && !inherited.test(name)),
        [],
      );
    });

    it('report how programs end, and those that the system refuses', async () => {
      const client = service.client();
      const commands = {
        code: `/bin/sh -c 'echo out; echo err >&2; exit 7'`,
        signal: `/bin/sh -c 'kill -SEGV $$'`,
        missing: 'no-such-program',
        folder: '/tmp',
      };
      await client.task.addCollection(
        'job',
        Object.entries(commands).map(([id, commandLine]) => ({ id, commandLine })),
      );
      const ends = await Promise.all(
        Object.keys(commands).map(async (id) => {
          const { executionInfo } = await completed(id);
          return [id, executionInfo?.exitCode ?? executionInfo?.failureInfo?.code];
        }),
      );
      assert.deepEqual(Object.fromEntries(ends), {
        code: 7,
        signal: 139,
        missing: 'CommandProgramNotFound',
        folder: 'CommandProgramNotFound',
      });
      assert.deepEqual(
        [await outputOf('code', 'stdout.txt'), await outputOf('code', 'stderr.txt')],
        ['out\n', 'err\n'],
      );
    });
  });
}

describe('The local Batch service with a Perl that does not work', function () {
  this.timeout(240_000);

  for (const perl of ['/bin/false', '/no/such/perl']) {
    it(`starts programs with Node.js in place of ${perl}`, async () => {
      const service = await TestService.start('--perl', perl);
      try {
        const client = service.client();
        await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 3 });
        await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
        const tasks = ['1', '2', '3', '4', '5', '6'].map((id) => ({ id, commandLine: '/bin/true' }));
        await client.task.addCollection('job', tasks);
        const { taskCounts } = await eventually(
          () => client.job.getTaskCounts('job'),
          (read) => read.taskCounts.completed === tasks.length,
        );
        assert.equal(taskCounts.succeeded, tasks.length);
        assert.deepEqual(startersOf(service.ready.pid), descendantsOf(service.ready.pid, 'starter.js'));
      } finally {
        await service.close();
      }
    });
  }
});
