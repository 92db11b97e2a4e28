import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { AudioChoice } from '../../src/core/media/audioTracks';
import type { MediaInfo, Track } from '../../src/core/media/mediaInfo';
import { sasExpiryFor } from '../../src/core/plan/manifest';
import { type OutputFolder, plan } from '../../src/core/plan/plan';
import { begunNow, type Choices, planRun } from '../../src/core/plan/planRun';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { toCommandLine } from '../../src/core/presets/commandLine';
import { commandOf, usesLength } from '../../src/core/presets/ffmpegCommand';
import { presetCommand, withCommand } from '../../src/core/presets/presetText';
import { splitCommandLine } from '../../src/service/tasks/commandLine';
import { chanceOf } from '../chance';

/** Names that bring trouble, and any others. */
const name = fc
  .oneof(
    fc.constantFrom(
      ...['$(touch canary).mp4', '`touch canary`.mp4', 'a;touch canary;.mp4', "'; touch canary; '.mp4"],
      ...[
        '-i',
        '--help.mp4',
        '${input}.mp4',
        '%2F.mp4',
        'clip.mp3',
        'Clip.MP3',
        'clip.mp4',
        'CLIP.mp4',
        '.mp4',
      ],
      ...['cafe\u0301.mp4', 'caf\u00e9.mp4', 'a\nb.mp4', 'con.mp4', 'x'.repeat(250), 'dot..', '视频.mp4'],
    ),
    fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
    fc.string({ minLength: 1, maxLength: 12 }).map((base) => `${base}.mp4`),
  )
  .filter((text) => !text.includes('/') && !text.includes('\0') && text !== '.' && text !== '..');

const folder = fc.constantFrom(
  'file:///videos/a/',
  'file:///videos/b/',
  'file:///videos/a/b/',
  'vscode-vfs://git/x/',
);

const sources = fc
  .uniqueArray(fc.tuple(folder, name), {
    maxLength: 25,
    selector: ([place, text]) => place + text,
  })
  .map((pairs) =>
    pairs.map(([place, text]) => ({
      uri: place + encodeURIComponent(text),
      path: text,
      size: 1000,
      modified: 1,
    })),
  )
  .filter((all) => new Set(all.map(({ uri }) => uri)).size === all.length);

const preset = fc.constantFrom(...builtInPresets.filter(({ needs }) => needs !== 'subtitle'));

const seconds = fc.constantFrom(0.2, 9, 9.01, undefined);

/** Few values of each member, so that many media are alike. */
const track: fc.Arbitrary<Track> = fc.oneof(
  fc.record({
    kind: fc.constant('video' as const),
    codec: fc.constantFrom('h264', 'hevc'),
    isDefault: fc.boolean(),
    width: fc.constantFrom(640, 1920),
    height: fc.constant(480),
    seconds,
    framesPerSecond: fc.constantFrom(25, 60, undefined),
    isVariableFrameRate: fc.constantFrom(false, undefined),
    colorTransfer: fc.constantFrom('smpte2084', undefined),
    rotation: fc.constantFrom(90, undefined),
  }),
  fc.record({
    kind: fc.constant('audio' as const),
    codec: fc.constantFrom('aac', 'ac4'),
    isDefault: fc.boolean(),
    channels: fc.constantFrom(1, 2, 10),
    startSeconds: fc.constantFrom(0, 0.5, undefined),
    language: fc.constantFrom('eng', 'deu', undefined),
    seconds,
  }),
  fc.record({
    kind: fc.constant('subtitle' as const),
    codec: fc.constantFrom('subrip', 'dvd_subtitle'),
    isDefault: fc.boolean(),
  }),
);

const media: fc.Arbitrary<MediaInfo> = fc.record({
  format: fc.constantFrom('mov,mp4,m4a,3gp,3g2,mj2', 'mpegts', undefined),
  tracks: fc.array(track, { maxLength: 4 }),
  knows: fc.constantFrom<MediaInfo['knows'][]>(['audio', 'video', 'subtitle'], ['audio', 'video'], []),
  seconds,
  audioOnlyBytes: fc.constantFrom(10, 20, undefined),
  chapters: fc.constantFrom(3, undefined),
});

