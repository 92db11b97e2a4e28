import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  checkFormula,
  evaluateFormula,
  FormulaError,
  type MetricName,
  type Sample,
} from '../../src/service/autoscale/evaluate';
import { chanceOf } from '../chance';

/** A Thursday at 19:18 UTC. */
const thursday = Date.parse('2016-10-13T19:18:47.805Z');

interface Situation {
  /** Milliseconds since 1970. */
  readonly now?: number;
  /** Samples of metrics, oldest first; the last is of now, 30 seconds between two. One number stands for an hour. */
  readonly metrics?: Partial<Record<MetricName, number | readonly number[]>>;
  readonly dedicated?: number;
  readonly lowPriority?: number;
}

function contextOf({ now = thursday, metrics = {}, dedicated = 0, lowPriority = 0 }: Situation) {
  return {
    now,
    samples: (metric: MetricName): readonly Sample[] => {
      const given = metrics[metric] ?? [0];
      const values = typeof given === 'number' ? Array<number>(120).fill(given) : given;
      return values.map((value, index) => ({ at: now - (values.length - 1 - index) * 30_000, value }));
    },
    current: { dedicated, lowPriority },
  };
}

function targets(formula: string, situation: Situation = {}) {
  checkFormula(formula, contextOf(situation));
  const run = evaluateFormula(formula, contextOf(situation));
  assert.ok('targets' in run, JSON.stringify(run));
  return [run.targets.dedicated, run.targets.lowPriority, run.targets.deallocation];
}

/** The message of an evaluation that fails. */
function failure(formula: string, situation: Situation = {}): string {
  const run = evaluateFormula(formula, contextOf(situation));
  assert.ok('error' in run, run.results);
  assert.equal(run.error.code, 'AutoScalingFormulaEvaluationError');
  return run.error.values[0]?.value ?? '';
}

/** The value of a variable `x` in the results. */
function resultOf(expression: string, situation: Situation = {}): string {
  const run = evaluateFormula(`x = ${expression};`, contextOf(situation));
  assert.ok('targets' in run, JSON.stringify(run));
  return (
    run.results
      .split(';')
      .find((item) => item.startsWith('x='))
      ?.slice(2) ?? ''
  );
}

function refusal(formula: string): FormulaError {
  try {
    checkFormula(formula, contextOf({}));
  } catch (error) {
    assert.ok(error instanceof FormulaError, String(error));
    return error;
  }
  return assert.fail(`${formula} was accepted`);
}

