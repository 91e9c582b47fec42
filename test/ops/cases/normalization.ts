import { attr } from "../../../toolkit/graph/graph.js";
import type { Cases } from "../case.js";

const map = { live: [1, 6, 4, 3] };
const perChannel = { parameter: [6] };
const positive = [0.2, 2] as const;

export const normalization: Cases = {
  BatchNormalization: [
    { name: "opset 15", range: positive, inputs: [map, perChannel, perChannel, perChannel, perChannel] },
    {
      name: "opset 7",
      opset: 7,
      range: positive,
      inputs: [map, perChannel, perChannel, perChannel, perChannel],
      attributes: { epsilon: attr.float(1e-3) },
    },
    {
      name: "rows",
      opset: 9,
      range: positive,
      inputs: [{ live: [3, 6] }, perChannel, perChannel, perChannel, perChannel],
    },
  ],
  InstanceNormalization: [
    { name: "feature map", inputs: [map, perChannel, perChannel] },
    { name: "channels as rows", inputs: [{ live: [1, 6, 5], channels: 2 }, perChannel, perChannel] },
  ],
  LayerNormalization: [
    {
      name: "last axis",
      inputs: [{ live: [2, 3, 8], channels: 2 }, { parameter: [8] }, { parameter: [8] }],
    },
    { name: "over tokens of a channel", inputs: [{ live: [2, 3, 8] }, { parameter: [8] }] },
    {
      name: "with statistics",
      inputs: [{ live: [2, 3, 8], channels: 2 }, { parameter: [8] }],
      outputs: 3,
    },
  ],
  RMSNormalization: [{ name: "last axis", opset: 23, inputs: [{ live: [2, 3, 8], channels: 2 }, { parameter: [8] }] }],
  GroupNormalization: [
    {
      name: "one group",
      opset: 21,
      inputs: [map, perChannel, perChannel],
      attributes: { num_groups: attr.int(1) },
    },
    {
      name: "two groups, opset 18",
      opset: 18,
      inputs: [map, { parameter: [2] }, { parameter: [2] }],
      attributes: { num_groups: attr.int(2) },
    },
    {
      name: "two groups",
      opset: 21,
      inputs: [map, perChannel, perChannel],
      attributes: { num_groups: attr.int(2) },
    },
  ],
  LRN: [{ name: "three neighbours", inputs: [map], attributes: { size: attr.int(3) } }],
  LpNormalization: [
    { name: "channels", inputs: [map], attributes: { axis: attr.int(1) } },
    { name: "columns", inputs: [map] },
  ],
  MeanVarianceNormalization: [
    { name: "default axes", inputs: [map] },
    { name: "with channels", inputs: [map], attributes: { axes: attr.ints([1, 2, 3]) } },
  ],
};