/** Media that differ from this one in one fact each. */
function variantsOf(base: MediaInfo): MediaInfo[] {
  const facts: Partial<MediaInfo>[] = [
    { seconds: 3 },
    { format: 'avi' },
    { chapters: 2 },
    { knows: ['audio'] },
  ];
  const changes: Partial<Track>[] = [
    { seconds: 3 },
    { codec: 'flac' },
    { channels: 4 },
    { channelLayout: '5.1(side)' },
    { startSeconds: 2 },
    { language: 'de' },
    { isSpliced: true },
    { isEmpty: true },
    { width: 320 },
    { rotation: 180 },
    { framesPerSecond: 120 },
    { fieldOrder: 'tt' },
    { colorTransfer: 'arib-std-b67' },
    { pixelAspectRatio: 1.5 },
  ];
  const tracks = base.tracks.flatMap((track, index) =>
    changes.map((change) => base.tracks.with(index, { ...track, ...change })),
  );
  return [
    ...facts.map((fact) => ({ ...base, ...fact })),
    ...tracks.map((changed) => ({ ...base, tracks: changed })),
    ...(base.tracks.length > 0 ? [{ ...base, tracks: base.tracks.slice(1) }] : []),
  ];
}

const choice = fc.constantFrom<AudioChoice[]>('default', 'all', 'mix', { language: 'de' });

/** As a file system tells names apart that knows neither case nor composition. */
const folded = (text: string) => text.normalize('NFC').toLowerCase().toUpperCase();

