import type { FaultOrder } from '../scheduling/faults';
import type { Context, Reply, Request, Route } from './context';

export const faultRoutes: Route[] = [['POST', '/_faults', setFaults]];

function setFaults({ faults, disturbances, pastStates }: Context, { body }: Request): Reply {
  const order = (body ?? {}) as FaultOrder;
  faults.set(order);
  pastStates.update();
  disturbances.apply(order);
  return { status: 200 };
}
