/** Device profiles as `edgefit devices` shows, compares and makes them. */
import { type DeviceProfile, listProfiles, loadProfile, PROFILE_SCHEMA_VERSION } from "../device-profiles/index.js";
import type { DeviceState } from "../runners/hub/registry.js";
import { type DeviceFacts, differsFrom, machineFacts } from "../runners/index.js";
import type { LatencyTable } from "./latency/index.js";
import { openDevice } from "./onDevice.js";
import type { DeviceOptions } from "./options.js";
import { profile } from "./profileDevice.js";

export interface DeviceEntry {
  id: string;
  title: string;
  kind: DeviceProfile["kind"];
  /** Why this machine is not such a device; null where it is one. */
  notHere: string | null;
}

/** The shipped profiles, each with whether this machine is such a device. */
export async function listDevices(): Promise<DeviceEntry[]> {
  const machine = await machineFacts();
  return listProfiles().map((id) => {
    const p = loadProfile(id);
    return { id, title: p.title, kind: p.kind, notHere: differsFrom(p, machine) };
  });
}

/** The devices that have joined the running hub of this user; undefined where none runs. */
export async function listJoinedDevices(): Promise<DeviceState[] | undefined> {
  const { joinedDevices } = await import("../runners/hub/joinedDevice.js");
  return joinedDevices();
}

/** One field in which two profiles differ; undefined where a profile lacks it. */
export interface ProfileDifference {
  /** Path of the field, as `runtime.threads`. */
  field: string;
  a: unknown;
  b: unknown;
}

/** Fields that differ, in the order of the first profile. Titles, notes and ids are not compared. */
export function diffProfiles(a: DeviceProfile, b: DeviceProfile): ProfileDifference[] {
  const [x, y] = [flatten(a), flatten(b)];
  return [...new Set([...x.keys(), ...y.keys()])]
    .filter((field) => !/^(id|title|notes|\$schema)$/.test(field))
    .map((field) => ({ field, a: x.get(field), b: y.get(field) }))
    .filter((d) => JSON.stringify(d.a) !== JSON.stringify(d.b));
}

/** Leaves of an object by path; lists are leaves. */
function flatten(value: object, path = ""): Map<string, unknown> {
  const out = new Map<string, unknown>();
  for (const [key, inner] of Object.entries(value)) {
    const name = path ? `${path}.${key}` : key;
    if (inner !== null && typeof inner === "object" && !Array.isArray(inner))
      for (const [field, leaf] of flatten(inner, name)) out.set(field, leaf);
    else out.set(name, inner);
  }
  return out;
}

export interface ExportOptions extends DeviceOptions {
  /** Id of the new profile: lower-case letters, digits and hyphens. */
  id: string;
  /** A model whose latency table goes with the profile: measured, or taken from the cache. */
  model?: string;
}

export interface ExportedDevice {
  profile: DeviceProfile;
  /** Under the name that `profile.measured.table` has. */
  table: LatencyTable | undefined;
}

/**
 * Describes a device that is at hand, as a profile for others. It holds what decides latency and nothing that names the
 * machine or its owner. Throws DeviceError and ModelError as `profile` does.
 */
export async function exportDevice(o: ExportOptions): Promise<ExportedDevice> {
  const measured = o.model === undefined ? undefined : await profile({ ...o, model: o.model });
  const facts = measured?.device ?? (await factsOf(o));
  const profileOf = describeDevice(facts, o.id, measured !== undefined);
  const notes = measured ? [`The table is of one model: ${measured.table.rows.length} rows of its kernels.`] : [];
  return { profile: { ...profileOf, notes }, table: measured?.table };
}

/** A profile of a device that is at hand. Only what decides latency: no host name, serial number or address. */
export function describeDevice(facts: DeviceFacts, id: string, hasTable: boolean): DeviceProfile {
  const { hardware, os, runtime, conditions, emulated } = facts;
  const date = new Date().toISOString().slice(0, 10);
  return {
    schemaVersion: PROFILE_SCHEMA_VERSION,
    id,
    title: `${hardware.cpu}, ${os.platform} ${os.arch}, ${runtime.package}, ${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"}`,
    kind: facts.kind,
    hardware: { ...hardware, isa: [...hardware.isa] },
    os: { platform: os.platform, arch: os.arch },
    runtime: {
      package: runtime.package,
      version: runtime.version,
      provider: runtime.provider,
      threads: runtime.threads,
      graphOptimizationLevel: runtime.graphOptimizationLevel,
    },
    conditions: { governor: conditions.governor, charging: conditions.charging, notes: null },
    channelAlignment: 4,
    emulated,
    match: { cpuPattern: escapeRegExp(hardware.cpu) },
    measured: hasTable
      ? { table: `${id}.table.json`, date, machine: `${hardware.cpu}, ${hardware.cores} cores` }
      : null,
    notes: [],
  };
}

async function factsOf(o: DeviceOptions): Promise<DeviceFacts> {
  const device = await openDevice(o);
  try {
    return device.facts;
  } finally {
    await device.close();
  }
}

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