describe('The plan of a run', () => {
  it('gives every source its own task, blobs and output, and never the name of a source', () => {
    fc.assert(
      fc.property(sources, preset, (given, chosen) => {
        const { files, refused } = plan({ sources: given, preset: chosen });
        assert.equal(files.length + refused.length, given.length);
        const unique = (values: string[], what: string) =>
          assert.equal(new Set(values).size, values.length, what);
        unique(
          files.map(({ id }) => id),
          'tasks',
        );
        unique(
          files.map(({ inputBlob }) => inputBlob),
          'inputs',
        );
        unique(
          files.map(({ output }) => output.blob),
          'outputs',
        );
        const places = files.map(({ uri, output }) => uri.slice(0, uri.lastIndexOf('/') + 1) + output.name);
        unique(places, 'places');
        const taken = new Set(given.map(({ uri }) => uri));
        for (const { uri, output } of files) {
          const place = uri.slice(0, uri.lastIndexOf('/') + 1);
          assert.ok(!taken.has(place + encodeURIComponent(output.name)), output.name);
          assert.ok(Buffer.byteLength(output.name) <= 255);
          assert.ok(!/[/\0]/.test(output.name));
        }
      }),
      chanceOf(300),
    );
  });

  it('gives each file of a selection the command that it has alone', () => {
    const video: Track = {
      kind: 'video',
      codec: 'h264',
      isDefault: true,
      width: 640,
      height: 480,
      seconds: 9,
    };
    const audio: Track = { kind: 'audio', codec: 'aac', isDefault: true, channels: 2, seconds: 9 };
    const knows: MediaInfo['knows'] = ['audio', 'video', 'subtitle'];
    const all: (MediaInfo | undefined)[] = [
      { tracks: [video, audio], knows },
      { tracks: [video], knows },
      { tracks: [video], knows: ['video'] },
      { tracks: [video, { ...audio, channels: 6 }], knows },
      // The same arguments as where the audio isn't known, but there is some to measure.
      { tracks: [video, { kind: 'audio', isDefault: true }], knows },
      undefined,
    ];
    const given = [...all, ...all].map((media, index) => ({
      uri: `file:///videos/clip${index}.${index < all.length ? 'mp4' : 'mkv'}`,
      path: `clip${index}`,
      size: 1000,
      modified: 1,
      media,
    }));
    for (const chosen of builtInPresets) {
      for (const { uri, commandLine } of plan({ sources: given, preset: chosen }).files) {
        const [alone] = plan({ sources: given.filter((source) => source.uri === uri), preset: chosen }).files;
        assert.equal(commandLine, alone?.commandLine);
      }
    }
  });

  it('gives files that differ in a single fact the commands that they have alone', () => {
    const presets = fc.constantFrom(...builtInPresets);
    fc.assert(
      fc.property(presets, media, choice, (chosen, base, audio) => {
        const given = [base, ...variantsOf(base), base].map((one, index) => ({
          uri: `file:///videos/clip${index}.mp4`,
          path: `clip${index}`,
          size: 1000,
          modified: 1,
          media: one,
        }));
        const together = plan({ sources: given, preset: chosen, audio });
        for (const source of given) {
          const alone = plan({ sources: [source], preset: chosen, audio });
          const file = together.files.find(({ uri }) => uri === source.uri);
          assert.equal(file?.commandLine, alone.files[0]?.commandLine);
          assert.equal(file?.seconds, alone.files[0]?.seconds);
          const notes = together.notes.filter((note) => 'file' in note && note.file === source.path);
          assert.deepEqual(notes, alone.notes);
        }
      }),
      chanceOf(200),
    );
  });

  it('makes a command that depends on the length only of presets that say so', () => {
    const presets = fc.constantFrom(...builtInPresets.filter((one) => !usesLength(one)));
    const request = {
      nodeInput: 'input.mp4',
      outputs: [{ name: 'output', audio: { kind: 'track', index: 0 } }],
    } as const;
    fc.assert(
      fc.property(presets, media, fc.constantFrom(0.2, 9, undefined), (chosen, one, seconds) => {
        const other = { ...one, seconds, tracks: one.tracks.map((track) => ({ ...track, seconds })) };
        const [command, same] = [one, other].map((media) => commandOf(chosen, { ...request, media }));
        assert.deepEqual(command, same);
      }),
      chanceOf(1000),
    );
    assert.ok(builtInPresets.some(usesLength));
  });

  it('keeps outputs apart on disks that ignore case and composition, unless sources differ only in these', () => {
    fc.assert(
      fc.property(sources, (given) => {
        const inFolders = given.map(({ uri }) => folded(decodeURIComponent(uri)));
        fc.pre(new Set(inFolders).size === inFolders.length);
        const { files } = plan({ sources: given, preset: builtInPresets[0] as (typeof builtInPresets)[0] });
        const places = files.map(({ uri, output }) =>
          folded(decodeURIComponent(uri.slice(0, uri.lastIndexOf('/') + 1)) + output.name),
        );
        assert.equal(new Set(places).size, places.length);
      }),
      chanceOf(300),
    );
  });

  it('names outputs sensibly where sources have their usual names', () => {
    const sources = ['song.flac', 'song.mp3', 'Clip.MP3', 'other.wav'].map((path) => ({
      uri: `file:///a/${path}`,
      path,
      size: 1,
      modified: 1,
    }));
    const mp3 = builtInPresets[0] as (typeof builtInPresets)[0];
    assert.deepEqual(
      plan({ sources, preset: mp3 }).files.map(({ output }) => output.name),
      ['song.flac.mp3', 'song.transcoded.mp3', 'Clip.transcoded.mp3', 'other.mp3'],
    );
  });

  it('never uses the name of a source, also in another folder, which can be the same by another path', () => {
    const video = builtInPresets.find(({ id }) => id === 'h264-720p') ?? assert.fail();
    const sources = ['a/clip.mp4', 'b/clip.mov', 'c/clip.mp4'].map((path) => ({
      ...{ uri: `file:///${path}`, path, size: 1000, modified: 1 },
    }));
    const outputsIn = (of: OutputFolder['of']) =>
      plan({ sources, preset: video, outputFolder: { label: '', of } }).files.map(
        ({ output: { folder, name } }) => `${folder} ${name}`,
      );
    assert.deepEqual(
      outputsIn(({ uri }) => uri.replace(/^file:\/\/|clip.*$/g, '')),
      ['/a/ clip.h264-720p.mp4', '/b/ clip.mp4', '/c/ clip.h264-720p.mp4'],
    );
    assert.deepEqual(
      outputsIn(() => 'file:///out/'),
      ['file:///out/ clip.h264-720p.mp4', 'file:///out/ clip.mp4', 'file:///out/ clip.mp4.mp4'],
    );
    assert.deepEqual(
      outputsIn(({ uri }) => (uri.includes('/a/') ? undefined : 'file:///a/')),
      ['undefined clip.h264-720p.mp4', 'file:///a/ clip.mov.mp4', 'file:///a/ clip.mp4.mp4'],
      'a folder that sources are in',
    );
  });

  it('uses only its own names on the node, and blob names that Storage accepts', () => {
    fc.assert(
      fc.property(sources, preset, (given, chosen) => {
        for (const { nodeInput, commandLine, inputBlob, output, id } of plan({
          sources: given,
          preset: chosen,
        }).files) {
          assert.match(nodeInput, /^input(\.[a-z0-9]{1,8})?$/);
          assert.match(output.nodePath, /^output(\.[a-z0-9]{1,10})?$/);
          assert.match(id, /^\d{4,}$/);
          assert.ok(!commandLine.includes('canary'));
          for (const blob of [inputBlob, output.blob]) {
            assert.ok(blob.length <= 1024 && !/[\p{Cc}\\]|[./]$/u.test(blob), blob);
            assert.equal(blob.split('/').length, 2);
          }
        }
      }),
      chanceOf(300),
    );
  });
});

