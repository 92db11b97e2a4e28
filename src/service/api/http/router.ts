import type { HTTPMethod } from 'find-my-way';
import findMyWay from 'find-my-way';
import { BatchError } from '../../wire/errors';
import type { Handler, Route } from './context';

interface Found {
  readonly handler: Handler;
  /** Decoded path parameters, in the order of the route. */
  readonly params: readonly string[];
}

const methods: readonly HTTPMethod[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** Maximum length of an encoded path parameter, such as a file name. */
const maxPart = 16_384;

/** Finds the handler of a method and a path. */
export class Router {
  readonly #router = findMyWay({ ignoreTrailingSlash: true, maxParamLength: maxPart });

  constructor(routes: readonly Route[]) {
    for (const [method, path, handler] of routes) {
      let count = 0;
      // `{}` is one part of the path; `{*}` is the rest of it, whose slashes may be encoded or not.
      const pattern = path.replace('{*}', '*').replaceAll('{}', () => `:part${count++}`);
      this.#router.on(method as HTTPMethod, pattern, () => undefined, handler);
    }
  }

  /** Throws InvalidUri, ResourceNotFound, or UnsupportedHttpVerb for a path that other methods have. */
  find(method: string, path: string): Found {
    const found = this.#router.find(method as HTTPMethod, path);
    if (found?.store)
      return { handler: found.store as Handler, params: Object.values(found.params).map(String) };
    if (!isDecodable(path)) throw new BatchError('InvalidUri');
    const isKnown = methods.some((other) => other !== method && this.#router.find(other, path)?.store);
    throw new BatchError(isKnown ? 'UnsupportedHttpVerb' : 'ResourceNotFound');
  }
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
