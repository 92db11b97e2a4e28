import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper, EnumMapper, Mapper, SequenceMapper } from '@azure/ms-rest-js';
import { membersOf } from '../../src/service/api/requests/members';
import { treatedModels, treatmentOf, treatmentTable } from '../../src/service/api/requests/treatment';
import { type Model, validated } from '../../src/service/api/requests/validate';
import { BatchError } from '../../src/service/wire/errors';

/** Every request body of the API but those of certificates, which the service refuses as a whole. */
const bodies: Model[] = [
  ...['PoolAddParameter', 'PoolPatchParameter', 'PoolUpdatePropertiesParameter', 'PoolResizeParameter'],
  ...['PoolEnableAutoScaleParameter', 'PoolEvaluateAutoScaleParameter', 'NodeRemoveParameter'],
  ...['NodeRebootParameter', 'NodeReimageParameter', 'NodeDisableSchedulingParameter'],
  ...['ComputeNodeUser', 'NodeUpdateUserParameter', 'UploadBatchServiceLogsConfiguration'],
  'CertificateAddParameter',
  ...['JobAddParameter', 'JobPatchParameter', 'JobUpdateParameter', 'JobDisableParameter'],
  ...['JobTerminateParameter', 'JobScheduleAddParameter', 'JobSchedulePatchParameter'],
  ...['JobScheduleUpdateParameter', 'TaskAddParameter', 'TaskAddCollectionParameter', 'TaskUpdateParameter'],
] as Model[];

const version = '2025-06-01';

/** The model of a member, or of the elements of a list. */
function modelOf(mapper: Mapper): string | undefined {
  if (mapper.type.name === 'Sequence') return modelOf((mapper as SequenceMapper).type.element);
  return mapper.type.name === 'Composite' ? (mapper as CompositeMapper).type.className : undefined;
}

/** All models that requests may contain, below members that are not refused. */
function reachable(): Set<string> {
  const found = new Set<string>();
  const visit = (model: string) => {
    if (found.has(model)) return;
    found.add(model);
    for (const [name, mapper] of membersOf(model)) {
      const inner = modelOf(mapper);
      if (inner !== undefined && treatmentOf(model, name)?.treatment !== 'refused') visit(inner);
    }
  };
  bodies.forEach(visit);
  return found;
}

function problem(
  model: Model,
  body: unknown,
  at = version,
): { code: string; name?: string; reason?: string } {
  try {
    validated(model, body as Record<string, unknown>, at);
  } catch (error) {
    assert.ok(error instanceof BatchError, String(error));
    return { code: error.code, name: error.values.PropertyName, reason: error.values.Reason };
  }
  return assert.fail(`${JSON.stringify(body)} is accepted`);
}

const pool = {
  id: 'pool',
  vmSize: 'Standard_D2s_v5',
  virtualMachineConfiguration: {
    imageReference: { publisher: 'canonical', offer: 'ubuntu-24_04-lts', sku: 'server' },
    nodeAgentSKUId: 'batch.node.ubuntu 24.04',
  },
};
const job = { id: 'job', poolInfo: { poolId: 'pool' } };
const task = { id: 'task', commandLine: '/bin/true' };

describe('The table of request members', () => {
  it('has every member of every request of the package', () => {
    const missing = [...reachable()].flatMap((model) =>
      [...membersOf(model)]
        .filter(([name, { readOnly }]) => !readOnly && treatmentOf(model, name) === undefined)
        .map(([name]) => `${model}.${name}`),
    );
    assert.deepEqual(missing, []);
  });

  it('has no member that no request has', () => {
    const models = reachable();
    assert.deepEqual(
      treatedModels.filter((model) => !models.has(model)),
      [],
    );
    for (const row of treatmentTable().split('\n').slice(2)) {
      const [model = ''] = row.slice(2).split(' ');
      for (const [, name = ''] of row.matchAll(/`(\w+)`/g))
        assert.ok(membersOf(model).has(name), `${model}.${name}`);
    }
  });

  it('is the one in docs/local-service.md', () => {
    const page = readFileSync('docs/local-service.md', 'utf8');
    assert.ok(page.includes(treatmentTable()), 'Run `npm run docs` to update the table.');
  });
});

