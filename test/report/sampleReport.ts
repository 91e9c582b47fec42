/** A report with invented, plausible figures, for tests of the page, the tables and the schema. Not a measurement. */
import type { FitReport, LayerChange, ModelFigures } from "../../toolkit/report/schema.js";

const stages = [
  { name: "layer1", blocks: 9, width: 16, ms: 0.062 },
  { name: "layer2", blocks: 9, width: 32, ms: 0.051 },
  { name: "layer3", blocks: 9, width: 64, ms: 0.048 },
];

function layers(): LayerChange[] {
  const out: LayerChange[] = [
    {
      name: "conv1",
      op: "Conv",
      widthBefore: 16,
      widthAfter: 16,
      msBefore: 0.031,
      msAfter: 0.022,
      precision: "int8",
      sqnrDb: 34.1,
    },
  ];
  for (const { name, blocks, width, ms } of stages) {
    for (let block = 0; block < blocks; block++) {
      const inner = Math.max(4, Math.round((width * (0.45 + 0.06 * ((block * 5) % 9))) / 4) * 4);
      const share = inner / width;
      out.push({
        name: `${name}.${block}.conv1`,
        op: "Conv",
        widthBefore: width,
        widthAfter: inner,
        msBefore: ms,
        msAfter: ms * share * 0.55,
        precision: "int8",
        sqnrDb: 31.5 - block * 0.4,
      });
      out.push({
        name: `${name}.${block}.conv2`,
        op: "Conv",
        widthBefore: width,
        widthAfter: width,
        msBefore: ms * 1.08,
        msAfter: ms * share * (block === 8 ? 1.02 : 0.61),
        precision: block === 8 ? "fp32" : "int8",
        sqnrDb: block === 8 ? null : 29.8 - block * 0.3,
      });
    }
  }
  out.push({
    name: "avgpool",
    op: "GlobalAveragePool",
    widthBefore: 64,
    widthAfter: 64,
    msBefore: 0.004,
    msAfter: 0.004,
    precision: "fp32",
    sqnrDb: null,
  });
  out.push({
    name: "fc",
    op: "Gemm",
    widthBefore: 10,
    widthAfter: 10,
    msBefore: 0.003,
    msAfter: 0.003,
    precision: "fp32",
    sqnrDb: null,
  });
  return out;
}

const figures = (
  p50: number,
  rest: Pick<ModelFigures, "accuracy" | "agreement" | "macs" | "params" | "bytes" | "peakActivationBytes">,
): ModelFigures => ({
  latencyMs: {
    n: 412,
    min: p50 * 0.97,
    mean: p50 * 1.02,
    std: p50 * 0.05,
    p50,
    p90: p50 * 1.06,
    p95: p50 * 1.11,
    p99: null,
    p50Interval: [p50 * 0.996, p50 * 1.005],
  },
  initMs: 34.2,
  firstRunMs: p50 * 3.1,
  peakMemoryBytes: 118_000_000,
  ...rest,
});

