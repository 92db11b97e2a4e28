import assert from 'node:assert/strict';
import { ConfigurationTarget, workspace } from 'vscode';
import type { AccountRecord, SignIn } from '../../src/core/azure/account';
import { UserError } from '../../src/core/errors';
import { section } from '../../src/vscode/settings';
import { poolFor } from '../../src/vscode/transcode/planTranscode';

describe('The subnet of the nodes', () => {
  const set = (subnet: string | undefined) =>
    workspace.getConfiguration(section).update('pool.subnetId', subnet, ConfigurationTarget.Workspace);
  const subnetOrProblem = (signIn: SignIn) => {
    try {
      return poolFor({ signIn, label: 'batch1' } as AccountRecord).subnetId;
    } catch (error) {
      return error instanceof UserError ? error.problem.kind : error;
    }
  };
  const network = '/subscriptions/0-1/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n';

  after(() => set(undefined));

  it('is that of the settings for an account that is signed in to, and none on this machine', async () => {
    await set(` ${network}/subnets/nodes `);
    assert.equal(subnetOrProblem('microsoft'), `${network}/subnets/nodes`);
    assert.equal(subnetOrProblem('local'), undefined);
    assert.equal(subnetOrProblem('keys'), 'subnetNeedsSignIn');
    for (const wrong of [network, 'nodes', `${network}/subnets/a/b`, `${network}/subnets/a b`]) {
      await set(wrong);
      assert.equal(subnetOrProblem('microsoft'), 'subnetInvalid', wrong);
    }
    await set(undefined);
    assert.equal(subnetOrProblem('microsoft'), undefined);
    assert.equal(subnetOrProblem('keys'), undefined);
  });
});
