/** A device of a few lines that joins a hub by its socket, for what no real one does on demand: lie, hang, flood, vanish. */
import { WebSocket } from "ws";
import type { FromHost } from "../../runners/protocol.js";
import type { Measurement } from "../../runners/runner.js";
import type { Hello } from "../../runners/web/hello.js";
import { decodeMessage, encodeMessage } from "../../runners/wire.js";

type Ask = Extract<FromHost, { request: unknown }>;
export type AnyRequest = {
  type: string;
  model?: number;
  models?: { id: number }[];
  provider?: string;
  threads?: number;
};

export const phoneHello = (o: Partial<Hello> = {}): Hello => ({
  ready: true,
  protocol: 1,
  runtime: { package: "onnxruntime-web", version: "1.0.0", provider: "CPUExecutionProvider" },
  clockMs: 0.1,
  device: { id: "device-one" },
  page: {
    provider: "wasm",
    threads: 1,
    userAgent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36",
    cores: 8,
    memoryBytes: null,
    isolated: false,
    secure: false,
    adapter: null,
  },
  ...o,
});

export const measurement = (
  model: number,
  samplesMs: readonly number[],
  o: Partial<Measurement> = {},
): Measurement => ({
  model,
  firstRunMs: 1,
  warmups: 1,
  samplesMs: Float64Array.from(samplesMs),
  callsPerSample: 1,
  drift: 0,
  saturation: null,
  stopped: "enough",
  peakMemoryBytes: null,
  ...o,
});

export interface FakeDevice {
  ws: WebSocket;
  /** Types of the requests that came in, in order, with the model they were about. */
  asked: string[];
  /** Messages for its screen. */
  shown: FromHost[];
  /** Close code, once the hub has ended the socket. */
  closed: Promise<number>;
  answer(id: number, value: unknown): void;
  send(message: unknown): void;
}

/**
 * Joins and greets. `on` answers requests itself by returning a value; undefined leaves it to the default, which loads anything,
 * measures one millisecond and gives `y` = 1.
 */
export async function fakeDevice(
  url: string,
  hello: Hello = phoneHello(),
  on: (request: AnyRequest, d: FakeDevice, id: number) => unknown = () => undefined,
): Promise<FakeDevice> {
  const ws = new WebSocket(url);
  let models = 0;
  const device: FakeDevice = {
    ws,
    asked: [],
    shown: [],
    closed: new Promise((resolve) => ws.once("close", resolve)),
    answer: (id, value) => device.send({ id, ok: true, value }),
    send: (message) => ws.send(encodeMessage(message)),
  };
  ws.on("error", () => {});
  ws.on("message", (data: Buffer) => {
    const message = decodeMessage(data) as FromHost;
    if (!("request" in message)) return device.shown.push(message);
    const { id, request } = message as Ask & { request: AnyRequest };
    device.asked.push(request.model === undefined ? request.type : `${request.type} ${request.model}`);
    const own = on(request, device, id);
    if (own !== undefined) return own !== null && device.answer(id, own);
    switch (request.type) {
      case "load":
        return device.answer(id, { id: ++models, initMs: 1, inputs: [], outputs: [], residentBytes: null });
      case "measure":
        return device.answer(
          id,
          request.models!.map((m) => measurement(m.id, [1, 1, 1])),
        );
      case "run":
        return device.answer(id, { y: { elemType: "float32", dims: [1], data: Float32Array.of(1) } });
      case "unload":
        return device.answer(id, undefined);
      case "configure":
        return device.answer(id, {
          ...hello,
          page: { ...hello.page!, provider: request.provider, threads: request.threads },
        });
    }
  });
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  device.send(hello);
  // The hub tells an accepted device its name.
  const named = async () => {
    while (device.shown.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await Promise.race([named(), device.closed]);
  return device;
}

/** Address of a hub's socket for devices. */
export const joinUrl = (hub: { port: number; token: string }): string =>
  `ws://127.0.0.1:${hub.port}/join?token=${hub.token}`;
