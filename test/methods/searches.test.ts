/** Whole runs on a net that was taught a rule: a plain, smaller net within the target that still knows it, on a closed account. */
import { beforeAll, describe, expect, it } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32 } from "../../toolkit/graph/tensor.js";
import { autoSlim } from "../../toolkit/methods/autoSlim.js";
import { runMethod } from "../../toolkit/methods/context.js";
import { dmcp } from "../../toolkit/methods/dmcp.js";
import { gdp } from "../../toolkit/methods/gdp.js";
import { halp } from "../../toolkit/methods/halp.js";
import { latencySearch } from "../../toolkit/methods/latencySearch.js";
import { metaPruning } from "../../toolkit/methods/metaPruning.js";
import type { MethodResult, PruningMethod } from "../../toolkit/methods/method.js";
import { netAdapt } from "../../toolkit/methods/netAdapt.js";
import { resRep } from "../../toolkit/methods/resRep.js";
import { accuracyOn } from "../../toolkit/methods/training.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { heldOut, tinyContext, trained } from "./tinySearch.js";

type Settings = Record<string, string | number | boolean>;

const short: [PruningMethod, Settings][] = [
  [dmcp, { every: 1 }],
  [autoSlim, { images: 32, levels: 3 }],
  [metaPruning, { images: 32, population: 4, generations: 1, hidden: 4 }],
  [netAdapt, { images: 32, iterations: 2, search: 0.6 }],
  [halp, { prunings: 4 }],
  [gdp, {}],
  [resRep, {}],
  [latencySearch, { images: 32, population: 4, generations: 1 }],
];

let original: Graph;
beforeAll(async () => {
  original = await trained();
});

async function run(
  method: PruningMethod,
  settings: Settings,
  { seed = 1, steps = 60 } = {},
): Promise<MethodResult & { total: number }> {
  const c = tinyContext(original, { settings, seed, steps });
  const result = await runMethod(method, c);
  return { ...result, total: c.meter.used };
}

describe.each(short)("$name", (method, settings) => {
  it("gives a plain net within the target that still knows the rule, and counts what it cost", async () => {
    const result = await run(method, settings);
    checkGraph(result.graph);
    expect(result.graph.inputs).toEqual(original.inputs);
    expect(result.graph.outputs.map((v) => v.name)).toEqual(["logits"]);
    const [macs, whole] = [costsOf(result.graph).macs, costsOf(original).macs];
    expect(macs).toBeLessThanOrEqual(0.5 * whole);
    expect(macs).toBeGreaterThan(0.2 * whole);
    expect(await accuracyOn(result.graph, heldOut, { threads: 1 })).toBeGreaterThan(0.85);
    expect(result.total).toBeGreaterThan(55);
    expect(result.total).toBeLessThanOrEqual(62);
    expect(result.steps.search).toBeGreaterThan(0);
    expect(result.history.length).toBeGreaterThan(0);
    expect(result.widths?.size).toBeGreaterThan(0);
  });

  it("refuses settings that it does not know", async () => {
    await expect(run(method, { nonsense: 1 })).rejects.toMatchObject({ code: "method-setting" });
  });
});

it("the same seed gives the same net, another seed another one", async () => {
  const nets = await Promise.all([1, 1, 2].map((seed) => run(dmcp, { every: 1 }, { seed, steps: 16 })));
  const [a, b, c] = nets.map((r) => Array.from(toFloat32(r.graph.initializers.get("classifier.weight")!)));
  expect(a).toEqual(b);
  expect(a).not.toEqual(c);
});
