/** A device of a hub that runs in another process, by the name that a user gives. */
import { DeviceError } from "../errors.js";
import type { DeviceRunner } from "../runner.js";
import { type HubAddress, hubSource, listHubDevices } from "./client.js";
import { type HubDeviceOptions, openHubDevice } from "./open.js";
import type { DeviceState } from "./registry.js";
import { parseHubName } from "./settings.js";
import { findHub } from "./state.js";

/** @param text as `parseHubName` reads it. Throws DeviceError `hub-missing` where none runs. */
export async function openJoinedDevice(text: string, o: HubDeviceOptions = {}): Promise<DeviceRunner> {
  const { name, address, settings } = parseHubName(text);
  return openHubDevice(hubSource(address ?? (await runningHub())), { ...settings, ...o, ...(name ? { name } : {}) });
}

/** Whether a hub runs and a device of that name has joined it. */
export async function hasJoined(name: string): Promise<boolean> {
  return (await joinedDevices())?.some((d) => d.name === name) ?? false;
}

/** The devices of the running hub; undefined where none runs. */
export async function joinedDevices(): Promise<DeviceState[] | undefined> {
  const hub = await findHub();
  if (!hub) return undefined;
  try {
    return await listHubDevices(hub);
  } catch (error) {
    // Its process id went to another program: the hub is gone.
    if ((error as DeviceError).code === "hub-unreachable" || (error as DeviceError).code === "hub-token")
      return undefined;
    throw error;
  }
}

async function runningHub(): Promise<HubAddress> {
  const hub = await findHub();
  if (hub) return hub;
  throw new DeviceError("hub-missing", "no hub is running", {
    hint: "start one in another terminal: edgefit hub; for one command alone, --device phone does without",
  });
}