describe('A planned run', () => {
  it('begins when the user starts it, however long the plan was looked at', () => {
    const [preset] = builtInPresets;
    assert.ok(preset);
    const sources = ['a.mp4', 'b.mp4'].map((path) => ({
      ...{ uri: `file:///${path}`, path, size: 1000, modified: 1 },
    }));
    const choices: Choices = {
      preset,
      pool: {
        ...{ lifetime: 'run', vmSize: 'Standard_D2s_v5', dedicatedNodes: 0, spotNodes: 5 },
        slotsPerNode: 1,
      },
      audio: 'default',
      limits: { monitorMinutes: 30, taskMinutes: 240, jobMinutes: 540, retries: 1 },
      workspace: '',
    };
    const { manifest } = planRun({ sources, refused: [] }, choices);
    const now = new Date(Date.parse(manifest.created) + 20 * 60_000);
    const begun = begunNow(manifest, 'submitted', now);
    const [attempt] = begun.attempts;
    assert.deepEqual([begun.created, attempt?.created], [now.toISOString(), now.toISOString()]);
    assert.equal(attempt?.sasExpiry, sasExpiryFor(choices.limits, now));
    assert.deepEqual(
      [begun.runId, begun.goal, attempt?.jobId, attempt?.fileIds],
      [manifest.runId, 'submitted', manifest.attempts[0]?.jobId, manifest.files.map(({ id }) => id)],
    );
    assert.equal(begun.attempts.length, 1);
  });
});

