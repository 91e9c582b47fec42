import { expect, test } from "vitest";
import { prepareForQuantization } from "../../toolkit/quantize/index.js";
import { smallHarmfulLayers } from "../../toolkit/quantize/smallLayers.js";
import { conv3, net } from "./support.js";

/** conv1 is small; conv2 and conv3 hold nearly all multiplications; conv4 is as small as conv1. */
const g = prepareForQuantization(
  net(["N", 3, 8, 8], (b, x) => {
    const y = b.relu(conv3(b, b.relu(conv3(b, x, 3, 4, 1)), 4, 32, 2));
    return conv3(b, b.relu(conv3(b, y, 32, 32, 3)), 32, 2, 4);
  }),
);
const harm = (db: Record<string, number>) => Object.entries(db).map(([node, sqnrDb]) => ({ node, sqnrDb }));

test("the most harmful small layer stays float, not a large one and not one that hardly matters", () => {
  expect(smallHarmfulLayers(g, harm({ conv1: 18, conv2: 30, conv3: 31, conv4: 45 }), new Set())).toEqual(["conv1"]);
  expect(smallHarmfulLayers(g, harm({ conv1: 45, conv2: 30, conv3: 18, conv4: 44 }), new Set())).toEqual([]);
  expect(smallHarmfulLayers(g, harm({ conv1: 19, conv2: 40, conv3: 40, conv4: 18 }), new Set())).toEqual([
    "conv4",
    "conv1",
  ]);
});

test("layers that are float already take their room", () => {
  expect(smallHarmfulLayers(g, harm({ conv1: 18, conv4: 40 }), new Set(["conv2"]))).toEqual([]);
  expect(smallHarmfulLayers(g, harm({ conv1: 18 }), new Set(["conv4"]))).toEqual(["conv1"]);
});

test("without layers there is nothing to leave float", () => {
  expect(smallHarmfulLayers(g, [], new Set())).toEqual([]);
});
