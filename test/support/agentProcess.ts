/** The agent of a bundle as a process, and a hub's device as a test takes it. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { openHubDevice } from "../../runners/hub/open.js";
import type { Hub } from "../../runners/hub/server.js";
import type { DeviceRunner } from "../../runners/runner.js";

export interface AgentProcess {
  process: ChildProcess;
  /** What it has written so far. */
  output(): string;
  /** Exit status, once it has ended. */
  ended: Promise<number | null>;
}

/** Starts `agent` of a bundle's folder; its id is kept in that folder. */
export function startAgent(folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): AgentProcess {
  const child = spawn(join(folder, "agent"), args, {
    env: { ...process.env, XDG_STATE_HOME: join(folder, "state"), NODE_OPTIONS: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (d: string) => (text += d));
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return { process: child, output: () => text, ended };
}

/** The agent's device, as soon as it has joined; fails with what the agent wrote when it ends before. */
export async function joinedDevice(hub: Hub, agent: AgentProcess): Promise<DeviceRunner> {
  const early = agent.ended.then((code) => {
    throw new Error(`the agent ended with ${code}: ${agent.output()}`);
  });
  early.catch(() => {});
  return Promise.race([openHubDevice({ lease: (w, o) => hub.devices.lease(w, o) }), early]);
}