describe('Bodies of requests to the local Batch service', () => {
  it('are refused by name where a member would not be carried out', () => {
    const vm = pool.virtualMachineConfiguration;
    for (const [model, body, name] of [
      ['PoolAddParameter', { ...pool, networkConfiguration: { subnetId: '/x' } }, 'subnetId'],
      [
        'PoolAddParameter',
        {
          ...pool,
          virtualMachineConfiguration: { ...vm, containerConfiguration: { type: 'dockerCompatible' } },
        },
        'containerConfiguration',
      ],
      ['PoolPatchParameter', { networkConfiguration: { subnetId: '/x' } }, 'subnetId'],
      [
        'PoolAddParameter',
        { ...pool, startTask: { commandLine: 'x', containerSettings: { imageName: 'alpine' } } },
        'containerSettings',
      ],
      ['TaskAddParameter', { ...task, containerSettings: { imageName: 'alpine' } }, 'containerSettings'],
      ['JobAddParameter', { ...job, networkConfiguration: { subnetId: '/x' } }, 'networkConfiguration'],
      [
        'TaskAddParameter',
        {
          ...task,
          resourceFiles: [{ httpUrl: 'http://x/y', filePath: 'y', identityReference: { resourceId: '/x' } }],
        },
        'identityReference',
      ],
      [
        'JobAddParameter',
        {
          id: 'job',
          poolInfo: {
            autoPoolSpecification: {
              poolLifetimeOption: 'job',
              pool: { ...pool, id: undefined, networkConfiguration: { subnetId: '/x' } },
            },
          },
        },
        'subnetId',
      ],
    ] as const)
      assert.deepEqual(
        [problem(model, body).code, problem(model, body).name],
        ['InvalidPropertyValue', name],
        JSON.stringify(body),
      );
    // An empty value has no effect.
    validated('PoolAddParameter', { ...pool, networkConfiguration: {} }, version);
  });

  it('keep no secret', () => {
    const accounts = {
      userAccounts: [
        {
          name: 'user',
          password: 'hunter2',
          linuxUserConfiguration: { uid: 1, gid: 1, sshPrivateKey: 'hunter2' },
        },
      ],
    };
    for (const kept of [
      validated('PoolAddParameter', { ...pool, ...accounts }, version),
      validated('PoolPatchParameter', accounts, version),
      validated('ComputeNodeUser', { name: 'user', password: 'hunter2' }, version),
    ]) {
      assert.match(JSON.stringify(kept), /"name":"user"/);
      assert.doesNotMatch(JSON.stringify(kept), /hunter2/);
    }
  });

  it('have their enumerations in one case from then on', () => {
    const kept = validated(
      'JobAddParameter',
      {
        id: 'job',
        onAllTasksComplete: 'terminateJob',
        onTaskFailure: 'performExitOptionsJobAction',
        poolInfo: {
          autoPoolSpecification: {
            poolLifetimeOption: 'Job',
            pool: {
              ...pool,
              id: undefined,
              startTask: {
                commandLine: 'x',
                userIdentity: { autoUser: { elevationLevel: 'Admin', scope: 'Pool' } },
              },
            },
          },
        },
      },
      version,
    );
    const text = JSON.stringify(kept);
    for (const value of ['terminatejob', 'performexitoptionsjobaction', '"job"', '"admin"', '"pool"'])
      assert.ok(text.includes(value), value);
    const wrong = problem('TaskAddParameter', {
      ...task,
      exitConditions: { default: { dependencyAction: 'whatever' } },
    });
    assert.deepEqual([wrong.code, wrong.name], ['InvalidPropertyValue', 'dependencyAction']);
    assert.match(wrong.reason ?? '', /^exitConditions\.default\.dependencyAction: .*satisfy, block/);
  });

  it('have valid ids, wherever they are', () => {
    const specification = { poolLifetimeOption: 'job', pool: { ...pool, id: undefined } };
    for (const [model, body, name] of [
      ['PoolAddParameter', { ...pool, id: '../x' }, 'id'],
      ['JobAddParameter', { ...job, id: 'a b' }, 'id'],
      ['JobAddParameter', { id: 'job', poolInfo: { poolId: '..' } }, 'poolId'],
      ['JobPatchParameter', { poolInfo: { poolId: 'a/b' } }, 'poolId'],
      [
        'JobAddParameter',
        {
          id: 'job',
          poolInfo: { autoPoolSpecification: { ...specification, autoPoolIdPrefix: '../../../x' } },
        },
        'autoPoolIdPrefix',
      ],
      ['TaskAddParameter', { ...task, id: 'x'.repeat(65) }, 'id'],
      ['TaskAddParameter', { ...task, dependsOn: { taskIds: ['ok', '..'] } }, 'taskIds'],
      ['JobScheduleAddParameter', { id: '/', schedule: {}, jobSpecification: { poolInfo: {} } }, 'id'],
      ['PoolPatchParameter', { applicationPackageReferences: [{ applicationId: '..' }] }, 'applicationId'],
      [
        'PoolPatchParameter',
        { applicationPackageReferences: [{ applicationId: 'app', version: '../1' }] },
        'version',
      ],
    ] as const)
      assert.equal(problem(model, body).name, name, JSON.stringify(body));
  });

  it('keep to the limits that Azure documents', () => {
    for (const [model, body, name] of [
      ['PoolAddParameter', { ...pool, targetDedicatedNodes: -1 }, 'targetDedicatedNodes'],
      ['PoolAddParameter', { ...pool, targetLowPriorityNodes: 1.5 }, 'targetLowPriorityNodes'],
      ['PoolAddParameter', { ...pool, taskSlotsPerNode: 0 }, 'taskSlotsPerNode'],
      ['PoolAddParameter', { ...pool, taskSlotsPerNode: 257 }, 'taskSlotsPerNode'],
      ['PoolAddParameter', { ...pool, resizeTimeout: 'PT4M' }, 'resizeTimeout'],
      ['PoolResizeParameter', { targetDedicatedNodes: 1, resizeTimeout: '-PT15M' }, 'resizeTimeout'],
      ['PoolEnableAutoScaleParameter', { autoScaleEvaluationInterval: 'P8D' }, 'autoScaleEvaluationInterval'],
      ['JobAddParameter', { ...job, priority: 1001 }, 'priority'],
      ['JobPatchParameter', { priority: -1001 }, 'priority'],
      ['JobPatchParameter', { priority: 'high' }, 'priority'],
      ['JobPatchParameter', { metadata: 'a=b' }, 'metadata'],
      ['JobPatchParameter', { maxParallelTasks: 0 }, 'maxParallelTasks'],
      ['JobAddParameter', { ...job, constraints: { maxTaskRetryCount: -2 } }, 'maxTaskRetryCount'],
      ['JobAddParameter', { ...job, constraints: { maxWallClockTime: '1h' } }, 'maxWallClockTime'],
      ['TaskAddParameter', { ...task, requiredSlots: 0 }, 'requiredSlots'],
      ['TaskAddParameter', { ...task, commandLine: '  ' }, 'commandLine'],
      ['TaskAddParameter', { ...task, constraints: { retentionTime: '-P1D' } }, 'retentionTime'],
      [
        'TaskAddParameter',
        { ...task, resourceFiles: [{ httpUrl: 'http://x/y', filePath: 'y', fileMode: 'rwx' }] },
        'fileMode',
      ],
      ['PoolPatchParameter', { startTask: 'apt-get' }, 'startTask'],
    ] as const)
      assert.deepEqual(
        [problem(model, body).code, problem(model, body).name],
        ['InvalidPropertyValue', name],
        JSON.stringify(body),
      );
    for (const duration of ['P3Y6M4DT12H30M5S', 'P1W', 'PT1H', 'P10675199DT2H48M5.4775807S'])
      validated('TaskAddParameter', { ...task, constraints: { maxWallClockTime: duration } }, version);
    for (const missing of ['commandLine', 'id'])
      assert.deepEqual(
        [
          problem('TaskAddParameter', { ...task, [missing]: undefined }).code,
          problem('TaskAddParameter', { ...task, [missing]: null }).name,
        ],
        ['MissingRequiredProperty', missing],
      );
  });
});

