/** Nets as the pipeline sees them, over a runtime in this process or page, or over a device. */
import type { Engine } from "../../../runners/engine.js";
import type { DeviceRunner, WireTensor } from "../../../runners/runner.js";

export interface Values {
  data: Float32Array;
  dims: readonly number[];
}

/** A loaded model with one input. */
export interface Net {
  /** Dims of its input; names for what is free. */
  readonly inputDims: readonly (number | string)[];
  run(input: Values): Promise<Record<string, Values>>;
  close(): Promise<void>;
}

/** Loads a model. Throws DeviceError or the runtime's own error when it refuses it. */
export type OpenNet = (model: Uint8Array) => Promise<Net>;

/** Nets that run where this code runs. */
export const netsOn =
  (engine: Engine, threads = 1): OpenNet =>
  async (model) => {
    const session = await engine.open(model, { threads, graphOptimizationLevel: "all", profiling: false });
    const [input] = session.inputMetadata;
    return {
      inputDims: input.isTensor ? input.shape : [],
      async run({ data, dims }) {
        const outputs = await session.run({ [input.name]: engine.tensor({ elemType: "float32", dims, data }) });
        return Object.fromEntries(
          Object.entries(outputs).map(([name, t]) => [name, { data: t.data as Float32Array, dims: t.dims }]),
        );
      },
      close: () => session.release(),
    };
  };

/** Nets that run on a device. */
export const netsOver =
  (device: DeviceRunner): OpenNet =>
  async (model) => {
    const { id, inputs } = await device.load(model);
    return {
      inputDims: inputs[0].dims,
      async run({ data, dims }) {
        const outputs = await device.run(id, { [inputs[0].name]: { elemType: "float32", dims, data } });
        return Object.fromEntries(
          Object.entries(outputs).map(([name, t]: [string, WireTensor]) => [
            name,
            { data: t.data as Float32Array, dims: t.dims },
          ]),
        );
      },
      close: () => device.unload(id),
    };
  };
