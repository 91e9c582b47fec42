/** The two nets: untrained, their targets, and the committed ones. */
import { statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LocalRunner, openLocalRunner } from "../../../runners/index.js";
import { SCENE } from "../../../samples/driver-monitoring/face/look.js";
import { openStack, ownStack, type Stack } from "../../../samples/driver-monitoring/headless/stackFolder.js";
import { buildLocator, buildReader } from "../../../samples/driver-monitoring/nets/driverNets.js";
import { locatorTarget, mirrored, readerTarget } from "../../../samples/driver-monitoring/nets/driverTargets.js";
import { evaluatePictures } from "../../../samples/driver-monitoring/nets/evaluatePictures.js";
import { sceneItem } from "../../../samples/driver-monitoring/nets/scenes.js";
import { overlap } from "../../../samples/driver-monitoring/pipeline/boxes.js";
import { ANSWERS, AT, LOCATOR } from "../../../samples/driver-monitoring/pipeline/layout.js";
import { netsOver } from "../../../samples/driver-monitoring/pipeline/net.js";
import { decodeCells } from "../../../samples/driver-monitoring/pipeline/ownModels.js";
import { checkGraph } from "../../../toolkit/graph/check.js";
import { floats, toFloat32 } from "../../../toolkit/graph/tensor.js";
import { openSession } from "../../../toolkit/runtime/session.js";

test.each([
  ["locator", buildLocator, [2, 3, 72, 96], { score: [2, 1, 9, 12], box: [2, 4, 9, 12] }],
  ["reader", buildReader, [2, 3, 96, 96], { face: [2, ANSWERS] }],
] as const)(
  "the untrained %s is a valid graph with the outputs that the pipeline reads",
  async (_, build, dims, outputs) => {
    const g = build(1);
    checkGraph(g);
    const session = await openSession(g, { threads: 1 });
    const size = dims.reduce((a, b) => a * b, 1);
    const image = floats(
      Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
      dims,
    );
    const got = await session.run({ image });
    expect(Object.fromEntries(Object.entries(got).map(([name, t]) => [name, t.dims]))).toEqual(outputs);
    for (const t of Object.values(got)) expect(toFloat32(t).every(Number.isFinite)).toBe(true);
    await session.dispose();
  },
);

test("a perfect locator's answer is decoded to the labelled box", () => {
  const scale = LOCATOR.width / SCENE.width;
  let faces = 0;
  for (let i = 0; i < 40; i++) {
    const { labels } = sceneItem(1, 20, i);
    const { score, box } = locatorTarget(labels);
    const logits = score.values.map((v) => (v > 0.5 ? 6 : -6));
    const found = decodeCells({ data: logits, dims: [] }, { data: box.values, dims: [] }, 0.5);
    expect(found).toHaveLength(labels.box ? 1 : 0);
    if (!labels.box) continue;
    faces++;
    const { x, y, width, height } = labels.box;
    expect(
      overlap(found[0], { x: x * scale, y: y * scale, width: width * scale, height: height * scale }),
    ).toBeGreaterThan(0.999);
  }
  expect(faces).toBeGreaterThan(30);
});

test("a mirror swaps the eyes and turns yaw, roll and gaze round; twice is the same again", () => {
  const { labels, crops } = sceneItem(1, 20, 0);
  const target = readerTarget(labels, crops[0]);
  const once = mirrored(target);
  expect(once.values[AT.leftOpenness]).toBe(target.values[AT.rightOpenness]);
  expect(once.values[AT.headYaw]).toBe(-target.values[AT.headYaw]);
  expect(once.values[0]).toBe(-target.values[6]);
  expect(once.values[1]).toBe(target.values[7]);
  const twice = mirrored(once);
  expect([...twice.values].map((v) => v + 0)).toEqual([...target.values].map((v) => v + 0));
  expect(twice.weights).toEqual(target.weights);
});

test("what cannot be seen does not count in training", () => {
  const { labels, crops } = sceneItem(1, 20, 0);
  const weights = (change: Partial<typeof labels>) => readerTarget({ ...labels, ...change }, crops[0]).weights;
  expect(weights({ sunglasses: true })[AT.leftOpenness]).toBe(0);
  expect(weights({ sunglasses: true })[AT.gazeYaw]).toBe(0);
  expect(weights({ sunglasses: false, leftOpenness: 0, rightOpenness: 0 })[AT.gazeYaw]).toBe(0);
  expect(weights({ mask: true })[AT.mouthOpening]).toBe(0);
  expect(weights({ mask: true })[AT.headYaw]).toBeGreaterThan(0);
});

describe("the committed models", () => {
  let device: LocalRunner;
  let stack: Stack;
  beforeAll(async () => {
    device = await openLocalRunner();
    stack = await openStack(ownStack(), netsOver(device));
  });
  afterAll(async () => {
    await stack.locator.close();
    await stack.reader.close();
    await device.close();
  });

  test("are small", () => {
    const { locator, reader } = ownStack();
    for (const file of [locator.at, reader.at]) expect(statSync(file).size).toBeLessThan(2_000_000);
  });

  test("find and read rendered drivers that no training has used", async () => {
    const e = await evaluatePictures(stack, { count: 120, seed: 20_001 });
    expect(e.found / e.faces).toBeGreaterThan(0.94);
    expect(e.falseAlarms).toBeLessThan(8);
    expect(e.eyes.right / e.eyes.count).toBeGreaterThan(0.84);
    expect(e.head.mean).toBeLessThan(7);
  });
});