interface Schema {
  readonly properties?: Record<string, Schema>;
  readonly required?: readonly string[];
  readonly allOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly items?: Schema;
  readonly maxItems?: number;
}

type Definitions = Record<string, Schema>;

/** A member in one line, so that both descriptions can be compared: `array of Model`, `string duration required`. */
function describeSchema(schema: Schema, isRequired: boolean, definitions: Definitions): string {
  const reference = schema.$ref ?? schema.allOf?.[0]?.$ref;
  const name = reference?.split('/').at(-1) ?? '';
  const target = reference ? (definitions[name] ?? {}) : schema;
  const type = target.enum
    ? target.enum.join('|')
    : reference && (target.type ?? 'object') === 'object'
      ? name
      : target.type === 'array'
        ? `array of ${describeSchema(target.items ?? {}, false, definitions)}`
        : `${target.type} ${target.format && /^(date-time|duration)$/.test(target.format) ? target.format : ''}`;
  const limit = target.maxItems ? ` at most ${target.maxItems}` : '';
  return `${type.trim()}${limit}${isRequired ? ' required' : ''}`;
}

const typeNames: Readonly<Record<string, string>> = {
  String: 'string',
  Number: 'integer',
  Boolean: 'boolean',
  TimeSpan: 'string duration',
  DateTime: 'string date-time',
  Object: 'object',
};

