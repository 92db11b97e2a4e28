import blob from 'azurite/dist/src/blob/utils/constants';
import common from 'azurite/dist/src/common/utils/constants';

// Azurite appends blobs to files of 64 MiB ("extents") and frees a file once no blob in it is left: one small blob keeps
// all of it. Small files, looked through often, bring the disk use close to what is listed. Azurite reads these constants
// when its modules load, so this one is imported first.
common.DEFAULT_MAX_EXTENT_SIZE = 256 * 1024;
common.DEFAULT_EXTENT_GC_PROTECT_TIME_IN_MS = 60_000;
blob.DEFAULT_GC_INTERVAL_MS = 60_000;