/** A fresh copy, so that a test may change it. */
export function sampleReport(): FitReport {
  return {
    schemaVersion: 1,
    tool: { name: "edgefit", version: "0.1.0" },
    date: "2026-01-15T10:20:30.000Z",
    model: { file: "resnet56-cifar10.onnx", sha256: "0123456789abcdef".repeat(4) },
    device: {
      id: "local-x64-cpu-t1",
      kind: "node-cpu",
      cpu: "Example CPU 3.0 GHz",
      cores: 2,
      isa: ["avx2", "avx512f", "avx512_vnni"],
      memoryBytes: 8_000_000_000,
      os: "linux x64",
      emulated: false,
      conditions: { governor: null, temperatureC: null, charging: null },
    },
    runtime: {
      package: "onnxruntime-node",
      version: "1.30.0",
      provider: "cpu",
      threads: 1,
      graphOptimizationLevel: "all",
      node: "20.19.0",
      clockMs: 0.001,
    },
    latencySource: "measured",
    golden: { maxAbsError: 2.4e-6, tolerance: 1e-3 },
    budget: { text: "60%", ms: 1.884, percentile: "p50", met: true },
    original: figures(3.14, {
      accuracy: { top1: 0.9437, images: 10_000 },
      agreement: null,
      macs: 127_930_000,
      params: 855_770,
      bytes: 3_460_000,
      peakActivationBytes: 196_608,
    }),
    fitted: figures(1.47, {
      accuracy: { top1: 0.9402, images: 10_000 },
      agreement: { samples: 10_000, top1: 0.9711, outputs: [{ name: "logits", cosine: 0.9934, sqnrDb: 18.6 }] },
      macs: 88_400_000,
      params: 571_300,
      bytes: 640_000,
      peakActivationBytes: 114_688,
    }),
    speedup: { ratio: 2.136, interval: [2.118, 2.151] },
    prediction: { tableMs: 1.41, correctedMs: 1.455, errorPct: -1.02 },
    candidates: [
      {
        name: "original",
        latencyMs: 3.14,
        measured: true,
        accuracy: 0.9437,
        agreement: null,
        precision: "fp32",
        onFront: true,
        chosen: false,
      },
      {
        name: "original, INT8",
        latencyMs: 1.93,
        measured: true,
        accuracy: 0.9428,
        agreement: 0.986,
        precision: "int8",
        onFront: true,
        chosen: false,
      },
      {
        name: "pruned 90%",
        latencyMs: 2.81,
        measured: false,
        accuracy: 0.9431,
        agreement: 0.991,
        precision: "fp32",
        onFront: true,
        chosen: false,
      },
      {
        name: "pruned 75%",
        latencyMs: 2.36,
        measured: false,
        accuracy: 0.9409,
        agreement: 0.976,
        precision: "fp32",
        onFront: false,
        chosen: false,
      },
      {
        name: "pruned 60%",
        latencyMs: 1.86,
        measured: true,
        accuracy: 0.9311,
        agreement: 0.951,
        precision: "fp32",
        onFront: false,
        chosen: false,
      },
      {
        name: "pruned 80%, mixed",
        latencyMs: 1.47,
        measured: true,
        accuracy: 0.9402,
        agreement: 0.9711,
        precision: "mixed",
        onFront: true,
        chosen: true,
      },
      {
        name: "pruned 60%, INT8",
        latencyMs: 1.18,
        measured: true,
        accuracy: 0.9289,
        agreement: 0.947,
        precision: "int8",
        onFront: true,
        chosen: false,
      },
      {
        name: "pruned 45%, INT8",
        latencyMs: 0.96,
        measured: false,
        accuracy: 0.9003,
        agreement: 0.912,
        precision: "int8",
        onFront: true,
        chosen: false,
      },
    ],
    layers: layers(),
    groups: [
      { id: "layer1.0.conv1", producers: ["layer1.0.conv1"], widthBefore: 16, widthAfter: 8, frozen: null },
      { id: "layer3.8.conv1", producers: ["layer3.8.conv1"], widthBefore: 64, widthAfter: 60, frozen: null },
      { id: "fc", producers: ["fc"], widthBefore: 10, widthAfter: 10, frozen: "it is an output of the model" },
      {
        id: "conv1",
        producers: ["conv1", "layer1.0.conv2", "layer1.1.conv2"],
        widthBefore: 16,
        widthAfter: 16,
        frozen: 'Pad "layer2.0.pad": padding of the channel axis joins the groups of two stages',
      },
    ],
    seconds: {
      read: 0.1,
      profile: 24.6,
      statistics: 11.2,
      allocate: 0.4,
      reconstruct: 8.9,
      quantize: 6.1,
      measure: 9.5,
      validate: 71.3,
    },
    settings: {
      seed: 1,
      criterion: "reconstruction",
      int8: "auto",
      finetuneEpochs: 0,
      calibrationImages: 1000,
      paced: null,
      dims: { N: 1 },
      data: {
        name: "cifar10:data/cifar10",
        trainImages: 10_000,
        testImages: 10_000,
        evaluatedImages: 10_000,
        skipped: 0,
      },
      preprocessing: {
        source: "preprocessor_config.json",
        values: { image_mean: [0.4914, 0.4822, 0.4465], image_std: [0.2023, 0.1994, 0.201], do_rescale: true },
      },
    },
    warnings: ["The processor's frequency governor cannot be read: times may change with load."],
  };
}