function describeMapper(mapper: Mapper): string {
  const { type } = mapper;
  const name =
    type.name === 'Enum'
      ? (mapper as EnumMapper).type.allowedValues.join('|')
      : type.name === 'Composite'
        ? String((mapper as CompositeMapper).type.className)
        : type.name === 'Sequence'
          ? `array of ${describeMapper((mapper as SequenceMapper).type.element)}`
          : typeNames[type.name];
  const limit = mapper.constraints?.MaxItems ? ` at most ${mapper.constraints.MaxItems}` : '';
  return `${name}${limit}${mapper.required ? ' required' : ''}`;
}

/** Where the package's mappers and the description of the service disagree. */
function differences(definitions: Definitions, mappers: Record<string, CompositeMapper>): string[] {
  const found: string[] = [];
  for (const model of reachable()) {
    const { properties = {}, required = [] } = definitions[model] ?? {};
    const members = new Map(
      Object.values(mappers[model]?.type.modelProperties ?? {}).map(
        (one) => [one.serializedName ?? '', one] as const,
      ),
    );
    for (const name of new Set([...members.keys(), ...Object.keys(properties)])) {
      const [member, property] = [members.get(name), properties[name]];
      const [one, other] = [
        member ? describeMapper(member) : 'absent',
        property ? describeSchema(property, required.includes(name), definitions) : 'absent',
      ];
      if (one !== other) found.push(`${model}.${name}: ${one} in the package, ${other} in the description`);
    }
  }
  return found;
}

describe('The package’s description of requests, beside the description of the service', () => {
  const file = process.env.BATCH_DESCRIPTION ?? '../shared/contract/2022-10-01.16.0/BatchService.json';

  /** The differences of the package that is installed. */
  const expected: readonly string[] = [
    'ContainerConfiguration.type: string required in the package, dockerCompatible required in the description',
  ];

  it('differs in nothing but what is recorded here', function () {
    if (!existsSync(file)) {
      console.log(`      skipped: ${file} does not exist`);
      this.skip();
    }
    const { definitions } = JSON.parse(readFileSync(file, 'utf8')) as { definitions: Definitions };
    const mappers = BatchServiceMappers as unknown as Record<string, CompositeMapper>;
    assert.deepEqual(differences(definitions, mappers), expected);
    const spoilt = structuredClone(definitions);
    const { properties } = spoilt.TaskConstraints ?? {};
    if (properties) properties.retentionTime = { type: 'integer' };
    assert.deepEqual(differences(spoilt, mappers), [
      ...expected,
      'TaskConstraints.retentionTime: string duration in the package, integer in the description',
    ]);
  });
});
