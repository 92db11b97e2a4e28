// Mocha reporter: prints Mocha's list of tests, and writes counts and durations as JSON for scripts/test.mjs.
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

const {
  EVENT_RUN_END,
  EVENT_TEST_END,
  EVENT_TEST_FAIL,
  EVENT_TEST_PASS,
  EVENT_TEST_PENDING,
  EVENT_TEST_RETRY,
} = Mocha.Runner.constants;

export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    // In front of the list for people, which prints what the error says then.
    for (const event of [EVENT_TEST_FAIL, EVENT_TEST_RETRY])
      runner.on(event, (_test, error) => explain(error));
    super(runner, options);
    const counts = { passed: 0, failed: 0, failures: [], skipped: [], retried: [], durations: [] };
    runner.on(EVENT_TEST_PASS, () => {
      counts.passed++;
    });
    runner.on(EVENT_TEST_FAIL, (test, error) => {
      counts.failed++;
      counts.failures.push(`${test.fullTitle()}: ${error.message}`);
    });
    runner.on(EVENT_TEST_RETRY, (test, error) =>
      counts.retried.push(`${test.fullTitle()}: ${error.message}`),
    );
    runner.on(EVENT_TEST_PENDING, (test) => counts.skipped.push(test.fullTitle()));
    runner.on(EVENT_TEST_END, (test) => {
      if (test.duration) counts.durations.push({ title: test.fullTitle(), ms: test.duration });
    });
    runner.on(EVENT_RUN_END, () => {
      if (process.env.TEST_REPORT) writeFileSync(process.env.TEST_REPORT, JSON.stringify(counts));
    });
  }
}

/** The message of an error of Batch's client is an object that prints as nothing: the service's answer takes its place. */
function explain(error) {
  if (error?.message !== '[object Object]') return;
  const { statusCode, code, body } = error;
  const answer = body?.message?.value ?? JSON.stringify(body);
  const text = [statusCode, code, answer].filter((part) => part !== undefined).join(' ');
  error.stack = error.stack?.replace(error.message, text);
  error.message = text;
}
