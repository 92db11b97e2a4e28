// Installs the official clients that the service suite runs against the local Batch service: the Azure CLI and
// Microsoft's older Python package from the system's packages, its current Python package from PyPI, the first
// JavaScript client from npm, and the Java client from Maven Central. Also Podman with a program to put into an image,
// for tasks that run in containers. A client whose registry can't be reached is skipped, with a line that says so.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, root, say } from './bootstrap.mjs';

/** Where the clients are installed: out of the project's own packages. */
export const clientsHome = join(root, '.vscode-test/clients');

const oldClient = 'azure-batch@9.0.0';

/** Microsoft's current packages for Python, in an environment of their own. */
const pythonPackages = ['azure-batch==15.1.0', 'azure-storage-blob==12.31.1', 'aiohttp==3.14.5'];
const pythonHome = join(clientsHome, 'python-15.1.0');

/** Microsoft's package for Java, with what it needs, in a folder of its own. */
const javaHome = join(clientsHome, 'java-11.2.0');

/** Installs what is missing. Where a registry can't be reached, the suite says which client it skips. */
export function ensureClients() {
  ensureSystemClients();
  ensurePython();
  ensureJava();
  const stamp = join(clientsHome, 'node_modules/azure-batch/package.json');
  if (existsSync(stamp)) return;
  say(`Installing ${oldClient}`);
  mkdirSync(clientsHome, { recursive: true });
  writeFileSync(join(clientsHome, 'package.json'), '{"private":true}\n');
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--save-exact'];
  const isInstalled = succeeds('npm', ['install', ...flags, oldClient], { cwd: clientsHome });
  if (!isInstalled) say(`Skipping ${oldClient}: the registry of npm can't be reached`);
}

/** Runs a program that uses the network, a second time if it fails. */
function succeeds(program, args, options) {
  const attempt = () =>
    spawnSync(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 300_000,
      shell: process.platform === 'win32',
      ...options,
    }).status === 0;
  return attempt() || attempt();
}

function ensureSystemClients() {
  if (process.platform !== 'linux' || !findProgram('apt-get') || process.getuid?.() !== 0) return;
  const missing = [];
  if (!findProgram('az')) missing.push('azure-cli');
  const python = spawnSync('/usr/bin/python3', ['-c', 'import azure.batch, azure.storage.blob'], {
    stdio: 'ignore',
  });
  if (python.status !== 0) missing.push('python3-azure');
  if (!findProgram('podman')) missing.push('podman', 'runc', 'busybox-static');
  if (!findProgram('mpirun')) missing.push('openmpi-bin', 'libopenmpi-dev');
  if (missing.length === 0) return;
  say(`Installing ${missing.join(', ')} with apt-get; this takes a minute`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = ['-qq', '-o', 'DPkg::Lock::Timeout=300'];
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  // The lists that are there already may do if one can't be renewed.
  succeeds('apt-get', [...apt, 'update'], { env });
  if (!succeeds('apt-get', [...apt, ...install], { env }))
    say(`Skipping ${missing.join(', ')}: the packages of the system can't be installed`);
}

/** Installs nothing if PyPI can't be reached or Python can't create environments. */
function ensurePython() {
  if (existsSync(pythonHome)) return;
  const python = ['python3', '/usr/bin/python3'].find(
    (program) => spawnSync(program, ['-c', 'import venv, ensurepip'], { stdio: 'ignore' }).status === 0,
  );
  if (python === undefined) return say("Skipping azure-batch 15.1: Python can't make an environment here");
  say(`Installing ${pythonPackages[0]}`);
  mkdirSync(clientsHome, { recursive: true });
  // Renamed when it is complete, so that an installation cut short is no installation.
  const half = `${pythonHome}.${process.pid}`;
  const steps = [
    [python, ['-m', 'venv', half]],
    [
      join(half, 'bin/python'),
      ['-m', 'pip', 'install', '--quiet', '--retries', '1', '--only-binary', ':all:', ...pythonPackages],
    ],
  ];
  const isInstalled = steps.every(([program, args]) => succeeds(program, args));
  if (isInstalled && !existsSync(pythonHome)) renameSync(half, pythonHome);
  else rmSync(half, { recursive: true, force: true });
  if (!isInstalled) say("Skipping azure-batch 15.1: PyPI can't be reached");
}

/** Installs nothing if there is no Maven or Maven Central can't be reached. */
function ensureJava() {
  if (existsSync(javaHome)) return;
  if (!findProgram('java') || !findProgram('mvn')) return say('Skipping Java: there is no Java or no Maven');
  say('Installing com.microsoft.azure:azure-batch 11.2.0');
  const half = `${javaHome}.${process.pid}`;
  mkdirSync(half, { recursive: true });
  writeFileSync(join(half, 'pom.xml'), pom);
  const pomFile = join(half, 'pom.xml');
  const isInstalled = succeeds('mvn', [
    ...['-q', '-B', '-f', pomFile, 'dependency:copy-dependencies', `-DoutputDirectory=${half}`],
  ]);
  if (isInstalled && !existsSync(javaHome)) renameSync(half, javaHome);
  else rmSync(half, { recursive: true, force: true });
  if (!isInstalled) say("Skipping Java: Maven Central can't be reached");
}

/** The package names a snapshot of another for its own tests, which no registry has. */
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId>
  <artifactId>clients</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.microsoft.azure</groupId>
      <artifactId>azure-batch</artifactId>
      <version>11.2.0</version>
      <exclusions>
        <exclusion>
          <groupId>com.microsoft.azure</groupId>
          <artifactId>azure-mgmt-resources</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
  </dependencies>
</project>
`;
