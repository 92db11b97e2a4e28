import type { FaultOrder } from '../scheduling/faults';
import type { Context, Reply, Request, Route } from './http/context';

export const faultRoutes: Route[] = [['POST', '/_faults', setFaults]];

function setFaults({ faults, disturbances, pastStates, jobSchedules }: Context, { body }: Request): Reply {
  const order = (body ?? {}) as FaultOrder;
  faults.set(order);
  pastStates.update();
  disturbances.apply(order);
  if (order.clockOffsetMs !== undefined) jobSchedules.sweep();
  return { status: 200 };
}
