import { l10n } from 'vscode';
import { type ReportRow, type RunReport, reportCsv } from '../../core/runs/report';
import { bytes, count, decimal, duration, percent, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';

/** A report in the form that the name of its file asks for. */
export function textOf(report: RunReport, path: string): string {
  if (path.endsWith('.json')) return `${JSON.stringify(report, undefined, 2)}\n`;
  return path.endsWith('.md') ? markdownOf(report) : reportCsv(report, (problem) => sentenceOf(problem).text);
}

/** A report as it is read. */
export function markdownOf(report: RunReport): string {
  const { totals } = report;
  const facts = [
    [l10n.t('Run'), report.run],
    [l10n.t('Started'), time(new Date(report.created))],
    ...(report.finished ? [[l10n.t('Finished'), time(new Date(report.finished))]] : []),
    [l10n.t('Files'), l10n.t('{0} of {1} done, {2} failed', totals.done, totals.files, totals.failed)],
    [l10n.t('Size'), `${bytes(totals.bytes)} → ${bytes(totals.outputBytes)}`],
    [l10n.t('Media'), duration(totals.seconds * 1000)],
    [l10n.t('Time of all tasks'), duration(totals.taskSeconds * 1000)],
    [l10n.t('Nodes'), count(report.nodes)],
    ...(report.nodeHours === undefined ? [] : [[l10n.t('Node-hours, about'), decimal(report.nodeHours)]]),
  ];
  const head = [
    ...[l10n.t('File'), l10n.t('Size'), l10n.t('Length'), l10n.t('Output'), l10n.t('Ratio')],
    ...[l10n.t('Task'), l10n.t('Speed'), l10n.t('Retries'), l10n.t('Node')],
  ];
  const failed = report.rows.filter(({ problem }) => problem);
  return [
    `# ${escaped(report.preset)}`,
    ...['', ...facts.map(([name, value]) => `- **${name}**: ${escaped(value ?? '')}`), ''],
    ...(failed.length > 0 ? [`## ${l10n.t('Failures')}`, '', ...failed.map(failureLine), ''] : []),
    ...[`## ${l10n.t('Files')}`, '', line(head), line(head.map(() => '---'))],
    ...report.rows.map((row) => line(cellsOf(row))),
    '',
  ].join('\n');
}

function failureLine({ file, problem }: ReportRow): string {
  return `- **${escaped(file)}**: ${escaped(problem ? sentenceOf(problem).text : '')}`;
}

function cellsOf(row: ReportRow): string[] {
  const told = <T>(value: T | undefined, say: (value: T) => string) =>
    value === undefined ? '' : say(value);
  const output = row.output && decodeURIComponent(row.output.slice(row.output.lastIndexOf('/') + 1));
  const marks = { done: '✓', failed: '✗', unfinished: '…' };
  return [
    `${marks[row.status]} ${escaped(row.file)}`,
    told(row.bytes, bytes),
    told(row.seconds, (seconds) => duration(seconds * 1000)),
    output ? `${escaped(output)} (${told(row.outputBytes, bytes)})` : '',
    told(row.ratio, percent),
    told(row.taskSeconds, (seconds) => duration(seconds * 1000)),
    told(row.speed, (speed) => `${decimal(speed)}×`),
    told(row.retries, count),
    told(row.node, (node) => `\`${node.slice(0, 14)}…\``),
  ];
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

/** A file's name is no Markdown. */
function escaped(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').replace(/[\\`*_{}[\]<>()#+!|~&-]/g, '\\$&');
}
