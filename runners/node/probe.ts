/** A model of 164 bytes with a known answer: does the runtime start, and does it compute? */
import { DeviceError } from "../errors.js";
import { goldenCheck } from "../golden.js";
import type { DeviceRunner, Feeds, WireTensor } from "../runner.js";

/** y = relu(x w), x [1, 2], w = [[1, -1], [2, 3]]; ONNX, operator set 13. */
export const PROBE_MODEL = Buffer.from(
  "CAgSB2VkZ2VmaXQ6kAEKHwoBeAoBdxIITWF0TXVsXzEaBWRlbnNlIgZNYXRNdWwKHwoITWF0TXVsXzESAXkaCmFjdGl2YXRpb24iBFJlbHUSBWdyYXBoKhsIAggCEAFCAXdKEAAAgD8AAIC/AAAAQAAAQEBaEwoBeBIOCgwIARIICgIIAQoCCAJiEwoBeRIOCgwIARIICgIIAQoCCAJCBAoAEBE=",
  "base64",
);

const row = (...data: number[]): WireTensor => ({ elemType: "float32", dims: [1, 2], data: Float32Array.from(data) });
export const PROBE_FEEDS: Feeds = { x: row(4, 1) };
const ANSWER = { y: row(6, 0) };

/** Throws DeviceError `self-test` where the runtime gives another answer, and what the runtime throws where it gives none. */
export async function selfTest(runner: Pick<DeviceRunner, "load" | "run" | "unload">): Promise<void> {
  const { id } = await runner.load(PROBE_MODEL);
  const { failure } = goldenCheck(await runner.run(id, PROBE_FEEDS), ANSWER);
  await runner.unload(id);
  if (failure !== undefined) {
    throw new DeviceError("self-test", `ONNX Runtime computes wrongly on this device: ${failure}`, {
      hint: "the build does not suit this processor or its driver; try --engine wasm, or another --provider",
    });
  }
}
