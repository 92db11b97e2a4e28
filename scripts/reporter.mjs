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
    super(runner, options);
    const counts = { passed: 0, failed: 0, skipped: [], retried: [], durations: [] };
    runner.on(EVENT_TEST_PASS, () => {
      counts.passed++;
    });
    runner.on(EVENT_TEST_FAIL, () => {
      counts.failed++;
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
