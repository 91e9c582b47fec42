/** The training graph on WebGPU: one step of a tiny net in a headless Chromium, on the software adapter. */
import { afterAll, describe, expect, test } from "vitest";
import { findChromium, openBrowserRunner } from "../../runners/browser/index.js";
import type { DeviceRunner, WireTensor } from "../../runners/runner.js";
import { floats, scalar, type Tensor, toFloat32 } from "../../toolkit/graph/tensor.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { buildForward } from "../../toolkit/train/forward.js";
import { crossEntropy, sgd } from "../../toolkit/train/index.js";
import { findParameters, gather } from "../../toolkit/train/parameters.js";
import { names, statisticsLayout, stepGraph } from "../../toolkit/train/step.js";
import { type NetOptions, SIDE, stripeNet, stripes } from "./nets.js";

const IMAGES = 8;

/** A step's graph and what it is fed at the start of training. */
async function firstStep(net: NetOptions) {
  const base = stripeNet(net);
  const dims = [IMAGES, 1, SIDE, SIDE];
  const forward = buildForward(base, dims, crossEntropy(), "batch");
  const layout = findParameters(base, forward.graph);
  const optimizer = sgd({ weightDecay: 1e-3 });
  const batch = await stripes(IMAGES, 4).batch(Array.from({ length: IMAGES }, (_, i) => i));
  const feeds: Record<string, Tensor> = {
    [forward.input]: floats(batch.data, dims),
    ...(await forward.built.feeds(batch)),
    [names.parameters]: floats(gather(base, layout)),
    [names.statistics]: floats(gather(base, statisticsLayout(forward))),
    velocity: floats(new Float32Array(layout.length)),
    learningRate: scalar(0.1),
  };
  return { graph: stepGraph(forward, layout, { optimizer, provider: "webgpu" }), feeds };
}

const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));

/** A page on WebGPU; undefined where there is no Chromium, or none with an adapter. */
async function open(): Promise<DeviceRunner | undefined> {
  if (!findChromium()) return undefined;
  try {
    return await openBrowserRunner({ provider: "webgpu" });
  } catch (error) {
    if ((error as { code?: string }).code === "provider-missing") return undefined;
    throw error;
  }
}

const gpu = await open();
afterAll(() => gpu?.close());

describe.skipIf(!gpu)("a training step on WebGPU (skipped without a Chromium that has an adapter)", () => {
  test.each<[string, NetOptions]>([
    ["dense convolutions", {}],
    ["depthwise separable convolutions", { separable: true }],
  ])(
    "of %s is the CPU's",
    async (_, net) => {
      const runner = gpu!;
      expect(await runner.describe()).toMatchObject({ kind: "web-webgpu" });
      const { graph, feeds } = await firstStep(net);
      const own = await withSession(graph, { threads: 1 }, (s) => s.run(feeds));
      const { id } = await runner.load(writeModel(graph));
      const theirs = await runner.run(id, feeds as Record<string, WireTensor>);
      const change = (r: Record<string, { data: unknown }>, name: string): number[] =>
        Array.from(r[names.next(name)].data as Float32Array, (v, i) => v - toFloat32(feeds[name])[i]);
      expect(Number((theirs[names.loss].data as Float32Array)[0])).toBeCloseTo(toFloat32(own[names.loss])[0], 4);
      for (const name of [names.parameters, names.statistics]) {
        const [a, b] = [change(own, name), change(theirs, name)];
        expect(largest(a)).toBeGreaterThan(1e-3);
        expect(largest(a.map((v, i) => v - b[i]))).toBeLessThan(1e-4);
      }
    },
    240_000,
  );
});
