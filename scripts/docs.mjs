#!/usr/bin/env node
// Writes the table of what the local Batch service does with each member of a request into docs/local-service.md.
import { readFileSync, writeFileSync } from 'node:fs';
import * as esbuild from 'esbuild';

const { outputFiles } = await esbuild.build({
  entryPoints: ['src/service/api/requests/treatment.ts'],
  bundle: true,
  format: 'esm',
  write: false,
});
const { treatmentTable } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`
);
const page = 'docs/local-service.md';
const text = readFileSync(page, 'utf8');
writeFileSync(
  page,
  text.replace(
    /(<!-- table -->\n)[\s\S]*?(<!-- \/table -->)/,
    (_, start, end) => `${start}${treatmentTable()}\n${end}`,
  ),
);
