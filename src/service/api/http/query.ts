import { BatchError } from '../../wire/errors';

const versions = new Set([
  '2018-03-01.6.1',
  '2018-08-01.7.0',
  '2018-12-01.8.0',
  '2019-06-01.9.0',
  '2019-08-01.10.0',
  '2020-03-01.11.0',
  '2020-09-01.12.0',
  '2021-06-01.14.0',
  '2022-01-01.15.0',
  '2022-10-01.16.0',
  '2023-05-01.17.0',
  '2023-11-01.18.0',
  '2024-02-01.19.0',
  '2024-07-01.20.0',
  '2025-06-01',
]);

/** Checks the query parameters of every request, by lower-case name. Throws the error code of the first that is wrong. */
export function checkQuery(query: ReadonlyMap<string, string>): void {
  checkVersion(query.get('api-version'));
  checkTimeout(query.get('timeout'));
  checkOptions(query);
}

/** Seconds that the server may take. It takes none that count. */
function checkTimeout(timeout: string | undefined): void {
  if (timeout === undefined || /^\d{1,9}$/.test(timeout)) return;
  throw new BatchError('InvalidQueryParameterValue', {
    QueryParameterName: 'timeout',
    QueryParameterValue: timeout,
    Reason: 'The value must be a number of seconds.',
  });
}

const queryOptions = new Set(['$filter', '$select', '$expand', '$skiptoken']);

/** Refuses query options of OData that Batch does not have, such as `$top`: the answer would not be what they ask for. */
function checkOptions(query: ReadonlyMap<string, string>): void {
  for (const [name, value] of query) {
    if (!name.startsWith('$') || queryOptions.has(name)) continue;
    throw new BatchError('UnsupportedQueryParameter', {
      QueryParameterName: name,
      QueryParameterValue: value,
    });
  }
}

function checkVersion(version: string | undefined): void {
  if (version === undefined) {
    throw new BatchError('MissingRequiredQueryParameter', { QueryParameterName: 'api-version' });
  }
  if (!versions.has(version)) throw new BatchError('UnsupportedRequestVersion');
}