describe('Formulas of Microsoft’s page on automatic scaling', () => {
  it('follow the pending tasks once 70 percent of the samples are there', () => {
    const formula = `startingNumberOfVMs = 1;
maxNumberofVMs = 25;
pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
pendingTaskSamples = pendingTaskSamplePercent < 70 ? startingNumberOfVMs : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
$TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);
$NodeDeallocationOption = taskcompletion;`;
    assert.deepEqual(targets(formula, { metrics: { $PendingTasks: [8] } }), [1, 0, 'taskcompletion']);
    assert.deepEqual(targets(formula, { metrics: { $PendingTasks: 8 } }), [8, 0, 'taskcompletion']);
    assert.deepEqual(targets(formula, { metrics: { $PendingTasks: 80 } }), [25, 0, 'taskcompletion']);
  });

  it('replace preempted nodes by dedicated ones', () => {
    const formula = `maxNumberofVMs = 25;
$TargetDedicatedNodes = min(maxNumberofVMs, $PreemptedNodeCount.GetSample(180 * TimeInterval_Second));
$TargetLowPriorityNodes = min(maxNumberofVMs , maxNumberofVMs - $TargetDedicatedNodes);
$NodeDeallocationOption = taskcompletion;`;
    assert.deepEqual(targets(formula), [0, 25, 'taskcompletion']);
    assert.deepEqual(targets(formula, { metrics: { $PreemptedNodeCount: 4 } }), [4, 21, 'taskcompletion']);
  });

  it('grow and shrink by the load, without a last semicolon', () => {
    const formula = `$totalDedicatedNodes =
    (min($CPUPercent.GetSample(TimeInterval_Minute * 10)) > 0.7) ?
    ($CurrentDedicatedNodes * 1.1) : $CurrentDedicatedNodes;
$totalDedicatedNodes =
    (avg($CPUPercent.GetSample(TimeInterval_Minute * 60)) < 0.2) ?
    ($CurrentDedicatedNodes * 0.9) : $totalDedicatedNodes;
$TargetDedicatedNodes = min(400, $totalDedicatedNodes)`;
    const at = (load: number, nodes = 20) =>
      targets(formula, { metrics: { $CPUPercent: load, $CurrentDedicatedNodes: nodes } })[0];
    assert.deepEqual([at(0.9), at(0.5), at(0), at(1, 390)], [22, 20, 18, 400]);
  });

  it('read a vector of samples of the last minutes', () => {
    const line =
      '$runningTasksSample = $RunningTasks.GetSample(1 * TimeInterval_Minute, 6 * TimeInterval_Minute)';
    const run = evaluateFormula(line, contextOf({ metrics: { $RunningTasks: 1 } }));
    assert.match(run.results, /\$runningTasksSample=\[1,1,1,1,1,1,1,1,1,1\]/);
    const strict = '$x = $RunningTasks.GetSample(60 * TimeInterval_Second, 120 * TimeInterval_Second, 75);';
    assert.match(failure(strict, { metrics: { $RunningTasks: [1] } }), /not enough samples/);
    assert.deepEqual(targets(strict, { metrics: { $RunningTasks: 1 } }), [0, 0, 'requeue']);
  });

  it('mind the day of the week and the hour', () => {
    assert.deepEqual(targets('$TargetDedicatedNodes = (time().weekday == 1 ? 5:1);'), [1, 0, 'requeue']);
    const monday = Date.parse('2016-10-10T09:00:00Z');
    assert.deepEqual(targets('$TargetDedicatedNodes = (time().weekday == 1 ? 5:1);', { now: monday })[0], 5);
    const hours = `$curTime = time();
$workHours = $curTime.hour >= 8 && $curTime.hour < 18;
$isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
$isWorkingWeekdayHour = $workHours && $isWeekday;
`;
    for (const last of [
      '$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;\n$NodeDeallocationOption = taskcompletion;',
      '$TargetDedicated = $isWorkingWeekdayHour ? 20:10;',
    ]) {
      assert.equal(targets(hours + last)[0], 10);
      assert.equal(targets(hours + last, { now: monday })[0], 20);
    }
    const shifted = hours.replace('time()', 'time() + (-6 * TimeInterval_Hour)');
    assert.equal(targets(`${shifted}$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;`)[0], 20);
    const { results } = evaluateFormula(
      `${hours}$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;`,
      contextOf({}),
    );
    assert.equal(
      results,
      '$TargetDedicatedNodes=10;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;' +
        '$curTime=2016-10-13T19:18:47.805Z;$isWeekday=1;$isWorkingWeekdayHour=0;$workHours=0',
    );
  });

  it('follow the tasks of 15 minutes, and halve the pool when there are none', () => {
    const formula = `// Get pending tasks for the past 15 minutes.
$samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
// If we have fewer than 70 percent data points, we use the last sample point.
$tasks = $samples < 70 ? max(0,$PendingTasks.GetSample(1)) : max( $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
$targetVMs = $tasks > 0? $tasks:max(0, $TargetDedicatedNodes/2);
$TargetDedicatedNodes = max(0, min($targetVMs, 20));
$NodeDeallocationOption = taskcompletion;`;
    assert.equal(targets(formula, { metrics: { $PendingTasks: [7] } })[0], 7);
    assert.equal(targets(formula, { metrics: { $PendingTasks: 90 } })[0], 20);
    assert.equal(targets(formula, { metrics: { $PendingTasks: 0 }, dedicated: 9 })[0], 4);
  });

  it('account for parallel tasks', () => {
    const formula = `$samples = $ActiveTasks.GetSamplePercent(TimeInterval_Minute * 15);
$tasks = $samples < 70 ? max(0,$ActiveTasks.GetSample(1)) : max( $ActiveTasks.GetSample(1),avg($ActiveTasks.GetSample(TimeInterval_Minute * 15)));
$cores = $TargetDedicatedNodes * 4;
$extraVMs = (($tasks - $cores) + 3) / 4;
$targetVMs = ($TargetDedicatedNodes + $extraVMs);
$TargetDedicatedNodes = max(0,min($targetVMs,3));
$NodeDeallocationOption = taskcompletion;`;
    assert.equal(targets(formula, { metrics: { $ActiveTasks: 5 } })[0], 2);
    assert.equal(targets(formula, { metrics: { $ActiveTasks: 50 }, dedicated: 1 })[0], 3);
  });

  it('begin with four nodes, and keep them only while there is work', () => {
    const formula = `$TargetDedicatedNodes = 4;
lifespan         = time() - time("Thu, 13 Oct 2016 19:00:00 GMT");
span             = TimeInterval_Minute * 60;
startup          = TimeInterval_Minute * 10;
ratio            = 50;
$TargetDedicatedNodes = (lifespan > startup ? (max($RunningTasks.GetSample(span, ratio), $ActiveTasks.GetSample(span, ratio)) == 0 ? 0 : $TargetDedicatedNodes) : 4);`;
    const start = Date.parse('2016-10-13T19:05:00Z');
    assert.equal(targets(formula, { now: start, metrics: { $RunningTasks: [0], $ActiveTasks: [0] } })[0], 4);
    assert.equal(targets(formula, { metrics: { $RunningTasks: 0, $ActiveTasks: 0 } })[0], 0);
    assert.equal(targets(formula, { metrics: { $RunningTasks: 0, $ActiveTasks: 2 } })[0], 4);
    const later = { metrics: { $RunningTasks: [0], $ActiveTasks: [0] } };
    assert.match(failure(formula, later), /not enough samples/);
  });
});

