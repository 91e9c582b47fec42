/** The pruning methods by name. */
import { UsageError } from "../graph/errors.js";
import { autoSlim } from "./autoSlim.js";
import { dmcp } from "./dmcp.js";
import { edgefit } from "./edgefit.js";
import { gdp } from "./gdp.js";
import { halp } from "./halp.js";
import { l1Iterative } from "./l1Iterative.js";
import { latencySearch } from "./latencySearch.js";
import { metaPruning } from "./metaPruning.js";
import type { PruningMethod } from "./method.js";
import { netAdapt } from "./netAdapt.js";
import { oneShot } from "./oneShot.js";
import { resRep } from "./resRep.js";
import { scratchB, scratchE } from "./rethinking.js";
import { groupLassoMethod, networkSlimming } from "./sparsePretraining.js";
import { lottery, magnitude, snip, snipChannels } from "./unstructured.js";

export type {
  Cost,
  CostPart,
  HistoryPoint,
  MethodContext,
  MethodNet,
  MethodResult,
  PruningMethod,
  Recipe,
  Spent,
} from "./method.js";
export { StepMeter } from "./stepMeter.js";

/** Every method, in the order in which tables list them. */
export const methods: readonly PruningMethod[] = [
  edgefit,
  l1Iterative,
  networkSlimming,
  groupLassoMethod,
  scratchE,
  scratchB,
  dmcp,
  autoSlim,
  metaPruning,
  netAdapt,
  halp,
  gdp,
  resRep,
  latencySearch,
  snipChannels,
  ...oneShot,
  magnitude,
  lottery,
  snip,
];

/** Throws UsageError that names the choices. */
export function methodNamed(name: string): PruningMethod {
  const found = methods.find((m) => m.name === name);
  if (found) return found;
  throw new UsageError("method", `there is no pruning method "${name}"`, {
    hint: `the methods are ${methods.map((m) => m.name).join(", ")}`,
  });
}
