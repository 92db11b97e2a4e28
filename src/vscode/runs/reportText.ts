import { l10n } from 'vscode';
import { costOf, type VmPrices } from '../../core/accounts/prices';
import { type Bar, type Lane, type Timeline, timelineSvg } from '../../core/estimates/timeline';
import { type ReportRow, type RunReport, reportCsv } from '../../core/runs/report';
import { costWords } from '../words/costWords';
import { bytes, count, decimal, duration, percent, time } from '../words/numbers';
import { textInMarkdown } from '../words/plainText';
import { sentenceOf } from '../words/sentences';
import { withoutName } from './runWords';

/** All that a report shows of a run. */
export interface FullReport extends RunReport {
  readonly timeline?: Timeline;
  /** Undefined where prices are unknown or the nodes cost nothing. */
  readonly prices?: VmPrices;
  readonly isLocal: boolean;
  /** Hours that the nodes exist after the run, until their pool scales to zero. */
  readonly idleHours: number;
  /** The share of the nodes that are Spot nodes, from 0 to 1. */
  readonly spotShare: number;
  readonly account: string;
}

/** Bars that the table of the timeline lists. */
const maxBars = 1_000;

/** A report in the format that the extension of its file asks for. */
export function textOf(report: FullReport, path: string): string {
  const name = path.toLowerCase();
  if (name.endsWith('.json'))
    return `${JSON.stringify({ ...report, cost: costOfReport(report) }, undefined, 2)}\n`;
  return name.endsWith('.md') ? markdownOf(report) : reportCsv(report, (problem) => sentenceOf(problem).text);
}

/** A report as Markdown. */
export function markdownOf(report: FullReport): string {
  const head = [
    ...[l10n.t('File'), l10n.t('Size'), l10n.t('Length'), l10n.t('Output')],
    ...[l10n.t('Task'), l10n.t('Speed'), l10n.t('Retries'), l10n.t('Node')],
  ];
  const failed = report.rows.filter(({ problem }) => problem);
  return [
    `# ${textInMarkdown(report.preset)}`,
    ...[
      '',
      ...factsOf(report).map(
        ([name, value]) => `- ${l10n.t('{0}: {1}', `**${name}**`, textInMarkdown(value))}`,
      ),
      '',
    ],
    ...expectedSection(report),
    ...(failed.length > 0 ? [`## ${l10n.t('Failures')}`, '', ...failed.map(failureLine), ''] : []),
    ...timelineSection(report),
    ...[`## ${l10n.t('Files')}`, '', line(head), line(head.map(() => '---'))],
    ...report.rows.map((row) => line(cellsOf(row))),
    '',
  ].join('\n');
}

function factsOf(report: FullReport): [name: string, value: string][] {
  const { totals, nodeHours, minutes } = report;
  const cost = costOfReport(report);
  const currency = report.prices?.currency;
  return [
    [l10n.t('Run'), report.run],
    [l10n.t('Account'), report.account],
    [l10n.t('Started'), time(new Date(report.created))],
    ...(report.finished ? [fact(l10n.t('Finished'), time(new Date(report.finished)))] : []),
    ...(report.canceled ? [fact(l10n.t('Canceled'), time(new Date(report.canceled)))] : []),
    [l10n.t('Files'), l10n.t('{0} of {1} done, {2} failed', totals.done, totals.files, totals.failed)],
    [l10n.t('Size'), `${bytes(totals.bytes)} → ${bytes(totals.outputBytes)}`],
    [l10n.t('Media'), duration(totals.seconds * 1000)],
    ...(minutes === undefined ? [] : [fact(l10n.t('Duration'), duration(minutes * 60_000))]),
    [l10n.t('Time of all tasks'), duration(totals.taskSeconds * 1000)],
    [l10n.t('Nodes with completed tasks'), count(report.nodes)],
    ...(nodeHours === undefined ? [] : [fact(l10n.t('Node-hours, about'), usedWords(report, nodeHours))]),
    ...(cost === undefined ? [] : [fact(l10n.t('Cost, about'), costWords({ cost, currency }, 0))]),
  ];
}

const fact = (name: string, value: string): [string, string] => [name, value];

/** At the retail prices of now; undefined where they are unknown. */
function costOfReport(report: FullReport): number | undefined {
  const { prices, spotShare } = report;
  const hours = allHours(report);
  if (hours === undefined) return undefined;
  return costOf({ spot: hours * spotShare, dedicated: hours * (1 - spotShare) }, prices);
}

/** With the hours after the run, as in the estimate before it. */
function allHours({ nodeHours, idleHours }: FullReport): number | undefined {
  return nodeHours === undefined ? undefined : nodeHours + idleHours;
}

function usedWords({ isLocal, idleHours }: FullReport, nodeHours: number): string {
  return isLocal || idleHours === 0
    ? hoursOf(nodeHours)
    : l10n.t('{0}, and {1} until the pool scales to zero', hoursOf(nodeHours), hoursOf(idleHours));
}

