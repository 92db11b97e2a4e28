import assert from 'node:assert/strict';
import { NodeHistory } from '../../src/vscode/heatMap/nodeHistory';

const start = Date.parse('2026-11-26T12:00:00Z');
const at = (minute: number) => new Date(start + minute * 60_000);

describe('The last hour of a node', () => {
  it('is, at first, what the service reports of it', () => {
    const history = new NodeHistory();
    history.record(
      [
        {
          id: 'one',
          state: 'idle',
          allocationTime: at(20),
          stateTransitionTime: at(50),
          recentTasks: [{ taskState: 'completed', executionInfo: executed(40, 50) }],
        },
      ],
      at(59),
    );
    const hour = history.hour('one', at(59));
    assert.equal(hour, `${' '.repeat(20)}${'?'.repeat(20)}${'r'.repeat(11)}${'i'.repeat(9)}`);
  });

  it('follows the states that are seen, and moves on by the minute', () => {
    const history = new NodeHistory();
    const states = ['creating', 'starting', 'idle', 'running', 'idle', 'preempted'];
    for (const [minute, state] of states.entries())
      history.record([{ id: 'one', state: state as 'idle', stateTransitionTime: at(minute) }], at(minute));
    assert.equal(history.hour('one', at(5)).trim(), 'ssirig');
    assert.equal(history.hour('one', at(62)).trim(), 'rig');
  });

  it('counts a minute with any work as work, and one with a failure as failed', () => {
    const history = new NodeHistory();
    for (const state of ['idle', 'running', 'idle'] as const) history.record([{ id: 'one', state }], at(0));
    assert.equal(history.hour('one', at(0)).trim(), 'r');
    for (const state of ['running', 'unusable', 'running'] as const)
      history.record([{ id: 'one', state }], at(1));
    assert.equal(history.hour('one', at(1)).trim(), 'rf');
  });

  it('derives minutes without requests from the present state only', () => {
    const history = new NodeHistory();
    history.record([{ id: 'one', state: 'running', stateTransitionTime: at(0) }], at(0));
    history.record([{ id: 'one', state: 'idle', stateTransitionTime: at(7) }], at(10));
    assert.equal(history.hour('one', at(10)).trim(), 'r??????iiii');
  });

  it('is forgotten with the node', () => {
    const history = new NodeHistory();
    history.record([{ id: 'one', state: 'idle' }], at(0));
    history.record([], at(1));
    assert.equal(history.hour('one', at(1)).trim(), '');
  });
});

function executed(start: number, end: number) {
  return { startTime: at(start), endTime: at(end), retryCount: 0, requeueCount: 0 };
}
