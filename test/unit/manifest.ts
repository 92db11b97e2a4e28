import { readFileSync } from 'node:fs';

/** The list of media extensions stands twice: in `when` clauses, which cannot import, and in the code. */
export function mediaExtensionsOf(): { inManifest: string[]; inCode: string[] } {
  const manifest = readFileSync('package.json', 'utf8');
  const code = readFileSync('src/vscode/transcode/mediaFiles.ts', 'utf8');
  const inManifest = /resourceExtname =~ \/\^\\\\\.\(([\w|]+)\)\$\/i/.exec(manifest)?.[1]?.split('|') ?? [];
  const inCode = /'([\w ]+)'\.split\(\s*' ',?\s*\)/.exec(code)?.[1]?.split(' ') ?? [];
  return { inManifest, inCode };
}
