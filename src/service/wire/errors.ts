/** Details of an error: `PropertyName`, `PropertyValue`, `Reason`, `QueryParameterName`. */
export type ErrorValues = Record<string, string>;

/** Status and message of each error code. https://learn.microsoft.com/rest/api/batchservice/batch-status-and-error-codes */
const codes = {
  InvalidPropertyValue: [400, 'The value provided for one of the properties in the request body is invalid.'],
  MissingRequiredProperty: [400, 'A required property was not specified in the request body.'],
  InvalidRequestBody: [400, 'The specified Request Body is not syntactically valid.'],
  InvalidQueryParameterValue: [
    400,
    'Value for one of the query parameters specified in the request URI is invalid.',
  ],
  UnsupportedQueryParameter: [
    400,
    'One of the query parameters specified in the request URI is not supported.',
  ],
  MissingRequiredQueryParameter: [
    400,
    'A query parameter that is mandatory for this request is not specified.',
  ],
  UnsupportedRequestVersion: [400, 'The specified service version is not supported by this server.'],
  MultipleConditionHeadersNotSupported: [400, 'Multiple condition headers are not supported.'],
  UnsupportedHeader: [400, 'One of the HTTP headers specified in the request is not supported.'],
  InvalidHeaderValue: [400, 'The value provided for one of the HTTP headers was not in the correct format.'],
  InvalidUri: [400, 'The requested URI does not represent any resource on the server.'],
  InvalidAuthenticationInfo: [
    400,
    'The authentication information was not provided in the correct format. Verify the value of Authorization header.',
  ],
  InvalidAutoScalingSettings: [400, 'The pool autoscaling settings are invalid.'],
  AutoScalingFormulaSyntaxError: [400, 'The specified autoscaling formula has a syntax error.'],
  AutoScaleFormulaTooLong: [400, 'The autoscale formula is too long.'],
  TaskDependencyListTooLong: [
    400,
    'The ids of the tasks that the task depends on have more than 64,000 characters.',
  ],
  TaskDependencyRangesTooLong: [400, 'The ranges of task ids that the task depends on are too long.'],
  TaskDependenciesNotSpecifiedOnJob: [400, 'The task specifies dependencies, but the job does not use them.'],
  PoolVersionEqualsUpgradeVersion: [400, 'The pool is already with the given version.'],
  AuthenticationFailed: [
    403,
    'Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.',
  ],
  IOError: [403, 'The file cannot be read.'],
  Forbidden: [403, 'The request is not allowed from here.'],
  PoolNotFound: [404, 'The specified pool does not exist.'],
  JobNotFound: [404, 'The specified job does not exist.'],
  TaskNotFound: [404, 'The specified task does not exist.'],
  JobScheduleNotFound: [404, 'The specified job schedule does not exist.'],
  CertificateNotFound: [404, 'The specified certificate does not exist.'],
  ApplicationNotFound: [404, 'The specified application does not exist.'],
  NodeUserNotFound: [404, 'The specified node user does not exist.'],
  NodeNotFound: [404, 'The specified node does not exist.'],
  ExtensionNotFound: [404, 'The specified extension does not exist.'],
  FileNotFound: [404, 'The specified file does not exist.'],
  ResourceNotFound: [404, 'The specified resource does not exist.'],
  UnsupportedHttpVerb: [405, 'The resource does not support the specified HTTP verb.'],
  PoolExists: [409, 'The specified pool already exists.'],
  JobExists: [409, 'The specified job already exists.'],
  TaskExists: [409, 'The specified task already exists.'],
  JobWithSameIdExists: [409, 'A job with the specified id already exists.'],
  JobScheduleWithSameIdExists: [409, 'A job schedule with the specified id already exists.'],
  JobScheduleBeingDeleted: [409, 'The specified job schedule has been marked for deletion.'],
  JobScheduleBeingTerminated: [409, 'The specified job schedule is being terminated.'],
  JobScheduleCompleted: [409, 'The specified job schedule is already in a completed state.'],
  JobScheduleDisabled: [409, 'The specified job schedule is already disabled.'],
  JobScheduleExists: [409, 'The specified job schedule already exists.'],
  CertificateExists: [409, 'The specified certificate already exists.'],
  CertificateBeingDeleted: [409, 'The specified certificate has been marked for deletion.'],
  CertificateStateActive: [409, 'The specified certificate is in active state.'],
  InvalidCertificateReferences: [409, 'One or more of the specified certificate references are invalid.'],
  NodeUserExists: [409, 'The specified node user already exists.'],
  NodeBeingCreated: [409, 'The specified node is being created.'],
  NodeBeingStarted: [409, 'The specified node is being started.'],
  NodeBeingRebooted: [409, 'The specified node is being rebooted.'],
  NodeBeingReimaged: [409, 'The specified node is being reimaged.'],
  NodeNotReady: [409, 'Node is not able to perform the requested operations in its current state'],
  NodeStateUnusable: [409, 'The specified node is unusable.'],
  PoolBeingDeleted: [409, 'The specified pool has been marked for deletion and is being reclaimed.'],
  PoolBeingResized: [409, 'The specified pool is being resized.'],
  JobBeingDeleted: [409, 'The specified job has been marked for deletion and is being garbage collected.'],
  JobBeingTerminated: [409, 'The specified job is being terminated.'],
  JobCompleted: [409, 'The specified job is already in a completed state.'],
  JobDisabled: [409, 'The specified job is disabled.'],
  JobNotActive: [409, 'The specified job is not in an active state.'],
  TaskCompleted: [409, 'The specified task is already in a completed state.'],
  TaskIdSameAsJobPreparationTask: [409, 'The task has the id of the job preparation task of its job.'],
  TaskIdSameAsJobReleaseTask: [409, 'The task has the id of the job release task of its job.'],
  TaskNotCompleted: [409, 'The specified task is not in a completed state.'],
  TaskSucceeded: [409, 'The specified task has succeeded and cannot be reactivated.'],
  TaskFilesUnavailable: [409, 'The files of the specified task are unavailable.'],
  JobPreparationTaskOrReleaseTaskNotSpecified: [
    409,
    'The specified job does not have either job preparation task or job release task.',
  ],
  InvalidApplicationPackageReferences: [
    409,
    'One or more of the specified application package references are invalid.',
  ],
  TaskFilesCleanedup: [409, 'The files of the specified task have been cleaned up.'],
  NodeAlreadyInTargetSchedulingState: [409, 'The specified node is already in the target scheduling state.'],
  OperationInvalidForCurrentState: [
    409,
    'The specified operation is not valid for the current state of the resource.',
  ],
  OperationNotValidOnNode: [409, 'The specified operation is not valid on the node.'],
  OperationNotValidOnPool: [409, 'The specified operation is not valid on the pool.'],
  PoolQuotaReached: [409, 'The pool quota for the account has been reached.'],
  ActiveJobAndScheduleQuotaReached: [
    409,
    'The active job and job schedule quota for the account has been reached.',
  ],
  ConditionNotMet: [412, 'The condition specified using HTTP conditional header(s) is not met.'],
  NotModified: [304, ''],
  RequestBodyTooLarge: [413, 'The size of the request body exceeds the maximum size permitted.'],
  InvalidRange: [416, 'The range specified is invalid for the current size of the resource.'],
  TooManyRequests: [429, 'The rate of requests is too high. Wait before trying again.'],
  InternalError: [500, 'The server encountered an internal error. Please retry the request.'],
  ServerBusy: [503, 'The server is busy. Please retry the request.'],
  TooManyEnableAutoScaleRequests: [503, 'Autoscale was enabled on the pool too recently. Wait 30 seconds.'],
} as const satisfies Record<string, readonly [status: number, sentence: string]>;

export type ErrorCode = keyof typeof codes;

/** An error that is returned to the client with its code. */
export class BatchError extends Error {
  readonly status: number;

  constructor(
    readonly code: ErrorCode,
    readonly values: ErrorValues = {},
    readonly headers: Record<string, string> = {},
  ) {
    super(codes[code][1]);
    this.status = codes[code][0];
  }
}

/** Returns the JSON of an error reply. As in Azure, the message ends with the id and time of the request. */
export function errorBody(
  { code, message, values }: BatchError,
  base: string,
  requestId: string,
  time: string,
) {
  const entries = Object.entries(values);
  return {
    'odata.metadata': `${base}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element`,
    code,
    message: { lang: 'en-US', value: `${message}\nRequestId:${requestId}\nTime:${time}` },
    ...(entries.length > 0 ? { values: entries.map(([key, value]) => ({ key, value })) } : {}),
  };
}

/** Returns the error for an invalid property of a request body. */
export function invalidProperty(name: string, value: unknown, reason: string): BatchError {
  return new BatchError('InvalidPropertyValue', {
    PropertyName: name,
    ...(value === undefined ? {} : { PropertyValue: String(value) }),
    Reason: reason,
  });
}
