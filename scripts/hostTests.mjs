// Runs test/host inside the extension host of a real VS Code, through @vscode/test-electron: desktop VS Code where
// VSCODE_EXECUTABLE names one, VS Code's server and a browser otherwise.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTests } from '@vscode/test-electron';
import { root } from './bootstrap.mjs';
import { makeSamples } from './samples.mjs';

const folder = mkdtempSync(join(tmpdir(), 'transcode-host-'));
const workspace = join(folder, 'workspace');
mkdirSync(workspace);
await makeSamples(workspace, 3, { seconds: 1, size: '160x120' });
let code = 1;
try {
  code = await runTests({
    vscodeExecutablePath: process.env.VSCODE_EXECUTABLE ?? join(root, 'scripts/vscodeServer.mjs'),
    extensionDevelopmentPath: root,
    extensionTestsPath: join(root, 'out/test/host/index.js'),
    launchArgs: [workspace],
  });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