describe('Formulas of other programs', () => {
  it('are Nextflow’s default', () => {
    const formula = `// Get pool lifetime since creation.
lifespan = time() - time("2016-10-13T19:00:00.880011Z");
interval = TimeInterval_Minute * 5;
$samples = $PendingTasks.GetSamplePercent(interval);
$tasks = $samples < 70 ? max(0, $PendingTasks.GetSample(1)) : max( $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(interval)));
$targetVMs = $tasks > 0 ? $tasks : max(0, $TargetDedicatedNodes/2);
targetPoolSize = max(0, min($targetVMs, 8));
$TargetDedicatedNodes = lifespan < interval ? 1 : targetPoolSize;
$NodeDeallocationOption = taskcompletion;`;
    const young = Date.parse('2016-10-13T19:03:00Z');
    assert.deepEqual(targets(formula, { now: young }), [1, 0, 'taskcompletion']);
    assert.deepEqual(targets(formula, { metrics: { $PendingTasks: 6 } }), [6, 0, 'taskcompletion']);
    assert.deepEqual(targets(formula, { metrics: { $PendingTasks: 0 }, dedicated: 6 })[0], 3);
  });

  it('are batch-shipyard’s for pending tasks, with and without a bias to the last sample', () => {
    const head = `maxTasksPerNode = 2;
minTargetDedicated = 0;
minTargetLowPriority = 0;
maxTargetDedicated = 4;
maxTargetLowPriority = 8;
sli = TimeInterval_Second * 600.0;
`;
    const tail = `preemptcount = 0;
rebalance = 0 == 1;
divisor = (maxTargetDedicated == 0 || maxTargetLowPriority == 0) ? 1 : 2;
dedicatedVMs = max(minTargetDedicated, reqVMs / divisor);
dedicatedVMs = min(maxTargetDedicated, (dedicatedVMs > 0 && dedicatedVMs < 1) ? 1 : dedicatedVMs);
remainingVMs = reqVMs - dedicatedVMs;
redistVMs = rebalance ? min(preemptcount, remainingVMs) : 0;
dedicatedVMs = min(maxTargetDedicated, dedicatedVMs + redistVMs);
lowPriVMs = min(maxTargetLowPriority, reqVMs - dedicatedVMs);
$TargetDedicatedNodes = dedicatedVMs;
$TargetLowPriorityNodes = max(minTargetLowPriority, lowPriVMs);
$NodeDeallocationOption = taskcompletion;`;
    const biased = `samplepercent = $PendingTasks.GetSamplePercent(sli);
lastsample = val($PendingTasks.GetSample(1), 0);
samplevecavg = avg($PendingTasks.GetSample(sli));
PendingTaskAvg = samplepercent < 70 ? max(0, lastsample) : (lastsample < samplevecavg ? avg(lastsample, samplevecavg) : max(lastsample, samplevecavg));
reqVMs = PendingTaskAvg / maxTasksPerNode;
`;
    const plain = `PendingTaskAvg = avg($PendingTasks.GetSample(sli, 70));
reqVMs = PendingTaskAvg / maxTasksPerNode;
reqVMs = (PendingTaskAvg > 0 && reqVMs < 1) ? 1 : reqVMs;
`;
    const metrics = { $PendingTasks: 12 };
    assert.deepEqual(targets(head + biased + tail, { metrics }), [3, 3, 'taskcompletion']);
    assert.deepEqual(targets(head + plain + tail, { metrics }), [3, 3, 'taskcompletion']);
    assert.deepEqual(targets(head + plain + tail, { metrics: { $PendingTasks: 40 } }), [
      4,
      8,
      'taskcompletion',
    ]);
    assert.match(failure(head + plain + tail, { metrics: { $PendingTasks: [1] } }), /not enough samples/);
  });

  it('are batch-shipyard’s for the day of the week', () => {
    const formula = (peak: string) => `maxTargetDedicated = 5;
minTargetDedicated = 1;
now = time();
isPeakTime = ${peak};
$TargetDedicatedNodes = isPeakTime ? maxTargetDedicated : minTargetDedicated;`;
    const saturday = Date.parse('2016-10-15T12:00:00Z');
    const [weekday, weekend] = [
      formula('now.weekday >= 1 && now.weekday <= 5'),
      formula('now.weekday >= 6 && now.weekday <= 7'),
    ];
    assert.deepEqual([targets(weekday)[0], targets(weekend)[0]], [5, 1]);
    assert.deepEqual(
      [targets(weekday, { now: saturday })[0], targets(weekend, { now: saturday })[0]],
      [1, 5],
    );
  });

  it('use metrics as numbers, and one line', () => {
    const metrics = {
      $PendingTasks: 6,
      $TaskSlotsPerNode: 4,
      $CurrentLowPriorityNodes: 3,
      $CurrentDedicatedNodes: 10,
    };
    assert.equal(
      targets('$TargetDedicatedNodes = $PendingTasks / $TaskSlotsPerNode + 0.9;', { metrics })[0],
      2,
    );
    assert.equal(targets('$TargetLowPriorityNodes=$CurrentLowPriorityNodes + 25', { metrics })[1], 28);
    assert.equal(
      targets('t = $CurrentDedicatedNodes * 1.1; $TargetDedicatedNodes = min(400, t);', { metrics })[0],
      11,
    );
    assert.deepEqual(targets('$TargetLowPriorityNodes=3', { dedicated: 2 }), [2, 3, 'requeue']);
    assert.equal(targets('$x = max(1,2); $TargetDedicatedNodes = $x;')[0], 2);
    assert.equal(targets('$TargetDedicatedNodes = 3; $TargetDedicated = 5;')[0], 3);
  });
});