/** Small numbers of hours have more digits, so that they don't round to 0. */
function hoursOf(hours: number): string {
  return hours >= 0.01 || hours === 0 ? decimal(hours) : l10n.t('less than {0}', decimal(0.01));
}

function expectedSection(report: FullReport): string[] {
  const { expected, minutes, canceled } = report;
  const hours = allHours(report);
  // The expected values apply to a run that wasn't canceled.
  if (expected === undefined || minutes === undefined || canceled) return [];
  const cost = costOfReport(report);
  const isPriced = expected.cost !== undefined && cost !== undefined && report.prices;
  const rows = [
    [l10n.t('Duration'), duration(expected.minutes * 60_000), duration(minutes * 60_000)],
    ...(hours === undefined || report.isLocal
      ? []
      : [[l10n.t('Node-hours'), hoursOf(expected.nodeHours), hoursOf(hours)]]),
    ...(isPriced
      ? [[l10n.t('Cost'), costWords(expected, 0), costWords({ cost, currency: report.prices?.currency }, 0)]]
      : []),
  ];
  return [
    ...[`## ${l10n.t('Expected and actual')}`, ''],
    ...[line(['', l10n.t('Expected'), l10n.t('Actual')]), line(['---', '---', '---'])],
    ...[...rows.map((cells) => line(cells.map(textInMarkdown))), ''],
  ];
}

/** The drawing, and the same as a table for those who cannot see it. */
function timelineSection({ timeline, preset }: FullReport): string[] {
  if (timeline === undefined) return [];
  const bars = timeline.lanes.flatMap((lane) => lane.bars.map((bar) => ({ lane, bar })));
  const svg = timelineSvg(timeline, {
    title: l10n.t('Timeline of the run: {0}', preset),
    description: l10n.t(
      'Each row is the upload, the download, or a task slot of a node. Each bar is a file. The table below has the same data.',
    ),
    laneName,
    time: duration,
    barName: (bar) => `${bar.file}: ${duration(bar.start)} – ${duration(bar.end)}`,
  });
  const head = [l10n.t('Row'), l10n.t('File'), l10n.t('From'), l10n.t('To')];
  const table = bars
    .slice(0, maxBars)
    .map(({ lane, bar }) =>
      line([
        textInMarkdown(laneName(lane)),
        textInMarkdown(nameOf(bar)),
        duration(bar.start),
        duration(bar.end),
      ]),
    );
  return [
    ...[`## ${l10n.t('Timeline')}`, '', svg, ''],
    ...[`<details><summary>${l10n.t('Timeline as a table')}</summary>`, ''],
    ...[line(head), line(head.map(() => '---')), ...table, '', '</details>', ''],
  ];
}

function nameOf({ file, isFailed }: Bar): string {
  return isFailed ? l10n.t('{0} (failed)', file) : file;
}

function laneName({ kind, node = '', slot }: Lane): string {
  switch (kind) {
    case 'upload':
      return l10n.t('Upload');
    case 'fetch':
      return l10n.t('Download');
    case 'slot': {
      const short = shortNode(node);
      return slot === undefined ? short : l10n.t('{0}, slot {1}', short, slot);
    }
  }
}

/** `tvmps_0123456789abcdef…_p` differs from its neighbours after the prefix. */
function shortNode(node: string): string {
  return node.length > 16 ? `${node.slice(0, 15)}…` : node;
}

function failureLine({ file, problem }: ReportRow): string {
  const reason = problem ? withoutName(sentenceOf(problem).text, file) : '';
  return `- ${l10n.t('{0}: {1}', `**${textInMarkdown(file)}**`, textInMarkdown(reason))}`;
}

/** `74.1 kB, 29%`: the size of an output, and its share of the source's size. */
function outputWords({ outputBytes, ratio }: ReportRow): string {
  const words = [
    ...(outputBytes === undefined ? [] : [bytes(outputBytes)]),
    ...(ratio === undefined ? [] : [percent(ratio)]),
  ];
  return unbroken(words.join(', '));
}

/** Keeps a number and its unit on one line. */
const unbroken = (text: string) => text.replaceAll(' ', '\u00a0');

function cellsOf(row: ReportRow): string[] {
  const ifKnown = <T>(value: T | undefined, say: (value: T) => string) =>
    value === undefined ? '' : say(value);
  const output = row.output && decodeURIComponent(row.output.slice(row.output.lastIndexOf('/') + 1));
  const marks = { done: '✓', failed: '✗', unfinished: '…' };
  return [
    `${marks[row.status]} ${textInMarkdown(row.file)}`,
    ifKnown(row.bytes, (size) => unbroken(bytes(size))),
    ifKnown(row.seconds, (seconds) => duration(seconds * 1000)),
    output ? `${textInMarkdown(output)} (${outputWords(row)})` : '',
    ifKnown(row.taskSeconds, (seconds) => duration(seconds * 1000)),
    ifKnown(row.speed, (speed) => `${decimal(speed)}×`),
    ifKnown(row.retries, count),
    ifKnown(row.node, (node) => textInMarkdown(shortNode(node))),
  ];
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