describe('Audio that cannot be decoded', () => {
  const sound: Track = { kind: 'audio', isDefault: false, codec: 'aac', channels: 2 };
  const ac4: Track = { kind: 'audio', isDefault: false, codecTag: 'ac-4' };
  const empty: Track = { kind: 'audio', isDefault: false, isEmpty: true };
  const picture: Track = { kind: 'video', isDefault: true, codec: 'h264' };

  function planned(id: string, tracks: readonly Track[], audio: AudioChoice) {
    const media: MediaInfo = { tracks, knows: ['audio', 'video', 'subtitle'] };
    const source = { uri: 'file:///clip.mp4', path: 'clip.mp4', size: 1, modified: 0, media };
    const chosen = builtInPresets.find((one) => one.id === id) ?? assert.fail(id);
    const { files, refused, notes } = plan({ sources: [source], preset: chosen, audio });
    const maps: readonly string[] = (files[0]?.commandLine ?? '').match(/(?<=-map '?)0:a[^ ']*/g) ?? [];
    return { maps, refused, notes, commandLine: files[0]?.commandLine ?? '' };
  }

  it('is left out of all tracks, which are the others', () => {
    const tracks = [picture, ac4, sound, empty, { ...sound, language: 'deu' }];
    const { maps, notes } = planned('h264-480p', tracks, 'all');
    assert.deepEqual(maps, ['0:a:1?', '0:a:3?']);
    assert.deepEqual(notes, [
      { kind: 'adapted', file: 'clip.mp4', adaptation: { kind: 'leftOut', tracks: ['AC-4'] } },
    ]);
    assert.match(planned('mp3', tracks, 'all').commandLine, /2\.mp3.*4-deu\.mp3/);
    assert.equal(planned('mp3', tracks, 'all').maps.includes('0:a:0'), false);
    const whole = [picture, sound, sound];
    assert.match(planned('h264-480p', whole, 'all').commandLine, /-map '?0:a\?/);
  });

  it('is left out of a mix', () => {
    const { commandLine } = planned('mp3', [picture, ac4, sound, { ...sound, seconds: 9 }], 'mix');
    assert.match(commandLine, /\[0:a:1\].*\[0:a:2\].*amix=inputs=2:/);
    assert.doesNotMatch(commandLine, /\[0:a:0\]/);
  });

  it('is a reason to refuse a file of which the rest is empty', () => {
    const tracks = [picture, empty, ac4];
    for (const id of ['mp3', 'h264-480p', 'hls', 'remux']) {
      const problem = { kind: 'audioUndecodable', file: 'clip.mp4', codec: 'AC-4' };
      assert.deepEqual(planned(id, tracks, 'default').refused[0]?.problem, problem, id);
    }
    assert.deepEqual(planned('thumbnail', tracks, 'default').refused, []);
    assert.deepEqual(planned('h264-480p', [picture, empty], 'default').refused, []);
    assert.deepEqual(planned('h264-480p', [picture, ac4, sound], 'default').refused, []);
  });
});

describe('A command line', () => {
  const word = fc.oneof(
    fc.string({ minLength: 1, maxLength: 30 }),
    fc.constantFrom(
      '$(touch canary)',
      '`touch canary`',
      "it's",
      '"',
      "'\"'",
      'a b',
      '\\',
      '$HOME',
      '*',
      '; touch canary',
    ),
  );
  const argv = fc.array(word, { minLength: 1, maxLength: 8 });
  let place = '';

  before(() => {
    place = mkdtempSync(join(tmpdir(), 'command-'));
    writeFileSync(join(place, 'ffmpeg'), '#!/bin/sh\nfor arg; do printf "%s\\0" "$arg"; done\n');
    chmodSync(join(place, 'ffmpeg'), 0o755);
  });

  after(() => rmSync(place, { recursive: true, force: true }));

  it('is split by a node into the original arguments', () => {
    fc.assert(
      fc.property(argv, (args) => {
        const line = toCommandLine(['ffmpeg', ...args]);
        assert.deepEqual(splitCommandLine(line), ['ffmpeg', ...args]);
      }),
      chanceOf(1000),
    );
  });

  (process.platform === 'win32' ? it.skip : it)(
    'means the same to a real shell, which runs nothing of it',
    () => {
      fc.assert(
        fc.property(argv, (args) => {
          const line = toCommandLine(['ffmpeg', ...args]);
          const told = execFileSync('/bin/sh', ['-c', line], {
            cwd: place,
            env: { PATH: `${place}:/usr/bin:/bin`, HOME: '/nowhere' },
          });
          assert.deepEqual(told.toString('utf8').split('\0').slice(0, -1), args);
          assert.deepEqual(readdirSync(place), ['ffmpeg']);
        }),
        chanceOf(150),
      );
    },
  );

  it('of a preset is the same after it is shown and parsed again', () => {
    for (const one of builtInPresets)
      assert.deepEqual(withCommand(one, presetCommand(one)).arguments, one.arguments, one.id);
  });
});