describe('The language of formulas', () => {
  it('has vectors, times and intervals with their operations', () => {
    const metrics = { $RunningTasks: [1, 2, 3] };
    assert.equal(resultOf('$RunningTasks.GetSample(3) * 2', { metrics }), '[2,4,6]');
    assert.equal(resultOf('$RunningTasks.GetSample(2) + $RunningTasks.GetSample(2)', { metrics }), '[4,6]');
    assert.equal(resultOf('TimeInterval_Hour + 2 * TimeInterval_Minute'), '01:02:00');
    assert.equal(resultOf('-TimeInterval_Day / 2'), '-12:00:00');
    assert.equal(resultOf('time("2016-10-13T20:00:00Z") - time("2016-10-13")'), '20:00:00');
    assert.equal(
      resultOf('time("Thu, 13 Oct 2016 20:00:00 GMT") + TimeInterval_Hour'),
      '2016-10-13T21:00:00.000Z',
    );
    assert.equal(resultOf('time("2016-10-13T20:00") == time("2016-10-13T22:00:00+02:00")'), '1');
    assert.equal(resultOf('time("").minute + time().second'), '65');
    assert.equal(resultOf('!0 && 2 > 1 || 1/0 > 1'), '1');
    assert.equal(resultOf('"a" < "b"'), '1');
  });

  it('has the functions and methods of the page', () => {
    const metrics = { $RunningTasks: [4, 1, 3, 2] };
    for (const [expression, expected] of [
      ['avg(1, 2, 6)', '3'],
      ['len($RunningTasks.GetSample(4), 7)', '5'],
      ['lg(8)', '3'],
      ['lg(vec(8))', '[3]'],
      ['ln(1)', '0'],
      ['log(1000, 10)', '[3,1]'],
      ['max($RunningTasks.GetSample(4), 9)', '9'],
      ['min($RunningTasks.GetSample(4))', '1'],
      ['norm(3, 4)', '5'],
      ['percentile($RunningTasks.GetSample(4), 100)', '4'],
      ['range($RunningTasks.GetSample(4))', '3'],
      ['std(2, 4, 4, 4, 5, 5, 7, 9) > 2.13 && std(1) == 0', '1'],
      ['sum($RunningTasks.GetSample(4))', '10'],
      ['val($RunningTasks.GetSample(4), 2)', '3'],
      ['rand() < 1', '1'],
      ['$RunningTasks.Count()', '4'],
      ['$RunningTasks.GetSamplePeriod()', '00:00:30'],
      ['time() - $RunningTasks.HistoryBeginTime()', '00:01:30'],
      ['$RunningTasks.GetSamplePercent(4 * TimeInterval_Minute)', '50'],
      ['$RunningTasks.GetSample(time() - TimeInterval_Minute)', '[3,2]'],
    ] as const)
      assert.equal(resultOf(expression, { metrics }), expected, expression);
    assert.deepEqual(targets('$TargetDedicatedNodes = 2; stop(); $TargetDedicatedNodes = 9;')[0], 2);
  });

  it('knows every documented metric', () => {
    for (const name of [
      'WallClockSeconds',
      'MemoryBytes',
      'DiskReadOps',
      'NetworkOutBytes',
      'SampleNodeCount',
      'UsableNodeCount',
    ])
      assert.equal(resultOf(`$${name} + 1`), '1');
  });

  it('refuses what can never be evaluated, with the place', () => {
    for (const [formula, words] of [
      ['$TargetDedicatedNodes = ;', /Line 1, Col 25: Unexpected symbol: ;/],
      ['$TargetDedicatedNodes = 1\n  + x', /Line 2, Col 5: Undefined symbol: x/],
      ['$TargetDedicatedNodes = 1 == 1 ? 2 : y', /Undefined symbol: y/],
      ['$CPUPercent = 1', /Cannot assign to \$CPUPercent/],
      ['TimeInterval_Hour = 1', /Cannot assign/],
      ['$TargetDedicatedNodes = hasOwnProperty(1)', /Undefined function: hasOwnProperty/],
      ['$TargetDedicatedNodes = constructor', /Undefined symbol: constructor/],
      ['$TargetDedicatedNodes = $RunningTasks.toString()', /Undefined function: toString/],
      ['$TargetDedicatedNodes = time()', /must be a double/],
      ['$TargetDedicatedNodes = $RunningTasks.GetSample(1)', /must be a double, not a doubleVec/],
      ['$TargetDedicatedNodes = 1 + TimeInterval_Hour', /does not apply/],
      ['$NodeDeallocationOption = "never"', /Invalid value/],
      ['x = val(1)', /does not take 1 arguments/],
      ['x = time("tomorrow")', /Not a time/],
      ['', /empty/],
      ['x = 1;'.repeat(101), /100 statements/],
      ['x = #', /Unexpected character: #/],
    ] as const)
      assert.match(refusal(formula).message, words, formula);
  });

  it('makes neither NaN nor infinity a target', () => {
    const formula = '$TargetDedicatedNodes = 4 / max($RunningTasks.GetSample(1));';
    checkFormula(formula, contextOf({}));
    assert.match(failure(formula), /Line 1, Col 1: \$TargetDedicatedNodes is not a finite number/);
    assert.match(failure('$TargetLowPriorityNodes = 0 / $RunningTasks;'), /not a finite number/);
    assert.equal(targets('$TargetDedicatedNodes = -5;')[0], 0);
  });

  it('bounds the depth, the time and the answer of a formula', () => {
    for (const deep of [
      `x = ${'('.repeat(3500)}1${')'.repeat(3500)};`,
      `x = ${'-'.repeat(8000)}1;`,
      `x = ${'1?1:'.repeat(2000)}1;`,
      `x = ${'max('.repeat(2000)}1${')'.repeat(2000)};`,
    ])
      assert.match(refusal(deep).message, /nested too deeply/);
    assert.equal(resultOf(Array(4000).fill('1').join('+')), '4000');
    const doubling = 'v = vec(1,2);' + 'v = vec(v,v);'.repeat(30);
    assert.match(failure(doubling), /too many values/);
    const wide = `v=vec(${Array(2000).fill('1').join()});${Array.from({ length: 90 }, (_, index) => `a${index}=v;`).join('')}`;
    assert.ok(evaluateFormula(wide, contextOf({})).results.length <= 16_384);
  });

  it('answers any text with a result or an error of its own', () => {
    const words = fc.constantFrom(
      ...[
        '$TargetDedicatedNodes',
        '$RunningTasks',
        '.GetSample(',
        'time()',
        'max(',
        'x',
        '=',
        ';',
        '(',
        ')',
        '?',
        ':',
        '+',
        '-',
        '/',
      ],
      ...['1', '0', '"a"', ',', '__proto__', 'TimeInterval_Hour', '.hour', '!', '&&', '==', '\n', 'toString'],
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
        const formula = parts.join(' ');
        evaluateFormula(formula, contextOf({}));
        try {
          checkFormula(formula, contextOf({}));
        } catch (error) {
          assert.ok(error instanceof FormulaError, `${formula}: ${error}`);
        }
      }),
      chanceOf(2000),
    );
  });
});
